//! Whether a password is right: of an account of AD its agent says so, of one of the server's own
//! its hash here.
//!
//! A name that nobody has goes the same way as any other: the agent is asked about a SID that no
//! account has, or a hash is computed that nothing is compared with. What an answer tells about an
//! account is told only after its password was right.

use std::time::Duration;

use anyhow::anyhow;
use api::agent::PasswordOutcome;
use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString},
};
use axum::http::StatusCode;
use model::{Guid, Secret, Sid};
use store::{Domain, Limit, User, Verdict};
use tokio::time::{Instant, sleep_until};

use crate::{app::App, error::Refusal, oauth::may_be_used};

/// Names the tries at passwords.
const PASSWORD: &str = "password";

/// The longest password, in bytes: what is longer is none of AD's.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// The longest user name.
pub(crate) const MAX_NAME: usize = 256;

/// A wrong password is answered no earlier than this: AD takes another time over an account than
/// over a name that nobody has, and the time of an answer must not tell which it was.
const WRONG_AFTER: Duration = Duration::from_secs(1);

/// How long the agent may take over a piece of work.
pub(crate) const AGENT_WAIT: Duration = Duration::from_secs(10);

/// A relative identifier that no account has: AD hands out 30 bits of them (MS-ADTS 3.1.1.1.9).
const NOBODYS_RID: u32 = u32::MAX;

/// Who answers for a name.
enum Judge {
    /// The agent of a domain, about an account that there may not be.
    Agent(Guid, Sid),
    /// This server, about an account of its own, or about none.
    Here(Option<Guid>),
}

/// What became of a check.
enum Outcome {
    Right,
    Wrong,
    /// Right, and to be changed before anything else.
    Expired,
    Unreachable,
}

/// The account of a name as a person types it: a principal name, `DOMAIN\name`, or a name alone.
pub(crate) async fn find(app: &App, name: &str) -> Result<Option<User>, store::Error> {
    let tenant = app.tenant.id;
    let found = match name.split_once('\\') {
        Some((domain, sam)) => app.store.user_by_sam(tenant, Some(domain), sam).await?,
        None if name.contains('@') => app.store.user_by_upn(tenant, name).await?,
        None => app.store.user_by_sam(tenant, None, name).await?,
    };
    let now = app.clock.now();
    Ok(found.filter(|user| may_be_used(user, now)))
}

/// The account of a name, where the password is its.
pub(crate) async fn check(
    app: &App,
    name: &str,
    password: Secret<String>,
) -> Result<User, Refusal> {
    if !(1..=MAX_NAME).contains(&name.len()) {
        return Err(Refusal::malformed("the user name is missing, or too long"));
    }
    let name = name.to_lowercase();
    let user = find(app, &name).await?;
    check_of(app, &name, user, password).await
}

/// The same, of a name whose account was looked up before.
pub(crate) async fn check_of(
    app: &App,
    name: &str,
    user: Option<User>,
    password: Secret<String>,
) -> Result<User, Refusal> {
    if password.expose().len() > MAX_PASSWORD {
        let sentence = "the password is longer than 1,024 bytes";
        return Err(Refusal::malformed(sentence));
    }
    let begun = Instant::now();
    let (tenant, now) = (app.tenant.id, app.clock.now());
    let limit: Limit = app.store.settings(tenant).await?.lockout;
    if let Verdict::Wait(seconds) = app
        .store
        .begin_try(tenant, PASSWORD, name, now, limit)
        .await?
    {
        let sentence = "too many wrong passwords: wait a little before the next one";
        return Err(Refusal::grant(50053, sentence).retry_after(seconds));
    }
    let outcome = match judge(app, name, user.as_ref()).await? {
        Judge::Here(account) => compare(app, account, password).await?,
        Judge::Agent(domain, sid) => ask_agent(app, domain, sid, password).await,
    };
    match (outcome, user) {
        (Outcome::Right, Some(user)) => {
            app.store.forget_tries(tenant, PASSWORD, name).await?;
            Ok(user)
        }
        (Outcome::Expired, Some(_)) => {
            app.store.forget_tries(tenant, PASSWORD, name).await?;
            let sentence = "the password has expired: change it first";
            Err(Refusal::grant(50055, sentence))
        }
        (Outcome::Unreachable, _) => {
            app.store.take_back_try(tenant, PASSWORD, name, now).await?;
            Err(unreachable())
        }
        // A KDC says that an account is disabled before it has seen the password: passing that on
        // would tell whoever asks which accounts there are.
        _ => {
            sleep_until(begun + WRONG_AFTER).await;
            let sentence =
                "the user name or the password is wrong, or the account may not sign in now";
            Err(Refusal::grant(50126, sentence))
        }
    }
}

/// Who answers for a name. One of a domain that an agent stands beside, and that no account has, is
/// the agent's to judge like any other of it.
async fn judge(app: &App, name: &str, user: Option<&User>) -> Result<Judge, Refusal> {
    if let Some(user) = user {
        return Ok(match (user.domain(), user.sid()) {
            (Some(domain), Some(sid)) => Judge::Agent(domain, sid.clone()),
            _ => Judge::Here(Some(user.guid)),
        });
    }
    let domains = app.store.domains(app.tenant.id).await?;
    let Some(domain) = nobodys_domain(name, &domains) else {
        return Ok(Judge::Here(None));
    };
    let sid = format!("{}-{NOBODYS_RID}", domain.sid)
        .parse()
        .map_err(|_| anyhow!("a stored domain has a SID that is none: a bug"))?;
    Ok(Judge::Agent(domain.guid, sid))
}

/// The domain in which a name that nobody has is looked for.
fn nobodys_domain<'a>(name: &str, domains: &'a [Domain]) -> Option<&'a Domain> {
    let (prefix, suffix) = match name.split_once('\\') {
        Some((prefix, _)) => (prefix, ""),
        None => ("", name.rsplit_once('@').map_or("", |(_, suffix)| suffix)),
    };
    domains
        .iter()
        .find(|domain| {
            domain.dns_name.eq_ignore_ascii_case(suffix)
                || domain.netbios_name.eq_ignore_ascii_case(prefix)
        })
        .or(domains.first())
}

async fn ask_agent(app: &App, domain: Guid, sid: Sid, password: Secret<String>) -> Outcome {
    let outcome = app
        .work
        .check_password(domain, sid, password, AGENT_WAIT)
        .await;
    match outcome {
        Some(PasswordOutcome::Right) => Outcome::Right,
        Some(PasswordOutcome::Expired) => Outcome::Expired,
        None | Some(PasswordOutcome::Unreachable) => Outcome::Unreachable,
        Some(_) => Outcome::Wrong,
    }
}

/// Compares with the hash of an account of the server's own. For nobody one is computed too.
async fn compare(
    app: &App,
    account: Option<Guid>,
    password: Secret<String>,
) -> Result<Outcome, Refusal> {
    let stored = match account {
        Some(account) => app.store.password(app.tenant.id, account).await?,
        None => None,
    };
    let must_change = stored.as_ref().is_some_and(|stored| stored.must_change);
    let hash = stored.map(|stored| stored.hash);
    let is_right = tokio::task::spawn_blocking(move || match hash {
        Some(hash) => PasswordHash::new(&hash).is_ok_and(|hash| {
            let password = password.expose().as_bytes();
            Argon2::default().verify_password(password, &hash).is_ok()
        }),
        None => {
            // Its cost is all that counts.
            let _ = hashed(password.expose(), [0; 16]);
            false
        }
    })
    .await?;
    Ok(match (is_right, must_change) {
        (false, _) => Outcome::Wrong,
        (true, true) => Outcome::Expired,
        (true, false) => Outcome::Right,
    })
}

/// Argon2id in PHC form.
pub(crate) fn hashed(password: &str, salt: [u8; 16]) -> anyhow::Result<String> {
    let failed = |error| anyhow!("the password could not be hashed: {error}");
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(failed)?;
    Ok(hash.to_string())
}

fn unreachable() -> Refusal {
    let sentence = "no agent of the domain answers: passwords cannot be checked now";
    Refusal::oauth(
        StatusCode::SERVICE_UNAVAILABLE,
        "temporarily_unavailable",
        90033,
        sentence,
    )
    .retry_after(5)
}
