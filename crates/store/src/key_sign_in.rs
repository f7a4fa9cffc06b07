//! What a sign-in by a user's key is judged by: rows of five tables, read together and for many
//! sign-ins at once, because each would be a way to the database of its own.

use model::Guid;

use crate::{
    App, Device, Digest, Key, Result, Sealed, SealedName, Store, User, app, device, key,
    sql::{Question, Row, Sql, args},
    store::Door,
    tenant,
    together::Pace,
    user,
};

/// Which rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedByKey {
    /// The device.
    pub device: Guid,
    /// The client.
    pub client: String,
    /// SHA-256 of the key's material.
    pub key: Digest,
    /// The tenant's secrets.
    pub sealed: &'static [SealedName],
}

/// The rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySignIn {
    /// The secrets, as they are at one moment.
    pub sealed: Vec<Sealed>,
    /// The device, where it is switched on.
    pub device: Option<Device>,
    /// The client, where it is registered.
    pub app: Option<App>,
    /// The key, where it is not on its way out.
    pub key: Option<Key>,
    /// Whose the key is.
    pub user: Option<User>,
}

const USER: &str =
    "SELECT u.* FROM keys k JOIN users u ON u.tenant = k.tenant AND u.guid = k.account
     WHERE k.tenant = ?1 AND k.material_hash = ?2 AND k.state NOT IN ('removing', 'removed')";

fn read(db: &dyn Sql, asked: &[(Guid, AskedByKey)]) -> Result<Vec<KeySignIn>> {
    let questions = |(tenant, asked): &(Guid, AskedByKey)| {
        [
            Question::new(tenant::SEALED, args![tenant]),
            Question::new(device::USABLE, args![tenant, asked.device]),
            Question::new(app::BY_ID, args![tenant, asked.client]),
            Question::new(key::BY_MATERIAL, args![tenant, asked.key]),
            Question::new(USER, args![tenant, asked.key]),
        ]
    };
    let questions: Vec<_> = asked.iter().flat_map(questions).collect();
    let mut answers = db.query_all(&questions)?.into_iter();
    let mut one = || answers.next().unwrap_or_default();
    asked
        .iter()
        .map(|(_, asked)| {
            Ok(KeySignIn {
                sealed: tenant::named(&one(), asked.sealed)?,
                device: first(&one(), device::device)?,
                app: first(&one(), app::app)?,
                key: first(&one(), key::key)?,
                user: first(&one(), user::user)?,
            })
        })
        .collect()
}

fn first<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T>) -> Result<Option<T>> {
    rows.first().map(read).transpose()
}

impl Store {
    /// The rows as they are, all of them read after the call.
    pub async fn key_sign_in(&self, tenant: Guid, asked: AskedByKey) -> Result<KeySignIn> {
        if let Door::Sqlite(sqlite) = &self.door {
            let found = sqlite.look_up(|db| read(db, &[(tenant, asked)]))?;
            let found = found.into_iter().next();
            return found.ok_or(crate::Error::Bug("a question without an answer"));
        }
        let store = self.clone();
        let answer = move |asked: Vec<(Guid, AskedByKey)>| {
            let store = store.clone();
            async move { store.read(move |db| read(db, &asked)).await }
        };
        let question = (tenant, asked);
        self.key_sign_ins.ask(question, Pace::AtOnce, answer).await
    }
}
