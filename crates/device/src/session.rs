//! The beginning of a session: is an enrollment offered, and which event says why.
//!
//! The questions and numbers are those that administrators know from `dsregcmd /status` and the
//! event log of User Device Registration: 358 where an enrollment is offered, 360 where it is not,
//! 362 where it waits for a certificate that nobody here issues.

use std::{sync::Arc, time::Duration};

use ipc::{
    Answered, CertEnrollment, Done, Failure, Lock, PreReqResult, Prerequisites, SessionClose,
    SessionOpen, SessionOpenAnswer,
};
use model::Sid;
use policy::merge::{Effective, Provision};
use tokio::time::timeout;

use crate::{
    Error,
    accounts::{Account, FIRST_ORDINARY_UID},
    credential::{Credential, State},
    daemon::Daemon,
    error::refused,
    events::{Event, Id},
    key_storage::KeyStorage,
    peer::Peer,
    pin::tries::duration,
    policies::{SESSION_PATIENCE, Subject},
};

/// How a person comes.
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    remote: bool,
    /// Has the domain just not told the policies in time?
    domain_is_silent: bool,
}

impl Visit {
    /// Nobody was asked on the way.
    pub(crate) fn of(remote: bool) -> Self {
        Self {
            remote,
            domain_is_silent: false,
        }
    }
}

/// What was found of a person, and the sentence for it.
pub(crate) struct Judged {
    pub(crate) prerequisites: Prerequisites,
    pub(crate) certificate_trust: bool,
    pub(crate) cloud_trust: bool,
    pub(crate) governed_by_group_policy: bool,
    pub(crate) event: Id,
    pub(crate) why: String,
}

impl Judged {
    /// All is well but for this.
    fn without(mut self, why: &str) -> Self {
        self.prerequisites.pre_req_result = PreReqResult::WillNotProvision;
        self.event = Id::WillNotProvision;
        self.why = why.to_owned();
        self
    }
}

/// A person's session has begun.
pub(crate) async fn open(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: SessionOpen,
) -> Result<SessionOpenAnswer, Error> {
    if !peer.is_root() {
        return Err(refused("not_allowed", "Only root may open a session."));
    }
    let nothing = SessionOpenAnswer {
        result: PreReqResult::WillNotProvision,
    };
    let Some(account) = daemon.account_by_name(args.user).await? else {
        return Ok(nothing);
    };
    let Some(sid) = daemon.sid(account.uid).await? else {
        tokio::spawn(tell_stranger(Arc::clone(daemon), account, args.remote));
        return Ok(nothing);
    };
    daemon.session_opened(account.uid, peer);
    if let Some(usable) = daemon.presence.usable(account.uid)
        && !daemon.primaries.is_held(account.uid)
        && let Some(credential) = daemon.credential(account.uid).await?
        && credential.key == usable.key
    {
        daemon.get_primary(credential, usable.pin);
    }
    // It goes on where it takes longer than a person should wait.
    let (reader, whose) = (Arc::clone(daemon), sid.clone());
    let reading = tokio::spawn(async move { reader.refresh_person(&whose).await });
    // What went wrong is kept with the set.
    let domain_is_silent = timeout(SESSION_PATIENCE, reading).await.is_err();
    let in_force = daemon.policies.in_force(&Subject::Person(sid.clone()));
    if let Some(failure) = in_force.error() {
        let event = Event::new(Id::PolicyNotEvaluated).of(account.uid, &account.name, Some(&sid));
        daemon.events.tell(&event.because(failure));
    }
    let visit = Visit {
        remote: args.remote,
        domain_is_silent,
    };
    let judged = daemon.judge(Some((account.uid, &sid)), visit).await?;
    if !daemon.credential(account.uid).await?.is_some_and(is_whole) {
        daemon.tell_event(&account, Some(&sid), &judged);
    }
    Ok(SessionOpenAnswer {
        result: judged.prerequisites.pre_req_result,
    })
}

/// Tells why an account of the machine's own gets no enrollment; its session does not wait for that. The
/// accounts of services begin sessions all day long.
async fn tell_stranger(daemon: Arc<Daemon>, account: Account, remote: bool) {
    if account.uid < FIRST_ORDINARY_UID {
        return;
    }
    match daemon.judge(None, Visit::of(remote)).await {
        Ok(judged) => daemon.tell_event(&account, None, &judged),
        Err(error) => tracing::warn!(%error, "an account could not be judged"),
    }
}

/// A person's session is over.
pub(crate) async fn close(
    daemon: &Arc<Daemon>,
    peer: &Peer,
    args: SessionClose,
) -> Result<Done, Error> {
    if !peer.is_root() {
        return Err(refused("not_allowed", "Only root may close a session."));
    }
    if let Some(account) = daemon.account_by_name(args.user).await? {
        daemon.session_closed(account.uid, &peer.process);
    }
    Ok(Done {})
}

/// The caller's session is locked; root says it of everybody's, before the machine sleeps.
pub(crate) async fn lock(daemon: &Arc<Daemon>, peer: &Peer, _: Lock) -> Result<Done, Error> {
    let whose = (!peer.is_root()).then_some(peer.process.uid);
    daemon.presence.wipe(whose);
    Ok(Done {})
}

impl Daemon {
    /// May a person's PIN be kept while their session is unlocked?
    pub(crate) fn keeps_pin(&self, sid: &Sid) -> bool {
        let in_force = self.policies.in_force(&Subject::Person(sid.clone()));
        in_force.effective().is_none_or(|policy| policy.keeps_pin())
    }

    /// Judges the prerequisites for whoever has that uid and SID; for nobody of the domain, no SID.
    pub(crate) async fn judge(
        &self,
        person: Option<(u32, &Sid)>,
        visit: Visit,
    ) -> Result<Judged, Error> {
        let asked = self.chip.run(|tpm| Ok(tpm.lockout_wait()?));
        let asked = timeout(CHIP_PATIENCE, asked).await;
        let credential = match person {
            Some((uid, _)) => self.credential(uid).await?,
            None => None,
        };
        let facts = Facts {
            joined: self.identity.joined().is_ok(),
            known: person.is_some(),
            usable: matches!(asked, Ok(Ok(_))),
            locked_for_s: asked.ok().and_then(Result::ok).flatten(),
            hardware: self.chip.storage() == KeyStorage::Hardware,
            remote: visit.remote,
            has_credential: credential.is_some(),
            is_whole: credential.is_some_and(is_whole),
        };
        let subject = person.map_or(Subject::Computer, |(_, sid)| Subject::Person(sid.clone()));
        let in_force = self.policies.in_force(&subject);
        let unknown = in_force.error().map(|failure| failure.sentence.clone());
        let judged = judge(facts, in_force.effective(), unknown);
        if judged.prerequisites.pre_req_result == PreReqResult::WillNotProvision {
            return Ok(judged);
        }
        // Asked last, because others have to be asked for it.
        let is_away = |failure: &Failure| failure.code == "directory_unreachable";
        if visit.domain_is_silent || in_force.error().is_some_and(is_away) {
            return Ok(judged.without("no domain controller answers"));
        }
        Ok(match self.server_answers().await {
            true => judged,
            false => judged.without("the server does not answer"),
        })
    }

    /// Without a server an enrollment would ask the person for everything and then fail.
    async fn server_answers(&self) -> bool {
        let asked = async {
            let server = self.server()?;
            Ok::<_, Error>(server.client.nonce(server.joined.tenant).await?)
        };
        matches!(timeout(SERVER_PATIENCE, asked).await, Ok(Ok(_)))
    }

    /// Tells what was found, in the order of the original's fields.
    fn tell_event(&self, account: &Account, sid: Option<&Sid>, judged: &Judged) {
        let found = &judged.prerequisites;
        let governed_by = match judged.governed_by_group_policy {
            true => "group policy",
            false => "none",
        };
        let event = Event::new(judged.event)
            .of(account.uid, &account.name, sid)
            .with("PreReqResult", found.pre_req_result)
            .with("IsDeviceJoined", found.is_device_joined)
            .with("IsUserAzureAD", found.is_user_known)
            .with("PolicyEnabled", found.policy_enabled)
            .with("PostLogonEnabled", found.post_logon_enabled)
            .with("DeviceEligible", found.device_eligible)
            .with("SessionIsNotRemote", found.session_is_not_remote)
            .with(
                "CertificateTrustEnabled",
                Answered::from(judged.certificate_trust),
            )
            .with("GovernedBy", governed_by)
            .with("CloudTrustEnabled", Answered::from(judged.cloud_trust))
            .with("NgcSet", found.ngc_set)
            .with("Reason", &judged.why);
        self.events.tell(&event);
    }
}

/// What does not come from a policy.
#[derive(Clone, Copy)]
struct Facts {
    joined: bool,
    known: bool,
    usable: bool,
    /// For how long the TPM takes no PIN, after too many failures.
    locked_for_s: Option<u32>,
    hardware: bool,
    remote: bool,
    has_credential: bool,
    /// Is nothing left of its enrollment that the person could do?
    is_whole: bool,
}

/// An enrollment that was cut short, or whose key was refused, is offered anew: it resumes, or ends
/// with another key. What only waits for the directory needs nobody.
fn is_whole(credential: Credential) -> bool {
    use api::device::KeyState::{Confirmed, Registered};
    let State::Registered { last, .. } = credential.state else {
        return false;
    };
    matches!(last, Registered | Confirmed)
}

fn judge(facts: Facts, effective: Option<Effective>, unknown: Option<String>) -> Judged {
    let provision = effective.as_ref().map(Effective::provision);
    let enabled = effective.as_ref().is_some_and(Effective::policy_enabled);
    let offered = effective
        .as_ref()
        .is_some_and(Effective::post_logon_enabled);
    let fits = facts.hardware || !effective.as_ref().is_some_and(Effective::requires_hardware);
    let wanted = provision.as_ref().is_some_and(Provision::is_offered);
    let locked = facts.locked_for_s.map(|wait_s| {
        let wait = duration(wait_s);
        format!("the TPM of this machine takes no PIN for {wait}: too many failures")
    });
    let obstacle = match (&provision, facts) {
        (_, Facts { known: false, .. }) => Some("this account is none of the domain"),
        (_, Facts { joined: false, .. }) => Some("this machine has not joined a server"),
        (None, _) => Some(unknown.as_deref().unwrap_or("no policy was read yet")),
        (Some(provision), _) if !wanted => Some(provision.why()),
        (_, Facts { usable: false, .. }) => Some("the TPM of this machine cannot be used"),
        _ if locked.is_some() => locked.as_deref(),
        _ if !fits => Some(
            "hardware requirements met: No; a policy wants keys in a TPM, and this \
             machine keeps them in software",
        ),
        (_, Facts { remote: true, .. }) => Some("the session comes over the network"),
        (_, Facts { is_whole: true, .. }) => Some("there is a PIN already"),
        _ => None,
    };
    let result = match obstacle {
        None => PreReqResult::WillProvision,
        Some(_) => PreReqResult::WillNotProvision,
    };
    let waits_for_certificate = matches!(provision, Some(Provision::Certificate { .. }));
    Judged {
        event: match (&obstacle, waits_for_certificate) {
            (None, _) => Id::WillProvision,
            (Some(_), true) => Id::WaitsForCertificate,
            (Some(_), false) => Id::WillNotProvision,
        },
        why: obstacle.unwrap_or("every prerequisite is met").to_owned(),
        certificate_trust: effective.as_ref().is_some_and(Effective::certificate_trust),
        cloud_trust: effective.as_ref().is_some_and(Effective::cloud_trust),
        governed_by_group_policy: effective
            .as_ref()
            .is_some_and(|effective| effective.governed_by().is_some()),
        prerequisites: Prerequisites {
            ngc_set: facts.has_credential.into(),
            is_device_joined: facts.joined.into(),
            is_user_known: facts.known.into(),
            policy_enabled: Answered::from(enabled),
            post_logon_enabled: offered.into(),
            device_eligible: (facts.usable && locked.is_none() && fits).into(),
            session_is_not_remote: (!facts.remote).into(),
            cert_enrollment: CertEnrollment::None,
            pre_req_result: result,
        },
    }
}

/// A TPM that is busy making a key answers later; a status does not wait for that.
const CHIP_PATIENCE: Duration = Duration::from_secs(20);

/// How long a sign-in waits for a server that it does not need.
const SERVER_PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
