//! Accounts: whose a name is, and whether a password is right.
//!
//! What must hold: an account is known by its objectGUID, so that a name is only a way to it; and
//! nobody learns from an answer, or from its time, whether there is an account. So for every password
//! that is not right a hash is computed here, the agent of the domain that the name is of is asked
//! about some SID, and a second passes. A name that nobody has goes the same way. A suffix that is no
//! domain's may be anybody's, of a domain or of the server's own: then an agent is asked too, and the
//! try counts although none answers, because passwords of the server's own can be guessed meanwhile.
//!
//! Wrong passwords shut out where they come from before they shut out the account: the account's
//! own devices and addresses have tries of their own left. All together stay below what AD itself
//! counts to, as long as its lockout threshold is above `lockout.tries` + 2.

use std::time::Duration;

use anyhow::anyhow;
use api::agent::PasswordOutcome;
use axum::http::StatusCode;
use model::{Guid, Secret, Sid, UnixTime, sha256};
use store::{Domain, Limit, User, UserKind, Verdict};
use tokio::time::{Instant, sleep_until};

use crate::{app::App, error::Refusal, hashing::Busy, policies, sign_in_log, source::Source};

/// The longest user name, in bytes.
pub(crate) const MAX_NAME: usize = 256;

/// The longest password, in bytes: what is longer is none of AD's.
pub(crate) const MAX_PASSWORD: usize = 1024;

/// A wrong password is answered no earlier than this.
const WRONG_AFTER: Duration = Duration::from_secs(1);

/// How long an agent may take over a piece of work.
pub(crate) const AGENT_WAIT: Duration = Duration::from_secs(10);

/// A relative identifier that no account has: AD hands out 30 bits of them (MS-ADTS 3.1.1.1.9).
const NOBODYS_RID: u32 = u32::MAX;

/// Names the tries at an account's password from where it is not known, from where it is, and of a
/// source at any account.
const STRANGE: &str = "password";
const KNOWN: &str = "password from a known source";
const SOURCE: &str = "passwords of a source";

/// What a known source may try beside the strange ones.
const KNOWN_TRIES: usize = 2;

/// A company may stand behind one address: so many times an account's tries are a source's.
const ACCOUNTS_OF_SOURCE: usize = 10;

/// How long a source is known after the last sign-in from there.
const KNOWN_S: i64 = 90 * 86_400;

/// A name as a person types it.
#[derive(Debug, PartialEq, Eq)]
enum Typed<'a> {
    /// A principal name, or `sAMAccountName@domain`, which AD takes too.
    Principal { name: &'a str, suffix: &'a str },
    /// `DOMAIN\sAMAccountName`.
    Down { domain: &'a str, sam: &'a str },
    /// A sAMAccountName alone.
    Bare(&'a str),
}

fn typed(name: &str) -> Typed<'_> {
    if let Some((domain, sam)) = name.split_once('\\') {
        return Typed::Down { domain, sam };
    }
    match name.rsplit_once('@') {
        Some((name, suffix)) => Typed::Principal { name, suffix },
        None => Typed::Bare(name),
    }
}

/// Whether an account may be used at all.
pub(crate) fn may_be_used(user: &User, now: UnixTime) -> bool {
    user.active && user.account_expires.is_none_or(|end| now < end)
}

/// The account of a name, usable or not: a principal name with any suffix, `DOMAIN\name`, or a
/// sAMAccountName alone where only one domain has it.
pub(crate) async fn resolve(app: &App, name: &str) -> Result<Option<User>, store::Error> {
    let (store, tenant) = (&app.store, app.tenant.id);
    match typed(name.trim()) {
        Typed::Down { domain, sam } => store.user_by_sam(tenant, Some(domain), sam).await,
        Typed::Bare(sam) => store.user_by_sam(tenant, None, sam).await,
        Typed::Principal { name: sam, suffix } => {
            let found = store.user_by_upn(tenant, name.trim()).await?;
            if found.is_some() {
                return Ok(found);
            }
            let domains = store.domains(tenant).await?;
            match domain_of(suffix, &domains) {
                Some(domain) => {
                    let netbios_name = Some(domain.netbios_name.as_str());
                    store.user_by_sam(tenant, netbios_name, sam).await
                }
                None => Ok(None),
            }
        }
    }
}

fn domain_of<'a>(named: &str, domains: &'a [Domain]) -> Option<&'a Domain> {
    domains.iter().find(|domain| {
        domain.dns_name.eq_ignore_ascii_case(named)
            || domain.netbios_name.eq_ignore_ascii_case(named)
    })
}

/// What the tries at a name are counted by: the account, or for a name that nobody has one form of
/// all that would be the same account.
fn counted_as(name: &str, user: Option<&User>, domains: &[Domain]) -> String {
    if let Some(user) = user {
        return user.guid.to_string();
    }
    let (sam, domain) = match typed(name) {
        Typed::Down { domain, sam } => (sam, domain_of(domain, domains)),
        Typed::Principal { name, suffix } => (name, domain_of(suffix, domains)),
        Typed::Bare(sam) => (sam, domains.first().filter(|_| domains.len() == 1)),
    };
    match domain {
        Some(domain) => format!("{sam}@{}", domain.dns_name).to_lowercase(),
        None => name.to_lowercase(),
    }
}

/// What somebody tries at one account, and whether it may be tried.
struct Tries<'a> {
    app: &'a App,
    source: &'a str,
    factor: &'static str,
    subject: String,
    at: UnixTime,
}

impl<'a> Tries<'a> {
    async fn begin(
        app: &'a App,
        source: &'a Source,
        (name, user): (&str, Option<&User>),
        domains: &[Domain],
    ) -> Result<Self, Refusal> {
        let (tenant, at, source) = (app.tenant.id, app.clock.now(), source.as_str());
        let limit = app.store.settings(tenant).await?.lockout;
        let is_known = match user {
            Some(user) => {
                let known = app.store.is_known_source(tenant, user.guid, source, at);
                known.await?
            }
            None => false,
        };
        let account = counted_as(name, user, domains);
        let (factor, subject, of_account) = if is_known {
            let tries = KNOWN_TRIES;
            (
                KNOWN,
                format!("{account} {source}"),
                Limit { tries, ..limit },
            )
        } else {
            (STRANGE, account, limit)
        };
        let of_source = Limit {
            tries: limit.tries * ACCOUNTS_OF_SOURCE,
            ..limit
        };
        let tries = Self {
            app,
            source,
            factor,
            subject,
            at,
        };
        let store = &app.store;
        let verdict = store.begin_try(tenant, SOURCE, source, at, of_source);
        tries.expect(verdict.await?)?;
        let verdict = store.begin_try(tenant, factor, &tries.subject, at, of_account);
        if let Err(refusal) = tries.expect(verdict.await?) {
            // Nobody looked at the password: the source has not guessed.
            store.take_back_try(tenant, SOURCE, source, at).await?;
            return Err(refusal);
        }
        Ok(tries)
    }

    fn expect(&self, verdict: Verdict) -> Result<(), Refusal> {
        match verdict {
            Verdict::Go => Ok(()),
            Verdict::Wait(seconds) => {
                let sentence = "too many wrong passwords: wait a little before the next one";
                Err(Refusal::grant(50053, sentence).retry_after(seconds))
            }
        }
    }

    /// Nobody could say whether it was right.
    async fn take_back(&self) -> Result<(), store::Error> {
        let (store, tenant) = (&self.app.store, self.app.tenant.id);
        let (factor, subject) = (self.factor, &self.subject);
        store
            .take_back_try(tenant, SOURCE, self.source, self.at)
            .await?;
        store.take_back_try(tenant, factor, subject, self.at).await
    }

    /// It was right: the account begins anew, and is known here from now on.
    async fn forget(&self, user: Guid) -> Result<(), store::Error> {
        let (store, tenant) = (&self.app.store, self.app.tenant.id);
        store
            .take_back_try(tenant, SOURCE, self.source, self.at)
            .await?;
        store
            .forget_tries(tenant, self.factor, &self.subject)
            .await?;
        let until = self.at.plus(KNOWN_S);
        store.note_source(tenant, user, self.source, until).await
    }
}

/// Why an account is not open, whatever the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closed {
    Disabled,
    Locked,
    OutsideHours,
}

impl Closed {
    fn of(outcome: PasswordOutcome) -> Option<Self> {
        match outcome {
            PasswordOutcome::Disabled => Some(Self::Disabled),
            PasswordOutcome::Locked => Some(Self::Locked),
            PasswordOutcome::OutsideHours => Some(Self::OutsideHours),
            _ => None,
        }
    }

    fn refusal(self) -> Refusal {
        let (number, sentence) = match self {
            Self::Disabled => (50057, "the account is disabled, or its time is over"),
            Self::Locked => (
                50053,
                "the account is locked after too many wrong passwords: wait, or ask an administrator",
            ),
            Self::OutsideHours => (80012, "the account may not sign in at this hour"),
        };
        Refusal::grant(number, sentence)
    }
}

/// Why an account is closed, as far as the server knows by itself.
fn closed(user: &User, now: UnixTime) -> Option<Closed> {
    if !may_be_used(user, now) {
        return Some(Closed::Disabled);
    }
    if user.locked_until.is_some_and(|until| now < until) {
        return Some(Closed::Locked);
    }
    let is_open = user.logon_hours.is_none_or(|hours| hours.allow(now));
    (!is_open).then_some(Closed::OutsideHours)
}

/// The refusal of a user who may not sign in now, whatever the proof.
pub(crate) fn expect_open(user: &User, now: UnixTime) -> Result<(), Refusal> {
    closed(user, now).map_or(Ok(()), |why| Err(why.refusal()))
}

/// The account of a name, where the password is its and it may be used.
pub(crate) async fn check_password(
    app: &App,
    name: &str,
    password: Secret<String>,
    source: &Source,
) -> Result<User, Refusal> {
    if !(1..=MAX_NAME).contains(&name.len()) {
        return Err(Refusal::malformed("the user name is missing, or too long"));
    }
    let user = resolve(app, name).await?;
    check_password_of(app, (name, user), password, source).await
}

/// The same, of a name whose account was looked up before.
pub(crate) async fn check_password_of(
    app: &App,
    (name, user): (&str, Option<User>),
    password: Secret<String>,
    source: &Source,
) -> Result<User, Refusal> {
    if password.expose().len() > MAX_PASSWORD {
        let sentence = "the password is longer than 1,024 bytes";
        return Err(Refusal::malformed(sentence));
    }
    let begun = Instant::now();
    let now = app.clock.now();
    let closed = user.as_ref().and_then(|user| closed(user, now));
    let domains = app.store.domains(app.tenant.id).await?;
    let tries = Tries::begin(app, source, (name, user.as_ref()), &domains).await?;
    let is_known = tries.factor == KNOWN;
    let user = user.filter(|user| may_be_used(user, now));
    let account = user.as_ref().map(|user| user.guid);
    sign_in_log::note_of(|row| row.user = account.or(row.user));
    let outcome = outcome(app, (name, user.as_ref()), password, &domains).await;
    match (outcome, user) {
        (Ok(PasswordOutcome::Right), Some(user)) => {
            tries.forget(user.guid).await?;
            Ok(user)
        }
        (Ok(outcome @ (PasswordOutcome::Expired | PasswordOutcome::MustChange)), Some(user)) => {
            tries.forget(user.guid).await?;
            let sentence = match outcome {
                PasswordOutcome::Expired => "the password has expired: change it first",
                _ => "the password must be changed before the first sign-in with it",
            };
            Err(Refusal::grant(50055, sentence))
        }
        (Ok(PasswordOutcome::Unreachable), _) => {
            if !has_strange_suffix(name, &domains) {
                tries.take_back().await?;
            }
            let sentence = "the user name or the password is wrong, or it cannot be checked now: no \
                            agent of the domain answers";
            Err(unavailable(90033, sentence))
        }
        // A KDC says that an account is disabled before it has seen the password: passing that on
        // would tell whoever asks which accounts there are.
        // Where somebody has signed in as it before, that is no news.
        (Ok(outcome), _) => {
            sleep_until(begun + WRONG_AFTER).await;
            // What AD says is newer than what came up from there.
            let closed = Closed::of(outcome).or(closed);
            Err(match closed.filter(|_| is_known) {
                Some(closed) => closed.refusal(),
                None => Refusal::grant(
                    50126,
                    "the user name or the password is wrong, or the account may not sign in now",
                ),
            })
        }
        (Err(refusal), _) => {
            tries.take_back().await?;
            Err(refusal)
        }
    }
}

/// What becomes of a password: first here, then in AD unless it was right here.
async fn outcome(
    app: &App,
    (name, user): (&str, Option<&User>),
    password: Secret<String>,
    domains: &[Domain],
) -> Result<PasswordOutcome, Refusal> {
    let stored = match user {
        Some(user) => app.store.password(app.tenant.id, user.guid).await?,
        None => None,
    };
    let must_change = stored.as_ref().is_some_and(|stored| stored.must_change);
    let hash = stored.map(|stored| stored.hash);
    let Ok(is_right) = app.hashing.verify(hash, password.clone()).await? else {
        return Err(busy());
    };
    if is_right {
        return Ok(match must_change {
            true => PasswordOutcome::Expired,
            false => PasswordOutcome::Right,
        });
    }
    let Some((domain, sid)) = asked_about(app, user, name, domains)? else {
        return Ok(PasswordOutcome::Wrong);
    };
    let has_account = user.is_some_and(|user| user.kind != UserKind::Cloud);
    // What was typed for an account that AD does not have is none of AD's business.
    let password = if has_account {
        password
    } else {
        Secret::new(String::new())
    };
    let said = app.work.check_password(domain, sid, password, AGENT_WAIT);
    let said = said.await.unwrap_or(PasswordOutcome::Unreachable);
    Ok(match said {
        PasswordOutcome::Unreachable => PasswordOutcome::Unreachable,
        said if has_account => said,
        _ => PasswordOutcome::Wrong,
    })
}

/// Whether a name is a principal name of no domain.
fn has_strange_suffix(name: &str, domains: &[Domain]) -> bool {
    match typed(name) {
        Typed::Principal { suffix, .. } => domain_of(suffix, domains).is_none(),
        Typed::Down { .. } | Typed::Bare(_) => false,
    }
}

/// One of the domains for a name that may be of any: the same name is always asked in the same one, as
/// it would be if it were somebody's. Which one, nobody else can tell beforehand.
fn any_domain<'a>(app: &App, name: &str, domains: &'a [Domain]) -> Option<&'a Domain> {
    let key = app.keyring.master.derive("nobody's domain");
    let [byte, ..] = sha256(&[key.expose(), name.to_lowercase().as_bytes()].concat());
    domains.get(usize::from(byte).checked_rem(domains.len())?)
}

/// Whom the agent is asked about, and in which domain; nobody where there is no domain.
fn asked_about(
    app: &App,
    user: Option<&User>,
    name: &str,
    domains: &[Domain],
) -> Result<Option<(Guid, Sid)>, Refusal> {
    if let Some(account) = user.and_then(|user| user.domain().zip(user.sid().cloned())) {
        return Ok(Some(account));
    }
    let named = match typed(name) {
        Typed::Down { domain, .. } => domain_of(domain, domains),
        Typed::Principal { suffix, .. } => domain_of(suffix, domains),
        Typed::Bare(_) => None,
    };
    let Some(domain) = named.or_else(|| any_domain(app, name, domains)) else {
        return Ok(None);
    };
    let sid = format!("{}-{NOBODYS_RID}", domain.sid)
        .parse()
        .map_err(|_| anyhow!("a stored domain has a SID that is none: a bug"))?;
    Ok(Some((domain.guid, sid)))
}

/// Whether an account of the server's own is a good one. It must not be taken for one of a directory:
/// no agent's domain is in its name.
pub(crate) async fn expect_own(app: &App, user: &User) -> Result<(), Refusal> {
    let bad = |sentence| Refusal::own(StatusCode::BAD_REQUEST, "bad_request", sentence);
    let texts = [
        Some(&user.upn),
        Some(&user.display_name),
        user.mail.as_ref(),
    ];
    if texts.iter().flatten().any(|text| text.len() > MAX_NAME) {
        return Err(bad("a text is longer than 256 bytes"));
    }
    let is_part = |text: &str| {
        let is_bad = |c: char| c.is_whitespace() || c.is_control() || "@\\/".contains(c);
        !text.is_empty() && !text.contains(is_bad)
    };
    let parts = user.upn.split_once('@');
    let Some((_, suffix)) = parts.filter(|(name, suffix)| is_part(name) && is_part(suffix)) else {
        return Err(bad("the principal name is not NAME@DOMAIN"));
    };
    let domains = app.store.domains(app.tenant.id).await?;
    if domain_of(suffix, &domains).is_some() {
        let sentence = "that domain is a directory's: its users come from its agent";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    Ok(())
}

/// Whether no setting names a group, and no policy is assigned to it: one that is gone would mean something else than it did.
pub(crate) async fn expect_unused(app: &App, group: Guid) -> Result<(), Refusal> {
    let settings = app.store.settings(app.tenant.id).await?;
    let attested = settings.attestation_by_group.iter().map(|(group, _)| group);
    let mut named = settings
        .register_keys_groups
        .iter()
        .chain(&settings.join_devices_groups)
        .chain(attested);
    if named.any(|named| *named == group) {
        let sentence = "a setting names this group: change it first (settings show)";
        return Err(Refusal::own(StatusCode::CONFLICT, "conflict", sentence));
    }
    policies::edit::expect_unassigned(app, group).await
}

/// The hash of a new password of an account of the server's own.
pub(crate) async fn hash(app: &App, password: Secret<String>) -> Result<String, Refusal> {
    match app.hashing.hash(password).await? {
        Ok(hash) => Ok(hash),
        Err(Busy) => Err(busy()),
    }
}

fn unavailable(number: u32, sentence: &str) -> Refusal {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Refusal::oauth(status, "temporarily_unavailable", number, sentence).retry_after(5)
}

fn busy() -> Refusal {
    unavailable(
        90025,
        "the server checks too many passwords already: try again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(dns_name: &str, netbios_name: &str) -> Domain {
        Domain {
            guid: Guid::from_le_bytes([1; 16]),
            sid: "S-1-5-21-1-2-3".parse().unwrap(),
            dns_name: dns_name.to_owned(),
            netbios_name: netbios_name.to_owned(),
        }
    }

    #[test]
    fn a_name_is_read_in_each_of_its_forms() {
        for (name, expected) in [
            (
                "a@b@corp.example",
                Typed::Principal {
                    name: "a@b",
                    suffix: "corp.example",
                },
            ),
            (
                "CORP\\alice",
                Typed::Down {
                    domain: "CORP",
                    sam: "alice",
                },
            ),
            ("alice", Typed::Bare("alice")),
        ] {
            assert_eq!(typed(name), expected);
        }
    }

    #[test]
    fn every_form_of_a_name_that_nobody_has_is_counted_as_one() {
        let domains = [domain("corp.example", "CORP")];
        for name in [
            "nobody@corp.example",
            "CORP\\Nobody",
            "nobody",
            "NOBODY@CORP",
        ] {
            assert_eq!(counted_as(name, None, &domains), "nobody@corp.example");
        }
        assert_eq!(counted_as("x@Other", None, &domains), "x@other");
    }
}
