//! Authorization codes, which end an attempt or stand for a session (RFC 6749 4.1.2).

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Row, Sql, args, fields},
    store::Touches,
};

/// What an authorization code stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// SHA-256 of the code.
    pub id: Digest,
    /// The client that may redeem it.
    pub client: String,
    /// The device of the attempt, where one has proved itself.
    pub device: Option<Guid>,
    /// Who signed in.
    pub user: Guid,
    /// The audience of the token.
    pub resource: String,
    /// What was asked for.
    pub scope: String,
    /// Where the code was sent, which who redeems it must repeat.
    pub redirect_uri: Option<String>,
    /// The client's, for the id token.
    pub nonce: Option<String>,
    /// PKCE, S256; without it only where the client's compat says so.
    pub code_challenge: Option<String>,
    /// How the user signed in.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: UnixTime,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// The PRT that it came from.
    pub prt: Option<Digest>,
    /// The browser session that it came from.
    pub session: Option<Digest>,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

fn code(row: &Row) -> Result<Code> {
    Ok(Code {
        id: row.get("id")?,
        client: row.get("client")?,
        device: row.get("device")?,
        user: row.get("account")?,
        resource: row.get("resource")?,
        scope: row.get("scope")?,
        redirect_uri: row.get("redirect_uri")?,
        nonce: row.get("nonce")?,
        code_challenge: row.get("code_challenge")?,
        methods: row.get("methods")?,
        auth_time: row.get("auth_time")?,
        mfa_time: row.get("mfa_time")?,
        prt: row.get("prt")?,
        session: row.get("session")?,
        expires: row.get("expires")?,
    })
}

pub(crate) fn insert(db: &dyn Sql, tenant: Guid, code: &Code) -> Result<()> {
    db.insert(
        "codes",
        fields! {
            tenant: tenant,
            id: code.id,
            client: code.client,
            device: code.device,
            account: code.user,
            resource: code.resource,
            scope: code.scope,
            redirect_uri: code.redirect_uri,
            nonce: code.nonce,
            code_challenge: code.code_challenge,
            methods: code.methods,
            auth_time: code.auth_time,
            mfa_time: code.mfa_time,
            prt: code.prt,
            session: code.session,
            expires: code.expires,
        },
    )
}

impl Store {
    /// Keeps a code for a session that needs no attempt.
    pub async fn add_code(&self, tenant: Guid, code: Code, now: UnixTime) -> Result<()> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| insert(db, tenant, &code))
            .await
    }

    /// Takes a code out: whoever comes second finds nothing, nor who comes after its end.
    pub async fn take_code(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<Option<Code>> {
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM codes WHERE tenant = ?1 AND id = ?2 RETURNING *";
            let taken = db.one(sql, args![tenant, id], code)?;
            Ok(taken.filter(|code| code.expires > now))
        })
        .await
    }
}
