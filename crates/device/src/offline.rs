//! Signing in while no domain controller answers: for whom, for how long, and when no more.
//!
//! The TPM proves the PIN; that the account still exists is believed for some days after a domain
//! controller last accepted this very key and the host's keytab confirmed its ticket.
//!
//! What must hold: what the domain said last counts until it says something else. Whoever was refused
//! stays refused with the cable pulled. A clock that shows less than it has shown before is no clock
//! to count days by. Records are root's alone and belong to one key of one SID: a new key has none.
//!
//! A refusal is not signed, so somebody on the network can forge one. It keeps a person from signing
//! in offline until a domain controller accepts the key again; believing nobody's refusal would let a
//! disabled account in.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipc::Failure;
use model::{Sid, UnixTime};
use serde::{Deserialize, Serialize};

use crate::{Error, credential::Credential, files, text};

/// What the domain said of one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    sid: Sid,
    /// KeyID of the key.
    key: String,
    /// When a domain controller last accepted it; none: it never did.
    accepted: Option<UnixTime>,
    /// The latest time that this machine has shown since then.
    latest: UnixTime,
    /// What the domain said last, where that was no.
    refused: Option<Failure>,
}

/// The folder of records, and those that are newer in memory.
pub(crate) struct Offline {
    folder: PathBuf,
    unwritten: Mutex<HashMap<u32, Record>>,
}

impl Offline {
    /// In the daemon's folder.
    pub(crate) fn in_folder(folder: &Path) -> Result<Self, Error> {
        let folder = folder.join("offline");
        files::folder(&folder, 0o700)?;
        files::sweep(&folder)?;
        let unwritten = Mutex::default();
        Ok(Self { folder, unwritten })
    }

    /// A domain controller has accepted the key, and the host's keytab the ticket. It counts at once,
    /// and is to be written afterwards ([`Offline::write`]): one that a crash takes away has only
    /// fewer days to come.
    pub(crate) fn accepted(&self, credential: &Credential, now: UnixTime) -> Result<(), Error> {
        let mut unwritten = self.lock();
        let record = Record {
            accepted: Some(now),
            latest: now,
            refused: None,
            ..self.record(&unwritten, credential, now)?
        };
        unwritten.insert(credential.uid, record);
        Ok(())
    }

    /// Writes what is newer in memory. Blocks.
    pub(crate) fn write(&self, uid: u32) -> Result<(), Error> {
        let mut unwritten = self.lock();
        if let Some(record) = unwritten.get(&uid) {
            files::write(&self.file(uid), record)?;
            unwritten.remove(&uid);
        }
        Ok(())
    }

    /// The domain has refused it.
    pub(crate) fn refused(
        &self,
        credential: &Credential,
        failure: &Failure,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.change(credential, now, |record| {
            record.refused = Some(failure.clone());
            record.latest = record.latest.max(now);
        })
    }

    /// May the key open a session without the domain, under a policy of so many days? A success says
    /// until when. The time that it was asked counts at once, and is to be written afterwards.
    pub(crate) fn judge(
        &self,
        credential: &Credential,
        days: u32,
        now: UnixTime,
    ) -> Result<UnixTime, Error> {
        let mut unwritten = self.lock();
        let record = self.find(&unwritten, credential)?;
        let until = judge(record.as_ref(), days, now).map_err(Error::Refused)?;
        if let Some(mut record) = record.filter(|record| record.latest < now) {
            record.latest = now;
            unwritten.insert(credential.uid, record);
        }
        Ok(until)
    }

    /// The machine has shown this time: no record may be read by an earlier clock.
    pub(crate) fn note(&self, credential: &Credential, now: UnixTime) -> Result<(), Error> {
        match self.read(credential)? {
            Some(record) if record.latest < now => {
                self.change(credential, now, |record| record.latest = now)
            }
            _ => Ok(()),
        }
    }

    /// The record of this very key.
    fn read(&self, credential: &Credential) -> Result<Option<Record>, Error> {
        self.find(&self.lock(), credential)
    }

    fn find(
        &self,
        unwritten: &HashMap<u32, Record>,
        credential: &Credential,
    ) -> Result<Option<Record>, Error> {
        let record = match unwritten.get(&credential.uid) {
            Some(record) => Some(record.clone()),
            None => files::read(&self.file(credential.uid))?,
        };
        let key = key_id(credential)?;
        Ok(record.filter(|record| record.sid == credential.sid && record.key == key))
    }

    /// The same, or one that says nothing yet.
    fn record(
        &self,
        unwritten: &HashMap<u32, Record>,
        credential: &Credential,
        now: UnixTime,
    ) -> Result<Record, Error> {
        match self.find(unwritten, credential)? {
            Some(record) => Ok(record),
            None => Ok(Record {
                sid: credential.sid.clone(),
                key: key_id(credential)?,
                accepted: None,
                latest: now,
                refused: None,
            }),
        }
    }

    fn change(
        &self,
        credential: &Credential,
        now: UnixTime,
        change: impl FnOnce(&mut Record),
    ) -> Result<(), Error> {
        let mut unwritten = self.lock();
        let before = self.find(&unwritten, credential)?;
        let mut record = self.record(&unwritten, credential, now)?;
        change(&mut record);
        if before.as_ref() == Some(&record) {
            return Ok(());
        }
        files::write(&self.file(credential.uid), &record)?;
        unwritten.remove(&credential.uid);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Record>> {
        self.unwritten
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, uid: u32) -> PathBuf {
        self.folder.join(format!("{uid}.json"))
    }
}

fn key_id(credential: &Credential) -> Result<String, Error> {
    Ok(text::hex(&credential.public_key()?.key_id()))
}

/// Whether a failure means that the domain was not heard, and not that it said no.
pub(crate) fn is_unheard(failure: &Failure) -> bool {
    matches!(failure.code.as_str(), "no_kdc" | "kdc_not_trusted")
}

/// Whether a failure is the domain's own no about the account or its key.
pub(crate) fn is_refusal(failure: &Failure) -> bool {
    const REFUSALS: [&str; 10] = [
        "account_revoked",
        "account_disabled",
        "account_locked",
        "account_expired",
        "outside_hours",
        "password_expired",
        "policy_refused",
        "unknown_account",
        "key_not_in_directory",
        "name_mismatch",
    ];
    REFUSALS.contains(&failure.code.as_str())
}

fn judge(record: Option<&Record>, days: u32, now: UnixTime) -> Result<UnixTime, Failure> {
    let refuse = |code, sentence: &str| {
        Err(Failure::new(
            code,
            format!("No domain controller answers. {sentence}"),
        ))
    };
    if let Some(refused) = record.and_then(|record| record.refused.as_ref()) {
        let sentence = format!(
            "When the domain was last asked, it said: {}",
            refused.sentence
        );
        return refuse(&refused.code, &sentence);
    }
    let Some(record) = record else {
        return refuse("no_kdc", NEVER);
    };
    let Some(accepted) = record.accepted else {
        return refuse("no_kdc", NEVER);
    };
    if days == 0 {
        return refuse(
            "offline_refused",
            "Your organization does not take the PIN without one; sign in with your password.",
        );
    }
    if now.0 < record.latest.0.saturating_sub(CLOCK_SLACK_S) {
        return refuse(
            "offline_expired",
            "The clock of this machine was set back, so that the PIN is not taken without one; \
             connect to your organization's network, or set the clock right.",
        );
    }
    let until = accepted.plus(i64::from(days) * DAY_S);
    if now > until {
        let sentence = format!(
            "The last one that accepted your key did so more than {days} days ago; connect to your \
             organization's network, or sign in with your password."
        );
        return refuse("offline_expired", &sentence);
    }
    Ok(until)
}

const NEVER: &str = "None has accepted your key from this machine yet; sign in with your password.";

const DAY_S: i64 = 24 * 3600;

/// By so much a clock may be corrected.
const CLOCK_SLACK_S: i64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    const T0: UnixTime = UnixTime(1_700_000_000);

    fn record(refused: Option<&str>) -> Record {
        Record {
            sid: "S-1-5-21-1-2-3-1104".parse().unwrap(),
            key: "00".to_owned(),
            accepted: Some(T0),
            latest: T0.plus(DAY_S),
            refused: refused.map(|code| Failure::new(code, "It is disabled.")),
        }
    }

    #[test]
    fn days_the_clock_and_the_domain_s_last_word_decide() {
        let known = record(None);
        let never = Record {
            accepted: None,
            ..record(None)
        };
        let refused = record(Some("account_disabled"));
        for (record, days, after, outcome) in [
            (Some(&known), 30, DAY_S, Ok(30)),
            (Some(&known), 30, 30 * DAY_S, Ok(30)),
            (Some(&known), 30, 30 * DAY_S + 1, Err("offline_expired")),
            // A policy that is changed counts for what was before, too.
            (Some(&known), 2, 2 * DAY_S + 1, Err("offline_expired")),
            (Some(&known), 0, DAY_S, Err("offline_refused")),
            // The machine has shown T0 and a day.
            (Some(&known), 30, DAY_S - CLOCK_SLACK_S, Ok(30)),
            (
                Some(&known),
                30,
                DAY_S - CLOCK_SLACK_S - 1,
                Err("offline_expired"),
            ),
            (Some(&known), 30, -1, Err("offline_expired")),
            (Some(&refused), 30, DAY_S, Err("account_disabled")),
            (Some(&never), 30, DAY_S, Err("no_kdc")),
            (None, 30, DAY_S, Err("no_kdc")),
        ] {
            let judged = judge(record, days, T0.plus(after));
            let judged = judged.as_ref().map(|until| (until.0 - T0.0) / DAY_S);
            let judged = judged.map_err(|failure| failure.code.as_str());
            assert_eq!(judged, outcome, "{days} days, {after} s later");
        }
    }

    #[test]
    fn a_refusal_is_told_from_silence() {
        for (code, unheard, refusal) in [
            ("no_kdc", true, false),
            ("kdc_not_trusted", true, false),
            ("account_disabled", false, true),
            ("key_not_in_directory", false, true),
            ("password_expired", false, true),
            ("policy_refused", false, true),
            ("clock_skew", false, false),
            ("kerberos_failed", false, false),
        ] {
            let failure = Failure::new(code, "");
            assert_eq!(
                (is_unheard(&failure), is_refusal(&failure)),
                (unheard, refusal)
            );
        }
    }
}
