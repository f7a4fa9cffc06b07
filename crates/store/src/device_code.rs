//! Sign-ins on another device (RFC 8628): one machine shows a code, and a person types it elsewhere.

use model::{Guid, UnixTime};

use crate::{
    Digest, Result, Store,
    sql::{Row, args, fields, words},
    store::Touches,
};

words! {
    /// Where such a sign-in stands.
    pub enum DeviceCodeState {
        /// Nobody has typed the code.
        Pending = "pending",
        /// Somebody has signed in with it.
        Approved = "approved",
        /// Somebody has refused it.
        Denied = "denied",
    }
}

/// A sign-in on another device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCode {
    /// SHA-256 of what the machine holds.
    pub digest: Digest,
    /// What a person types, in the one form that the server makes.
    pub user_code: String,
    /// The client.
    pub client: String,
    /// The audience of the token.
    pub resource: String,
    /// What was asked for.
    pub scope: String,
    /// The methods that must be shown (`ngcmfa`).
    pub wanted: Vec<String>,
    /// Where it stands.
    pub state: DeviceCodeState,
    /// Who signed in.
    pub user: Option<Guid>,
    /// How.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: Option<UnixTime>,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// When it began.
    pub created: UnixTime,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
    /// When the machine last asked.
    pub last_poll: Option<UnixTime>,
}

/// Who signed in, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Who.
    pub user: Guid,
    /// How.
    pub methods: Vec<String>,
    /// When.
    pub auth_time: UnixTime,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
}

/// What the machine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Poll {
    /// Somebody has signed in: the code is taken out, and gives nothing a second time.
    Approved(Box<DeviceCode>),
    /// Nobody has answered.
    Pending,
    /// The machine asks more often than it may.
    TooSoon,
    /// Somebody has refused.
    Denied,
    /// It is unknown, over or taken.
    Over,
}

fn device_code(row: &Row) -> Result<DeviceCode> {
    Ok(DeviceCode {
        digest: row.get("digest")?,
        user_code: row.get("user_code")?,
        client: row.get("client")?,
        resource: row.get("resource")?,
        scope: row.get("scope")?,
        wanted: row.get("wanted")?,
        state: row.get("state")?,
        user: row.get("account")?,
        methods: row.get("methods")?,
        auth_time: row.get("auth_time")?,
        mfa_time: row.get("mfa_time")?,
        created: row.get("created")?,
        expires: row.get("expires")?,
        last_poll: row.get("last_poll")?,
    })
}

impl Store {
    /// Begins one; false where another that is under way has the same user code.
    pub async fn begin_device_code(
        &self,
        tenant: Guid,
        code: DeviceCode,
        now: UnixTime,
    ) -> Result<bool> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM device_codes
                 WHERE tenant = ?1 AND user_code = ?2 AND expires <= ?3";
            db.execute(sql, args![tenant, code.user_code, now])?;
            db.add(
                "device_codes",
                fields! {
                    tenant: tenant,
                    digest: code.digest,
                    user_code: code.user_code,
                    client: code.client,
                    resource: code.resource,
                    scope: code.scope,
                    wanted: code.wanted,
                    state: code.state,
                    account: code.user,
                    methods: code.methods,
                    auth_time: code.auth_time,
                    mfa_time: code.mfa_time,
                    created: code.created,
                    expires: code.expires,
                    last_poll: code.last_poll,
                },
            )
        })
        .await
    }

    /// The one that a person has typed, while nobody has answered it.
    pub async fn device_code(
        &self,
        tenant: Guid,
        user_code: &str,
        now: UnixTime,
    ) -> Result<Option<DeviceCode>> {
        let user_code = user_code.to_owned();
        self.read(move |db| {
            let sql = "SELECT * FROM device_codes
                 WHERE tenant = ?1 AND user_code = ?2 AND expires > ?3 AND state = 'pending'";
            db.one(sql, args![tenant, user_code, now], device_code)
        })
        .await
    }

    /// Answers one: by who has signed in, or by a refusal. False where it is answered already, or
    /// over.
    pub async fn answer_device_code(
        &self,
        tenant: Guid,
        user_code: &str,
        answer: Option<SignedIn>,
        now: UnixTime,
    ) -> Result<bool> {
        let user_code = user_code.to_owned();
        self.write(Touches::Rows, move |db| {
            let open = "tenant = ?1 AND user_code = ?2 AND expires > ?3 AND state = 'pending'";
            let Some(who) = &answer else {
                let sql = format!("UPDATE device_codes SET state = 'denied' WHERE {open}");
                return db.touched(&sql, args![tenant, user_code, now]);
            };
            let sql = format!(
                "UPDATE device_codes SET state = 'approved', account = ?4, methods = ?5,
                   auth_time = ?6, mfa_time = ?7 WHERE {open}"
            );
            let (methods, at, mfa) = (&who.methods, who.auth_time, who.mfa_time);
            db.touched(
                &sql,
                args![tenant, user_code, now, who.user, methods, at, mfa],
            )
        })
        .await
    }

    /// Tells the machine where its sign-in stands, once in `interval_s` seconds.
    pub async fn poll_device_code(
        &self,
        tenant: Guid,
        digest: Digest,
        interval_s: i64,
        now: UnixTime,
    ) -> Result<Poll> {
        self.write(Touches::Rows, move |db| {
            let sql = "SELECT * FROM device_codes WHERE tenant = ?1 AND digest = ?2
                 AND expires > ?3";
            let found = db.one(sql, args![tenant, digest, now], device_code)?;
            let Some(found) = found else {
                return Ok(Poll::Over);
            };
            let is_soon = found
                .last_poll
                .is_some_and(|last| now < last.plus(interval_s));
            match found.state {
                DeviceCodeState::Pending => {
                    let sql = "UPDATE device_codes SET last_poll = ?3
                         WHERE tenant = ?1 AND digest = ?2";
                    db.execute(sql, args![tenant, digest, now])?;
                    Ok(if is_soon {
                        Poll::TooSoon
                    } else {
                        Poll::Pending
                    })
                }
                DeviceCodeState::Approved | DeviceCodeState::Denied => {
                    let sql = "DELETE FROM device_codes WHERE tenant = ?1 AND digest = ?2";
                    db.execute(sql, args![tenant, digest])?;
                    Ok(if found.state == DeviceCodeState::Denied {
                        Poll::Denied
                    } else {
                        Poll::Approved(Box::new(found))
                    })
                }
            }
        })
        .await
    }
}
