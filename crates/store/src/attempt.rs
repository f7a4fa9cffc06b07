//! Sign-in attempts: what was asked for, and what has been shown so far.

use model::{Guid, UnixTime};

use crate::{
    Code, Digest, Error, Result, Store, code,
    sql::{Row, Sql, args, fields, words},
    store::Touches,
    totp,
};

words! {
    /// Who asks for the factors.
    pub enum AttemptKind {
        /// A program, by the challenge endpoint.
        Native = "native",
        /// The pages, in a browser.
        Browser = "browser",
    }
}

/// A sign-in that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// SHA-256 of the session that its bearer holds.
    pub id: Digest,
    /// Who asks for the factors.
    pub kind: AttemptKind,
    /// The client.
    pub client: String,
    /// The device it began on, where one has proved itself.
    pub device: Option<Guid>,
    /// The user name as it was typed, in lower case.
    pub username: String,
    /// The user of that name, if there is one: an attempt for nobody goes the same way.
    pub user: Option<Guid>,
    /// The audience of the token to come.
    pub resource: String,
    /// PKCE, S256; without it only where the client's compat says so.
    pub code_challenge: Option<String>,
    /// Both factors are asked.
    pub two_factors: bool,
    /// What else the client asked for: JSON, opaque here.
    pub request: String,
    /// When the password was shown to be right.
    pub password_at: Option<UnixTime>,
    /// Every method that was shown to be right, in order.
    pub methods: Vec<String>,
    /// When the second factor was given.
    pub mfa_time: Option<UnixTime>,
    /// The state of the WebAuthn ceremony that was begun: opaque here.
    pub webauthn: Option<String>,
    /// The approval that was asked for.
    pub approval: Option<Digest>,
    /// From then on it is worth nothing.
    pub expires: UnixTime,
}

/// A method that was shown to be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub method: String,
    /// When.
    pub at: UnixTime,
    /// Two factors have been given with it.
    pub is_second: bool,
    /// Who showed it, where the attempt did not know yet.
    pub user: Option<Guid>,
}

fn attempt(row: &Row) -> Result<Attempt> {
    Ok(Attempt {
        id: row.get("id")?,
        kind: row.get("kind")?,
        client: row.get("client")?,
        device: row.get("device")?,
        username: row.get("username")?,
        user: row.get("account")?,
        resource: row.get("resource")?,
        code_challenge: row.get("code_challenge")?,
        two_factors: row.get("two_factors")?,
        request: row.get("request")?,
        password_at: row.get("password_at")?,
        methods: row.get("methods")?,
        mfa_time: row.get("mfa_time")?,
        webauthn: row.get("webauthn")?,
        approval: row.get("approval")?,
        expires: row.get("expires")?,
    })
}

fn put(db: &dyn Sql, tenant: Guid, attempt: &Attempt) -> Result<()> {
    db.put(
        "attempts",
        "tenant, id",
        fields! {
            tenant: tenant,
            id: attempt.id,
            kind: attempt.kind,
            client: attempt.client,
            device: attempt.device,
            username: attempt.username,
            account: attempt.user,
            resource: attempt.resource,
            code_challenge: attempt.code_challenge,
            two_factors: attempt.two_factors,
            request: attempt.request,
            password_at: attempt.password_at,
            methods: attempt.methods,
            mfa_time: attempt.mfa_time,
            webauthn: attempt.webauthn,
            approval: attempt.approval,
            expires: attempt.expires,
        },
    )
}

impl Store {
    /// Begins an attempt.
    pub async fn begin_attempt(&self, tenant: Guid, attempt: Attempt, now: UnixTime) -> Result<()> {
        self.sweep(now).await?;
        self.write(Touches::Rows, move |db| put(db, tenant, &attempt))
            .await
    }

    /// One that is under way at `now`.
    pub async fn attempt(
        &self,
        tenant: Guid,
        id: Digest,
        now: UnixTime,
    ) -> Result<Option<Attempt>> {
        self.read(move |db| {
            let sql = "SELECT * FROM attempts WHERE tenant = ?1 AND id = ?2 AND expires > ?3";
            db.one(sql, args![tenant, id, now], attempt)
        })
        .await
    }

    /// The password was right.
    pub async fn password_shown(&self, tenant: Guid, id: Digest, at: UnixTime) -> Result<()> {
        let shown = Shown {
            method: "pwd".to_owned(),
            at,
            is_second: false,
            user: None,
        };
        self.method_shown(tenant, id, shown).await.map(|_| ())
    }

    /// A method was right; false where the attempt is over.
    pub async fn method_shown(&self, tenant: Guid, id: Digest, shown: Shown) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "SELECT * FROM attempts WHERE tenant = ?1 AND id = ?2 AND expires > ?3";
            let Some(mut found) = db.one(sql, args![tenant, id, shown.at], attempt)? else {
                return Ok(false);
            };
            if shown.method == "pwd" {
                found.password_at = Some(shown.at);
            }
            if !found.methods.contains(&shown.method) {
                found.methods.push(shown.method.clone());
            }
            if shown.is_second {
                found.mfa_time = Some(shown.at);
            }
            found.user = found.user.or(shown.user);
            put(db, tenant, &found)?;
            Ok(true)
        })
        .await
    }

    /// Keeps the state of a WebAuthn ceremony that begins.
    pub async fn set_webauthn(&self, tenant: Guid, id: Digest, state: String) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE attempts SET webauthn = ?3 WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id, state])
        })
        .await
    }

    /// Takes that state out: a challenge is answered once.
    pub async fn take_webauthn(&self, tenant: Guid, id: Digest) -> Result<Option<String>> {
        self.write(Touches::Rows, move |db| {
            let sql = "SELECT webauthn FROM attempts WHERE tenant = ?1 AND id = ?2";
            let state: Option<Option<String>> = db.only(sql, args![tenant, id])?;
            let sql = "UPDATE attempts SET webauthn = NULL WHERE tenant = ?1 AND id = ?2";
            db.execute(sql, args![tenant, id])?;
            Ok(state.flatten())
        })
        .await
    }

    /// Notes the approval that the attempt waits for.
    pub async fn set_approval(&self, tenant: Guid, id: Digest, approval: Digest) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "UPDATE attempts SET approval = ?3 WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id, approval])
        })
        .await
    }

    /// Ends the attempt with a code, and spends the time step of the one-time password that was
    /// shown, if one was. False where that step or a later one is spent already: then nothing has
    /// changed. An attempt that is over already contradicts the call.
    pub async fn finish_attempt(
        &self,
        tenant: Guid,
        attempt: Digest,
        step: Option<u64>,
        code: Code,
    ) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            if let Some(step) = step
                && !totp::spend(db, tenant, code.user, step)?
            {
                return Ok(false);
            }
            let sql = "DELETE FROM attempts WHERE tenant = ?1 AND id = ?2";
            if !db.touched(sql, args![tenant, attempt])? {
                return Err(Error::Conflict("the attempt is over"));
            }
            code::insert(db, tenant, &code)?;
            Ok(true)
        })
        .await
    }

    /// Ends the attempt without a code; false where it is over already.
    pub async fn end_attempt(&self, tenant: Guid, id: Digest) -> Result<bool> {
        self.write(Touches::Rows, move |db| {
            let sql = "DELETE FROM attempts WHERE tenant = ?1 AND id = ?2";
            db.touched(sql, args![tenant, id])
        })
        .await
    }
}
