//! What an enrollment needs, failed for real, one thing at a time, on one workstation: each time the
//! password opens a shell, nobody is asked about a PIN, and the event says what is missing.
//!
//! Elsewhere: a machine without a TPM where a policy wants one (`software`), and a TPM that cannot tell
//! which account is whose (unit tests of `latchkeyd`).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::company::{Company, text};
use testkit::lab::{Host, Talk};
use testkit::wait::until;

use crate::broken::start_or_end;
use crate::company;
use crate::policy::{Object, last_event, machine};
use crate::sessions::unplugged_host;
use crate::terminal::{end_of_shell, leave, login_by_password, login_by_pin, shell_by_pin};
use crate::whole::Local;

const PIN: &str = "602214076119";
const TPM_STATE: &str = "/var/lib/swtpm";

/// One prerequisite.
struct Missing {
    what: &'static str,
    event: u64,
    /// The field of the event that says so; none where only the reason does.
    field: Option<(&'static str, &'static str)>,
    /// What the reason has in it, or one of several that a bar divides.
    reason: &'static str,
}

const fn missing(
    what: &'static str,
    field: Option<(&'static str, &'static str)>,
    reason: &'static str,
) -> Missing {
    let event = 360;
    Missing {
        what,
        event,
        field,
        reason,
    }
}

/// The number of the last event of a person.
fn last(company: &Company, person: &str) -> u64 {
    let event = last_event(company, person);
    event.map_or(0, |event| event["seq"].as_u64().unwrap_or_default())
}

impl Missing {
    /// `person` signs in by `sign_in`, and is told nothing about a PIN.
    fn shows(
        &self,
        company: &Company,
        person: &str,
        sign_in: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        let before = last(company, person);
        let shown = sign_in().context(self.what)?;
        ensure!(
            !shown.contains("Set up a PIN"),
            "{}: an enrollment: {shown}",
            self.what
        );
        until("the event", Duration::from_secs(10), || {
            last(company, person) > before
        })
        .context(self.what)?;
        let event = last_event(company, person)?;
        let told = text(&event, "Reason")?;
        let is_it = event["event"] == self.event
            && event["PreReqResult"] == "WillNotProvision"
            && self.reason.split('|').any(|reason| told.contains(reason))
            && self.field.is_none_or(|(name, value)| event[name] == value);
        ensure!(is_it, "{}: {event}", self.what);
        // Whatever else an administrator reads there is as it should be.
        let (Some((field, _)), 360) = (self.field, self.event) else {
            return Ok(());
        };
        for other in ["IsDeviceJoined", "IsUserAzureAD", "SessionIsNotRemote"] {
            let is_well = event[other] == "YES" || field == other;
            ensure!(is_well, "{}: {other} too: {event}", self.what);
        }
        Ok(())
    }

    fn shows_at_login(&self, company: &Company) -> Result<()> {
        self.shows(company, "alice", || {
            end_of_shell(company, login_by_password(company, "alice")?, "alice")
        })
    }

    /// Where the password cannot be checked, or another program begins the session.
    fn shows_in(&self, company: &Company, person: &str, words: &[&str]) -> Result<()> {
        let host = company.workstation()?;
        self.shows(company, person, || host.command(words).ok())
    }
}

#[test]
fn whatever_is_missing_keeps_an_enrollment_from_starting_and_the_event_says_what_it_is()
-> Result<()> {
    let (_turn, company) = company();
    company.forget_everyone()?;
    company.give_factor("alice")?;
    missing(
        "no policy",
        Some(("PolicyEnabled", "NO")),
        "No policy turns Windows Hello for Business on.",
    )
    .shows_at_login(company)?;

    let object = Object::linked(company, "hello", &[machine("Enabled", 1)])?;
    // The control: with nothing missing, the question is asked.
    let mut talk = login_by_password(company, "alice")?;
    talk.expect("Set up a PIN on this machine for alice@")?;
    talk.type_line("")?;
    end_of_shell(company, talk, "alice")?;
    ensure!(last_event(company, "alice")?["event"] == 358);

    policies(company, &object)?;
    parts(company)?;
    people(company)?;
    machine_itself(company)?;
    drop(object);
    company.forget_everyone()
}

fn policies(company: &Company, object: &Object<'_>) -> Result<()> {
    object.load(&[machine("Enabled", 0)])?;
    missing(
        "policy off",
        Some(("PolicyEnabled", "NO")),
        "\"hello\" (group policy, computer half) turns Windows Hello for Business off.",
    )
    .shows_at_login(company)?;

    let by_hand = "DisablePostLogonProvisioning";
    object.load(&[machine("Enabled", 1), machine(by_hand, 1)])?;
    missing(
        "by hand only",
        Some(("PostLogonEnabled", "NO")),
        "keeps enrollment from starting after sign-in.",
    )
    .shows_at_login(company)?;

    let certificates = "UseCertificateForOnPremAuth";
    object.load(&[machine(by_hand, 0), machine(certificates, 1)])?;
    Missing {
        event: 362,
        ..missing(
            "certificates",
            Some(("CertificateTrustEnabled", "YES")),
            "asks for a certificate for each key",
        )
    }
    .shows_at_login(company)?;
    object.load(&[machine(certificates, 0)])
}

/// The other machines.
fn parts(company: &Company) -> Result<()> {
    company.server()?.stop("latchkey-server")?;
    let shown = missing("no server", None, "the server does not answer").shows_at_login(company);
    company.run_server()?;
    shown?;

    let su = ["su", "-", "alice", "-c", "true"];
    unplugged_host(company, "dc", || {
        missing("no domain", None, "no domain controller answers")
            .shows_in(company, "alice", &su)?;
        // Where there never was a set of policies, that is the reason.
        let host = company.workstation()?;
        host.sh(
            "mv /var/lib/latchkey/policy /var/lib/latchkey/policy.kept && \
                 install -d -m 700 /var/lib/latchkey/policy",
        )?;
        let shown = missing(
            "no policy was ever read",
            Some(("PolicyEnabled", "NO")),
            "no policy was read yet|No domain controller answers.",
        )
        .shows_in(company, "alice", &su);
        host.sh("rm -r /var/lib/latchkey/policy && \
                 mv /var/lib/latchkey/policy.kept /var/lib/latchkey/policy")?;
        shown
    })
}

/// Who it is, and from where.
fn people(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    let remote = ["pamtester", "-I", "rhost=10.77.0.99", "login", "alice"];
    missing(
        "over the network",
        Some(("SessionIsNotRemote", "NO")),
        "the session comes over the network",
    )
    .shows_in(
        company,
        "alice",
        &[&remote[..], &["open_session", "close_session"]].concat(),
    )?;

    let local = Local::called(host, "dora")?;
    missing(
        "an account of the machine's own",
        Some(("IsUserAzureAD", "NO")),
        "this account is none of the domain",
    )
    .shows_in(company, "dora", &["su", "-", "dora", "-c", "true"])?;
    drop(local);

    company.enrolled("alice", PIN)?;
    let before = last(company, "alice");
    let shown = end_of_shell(company, login_by_password_past_pin(company)?, "alice")?;
    ensure!(!shown.contains("Set up a PIN"), "{shown}");
    let shown = leave(shell_by_pin(company, "alice", PIN)?)?;
    ensure!(!shown.contains("Set up a PIN"), "{shown}");
    // Nobody wonders why, so that there is no event at each sign-in.
    ensure!(last(company, "alice") == before);
    ensure!(company.status("alice")?["PreReqResult"] == "WillNotProvision");
    company.forget_everyone()
}

fn login_by_password_past_pin(company: &Company) -> Result<Talk> {
    let mut talk = login_by_pin(company, "alice", "")?;
    talk.expect("Password: ")?;
    talk.type_line(company.lab.password("alice")?)?;
    Ok(talk)
}

fn machine_itself(company: &Company) -> Result<()> {
    let host = company.workstation()?;
    let daemon_between = |act: &dyn Fn() -> Result<()>| {
        if host.pid("latchkeyd").is_some() {
            host.stop("latchkeyd")?;
        }
        act()?;
        start_or_end(company)
    };
    let eligible = Some(("DeviceEligible", "NO"));
    daemon_between(&|| company.lab.stop_tpm("ws1"))?;
    let shown = missing("no TPM", eligible, "the TPM of this machine cannot be used")
        .shows_at_login(company);
    host.sh(&format!("cp -a {TPM_STATE} {TPM_STATE}.kept"))?;
    daemon_between(&|| {
        company.lab.start_tpm("ws1")?;
        fail_until_lockout(&host)
    })?;
    let shown = shown.and_then(|()| {
        missing(
            "a TPM in lockout",
            eligible,
            "the TPM of this machine takes no PIN for",
        )
        .shows_at_login(company)
    });
    // As if the time had passed.
    daemon_between(&|| {
        company.lab.stop_tpm("ws1")?;
        host.sh(&format!(
            "rm -r {TPM_STATE} && mv {TPM_STATE}.kept {TPM_STATE}"
        ))?;
        company.lab.start_tpm("ws1")
    })?;
    shown?;

    host.command(&["latchkey", "leave"]).ok()?;
    let shown = missing(
        "not joined",
        Some(("IsDeviceJoined", "NO")),
        "this machine has not joined a server",
    )
    .shows_at_login(company);
    host.command(&["latchkey", "join"]).ok()?;
    shown?;
    let status: Value = company.status("root")?;
    ensure!(status["AzureAdJoined"] == "YES", "{status}");
    Ok(())
}

/// Shows the TPM wrong values for something of its owner's until it takes none any more.
fn fail_until_lockout(host: &Host) -> Result<()> {
    host.sh("export TPM2TOOLS_TCTI=swtpm:host=127.0.0.1,port=2321
         tpm2_nvdefine 0x1500016 --size=4 --index-auth=right --attributes='authread|authwrite'
         for try in $(seq 40); do
             ! tpm2_nvread 0x1500016 --auth=wrong 2>/run/refusal || exit 1
         done
         tpm2_nvundefine 0x1500016
         grep -q 0x921 /run/refusal")
        .map(drop)
}
