//! What a statement is judged by: the rows of the store that it will be held against. A sign-in by a
//! user's key needs five, and says itself which: they are read together, before anything that it says
//! is believed, because each would be a way to the database of its own.
//!
//! What must hold: nothing here is older than the request. A row that was not read beforehand, or of
//! something else than what the statement turns out to be about, is read when it is asked for.

use std::sync::Arc;

use api::oauth::GRANT_JWT_BEARER;
use model::Guid;
use serde::Deserialize;
use store::{App as Application, AskedByKey, Device, Key, KeySignIn, User};
use token::HelloAssertion;

use crate::{
    app::App,
    authorities::{Authorities, NAMES},
    device_proof::Statement,
};

/// The rows that were read beforehand, and which they are.
pub(crate) struct Facts(Option<(AskedByKey, KeySignIn)>);

/// What a sign-in by key says of itself.
#[derive(Deserialize)]
struct Claimed {
    client_id: String,
    grant_type: String,
    assertion: String,
}

impl Facts {
    /// None beforehand.
    pub(crate) const NONE: Self = Self(None);

    /// Those of a statement that is a sign-in by key, as it looks.
    pub(crate) async fn of(app: &App, statement: &Statement<'_>) -> Result<Self, store::Error> {
        let Some(asked) = wanted(statement) else {
            return Ok(Self::NONE);
        };
        let found = app.store.key_sign_in(app.tenant.id, asked.clone()).await?;
        Ok(Self(Some((asked, found))))
    }

    /// The rows, where they are about the right thing.
    fn about(&self, is_right: impl Fn(&AskedByKey) -> bool) -> Option<&KeySignIn> {
        let (asked, found) = self.0.as_ref()?;
        is_right(asked).then_some(found)
    }

    /// The authorities of devices.
    pub(crate) async fn authorities(&self, app: &App) -> anyhow::Result<Arc<Authorities>> {
        match &self.0 {
            Some((_, found)) => app.authorities_of(&found.sealed),
            None => app.authorities().await,
        }
    }

    /// The device, where it is joined and switched on.
    pub(crate) async fn device(&self, app: &App, id: Guid) -> Result<Option<Device>, store::Error> {
        match self.about(|asked| asked.device == id) {
            Some(found) => Ok(found.device.clone()),
            None => app.store.usable_device(app.tenant.id, id).await,
        }
    }

    /// The registration of a client.
    pub(crate) async fn client(
        &self,
        app: &App,
        id: &str,
    ) -> Result<Option<Application>, store::Error> {
        match self.about(|asked| asked.client == id) {
            Some(found) => Ok(found.app.clone()),
            None => app.store.app(app.tenant.id, id).await,
        }
    }

    /// The key of this KeyID.
    pub(crate) async fn key(
        &self,
        app: &App,
        key_id: [u8; 32],
    ) -> Result<Option<Key>, store::Error> {
        match self.about(|asked| asked.key == key_id) {
            Some(found) => Ok(found.key.clone()),
            None => app.store.key_by_material(app.tenant.id, key_id).await,
        }
    }

    /// A user.
    pub(crate) async fn user(&self, app: &App, guid: Guid) -> Result<Option<User>, store::Error> {
        let known = self.0.as_ref().and_then(|(_, found)| found.user.as_ref());
        match known.filter(|user| user.guid == guid) {
            Some(user) => Ok(Some(user.clone())),
            None => app.store.user(app.tenant.id, guid).await,
        }
    }
}

fn wanted(statement: &Statement<'_>) -> Option<AskedByKey> {
    let claimed: Claimed = statement.unverified.claimed()?;
    if claimed.grant_type != GRANT_JWT_BEARER {
        return None;
    }
    Some(AskedByKey {
        device: statement.device()?,
        client: claimed.client_id,
        key: *HelloAssertion::read(&claimed.assertion).ok()?.key_id(),
        sealed: NAMES,
    })
}
