//! Sessions of browsers: who is signed in there, and how.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Row, args, fields},
    store::Touches,
};

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// SHA-256 of the cookie.
    pub id: Digest,
    /// Who is signed in.
    pub user: Guid,
    /// The device that proved itself, if one did.
    pub device: Option<Guid>,
    /// How the user signed in.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: UnixTime,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// When it began.
    pub created: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
    /// When it was last used.
    pub last_seen: UnixTime,
}

fn session(row: &Row) -> Result<Session> {
    Ok(Session {
        id: row.get("id")?,
        user: row.get("account")?,
        device: row.get("device")?,
        methods: row.get("methods")?,
        auth_time: row.get("auth_time")?,
        mfa_time: row.get("mfa_time")?,
        created: row.get("created")?,
        expires: row.get("expires")?,
        last_seen: row.get("last_seen")?,
    })
}

impl Store {
    /// Begins a session, or changes one: another factor was given, another user signed in.
    pub async fn put_session(&self, tenant: Guid, session: Session, now: UnixTime) -> Result<()> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| {
            db.put(
                "sessions",
                "tenant, id",
                fields! {
                    tenant: tenant,
                    id: session.id,
                    account: session.user,
                    device: session.device,
                    methods: session.methods,
                    auth_time: session.auth_time,
                    mfa_time: session.mfa_time,
                    created: session.created,
                    expires: session.expires,
                    last_seen: session.last_seen,
                },
            )
        })
        .await
    }

    /// One that is good at `now`.
    pub async fn session(
        &self,
        tenant: Guid,
        id: Digest,
        now: UnixTime,
    ) -> Result<Option<Session>> {
        self.look_up(move |db| {
            let sql = "SELECT * FROM sessions WHERE tenant = ?1 AND id = ?2 AND expires > ?3";
            db.one(sql, args![tenant, id, now], session)
        })
        .await
    }

    /// A user's sessions that are good at `now`, the one that was used last first.
    pub async fn sessions_of(
        &self,
        tenant: Guid,
        user: Guid,
        now: UnixTime,
    ) -> Result<Vec<Session>> {
        self.read(move |db| {
            let sql = "SELECT * FROM sessions WHERE tenant = ?1 AND account = ?2 AND expires > ?3
                 ORDER BY last_seen DESC, id";
            db.all(sql, args![tenant, user, now], session)
        })
        .await
    }

    /// Notes that a session was used.
    pub async fn session_seen(&self, tenant: Guid, id: Digest, now: UnixTime) -> Result<()> {
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE sessions SET last_seen = ?3 WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, id, now]).map(|_| ())
        })
        .await
    }

    /// Ends a session; false where there is none.
    pub async fn end_session(&self, tenant: Guid, id: Digest) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM sessions WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id])
        })
        .await
    }

    /// Ends all of a user's sessions but, where it is given, the one that asks.
    pub async fn end_sessions_of(
        &self,
        tenant: Guid,
        user: Guid,
        but: Option<Digest>,
    ) -> Result<u64> {
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM sessions WHERE tenant = ?1 AND account = ?2 AND id <> ?3";
            // No digest is empty.
            let but = but.map(Vec::from).unwrap_or_default();
            db.execute(sql, args![tenant, user, but])
        })
        .await
    }
}
