//! `latchkey join`, `leave` and `status`.

use std::fmt::Write;

use ipc::{Answered, CanReset, Leave, PreReqResult, Status, StatusAnswer};

use crate::{
    arguments::Join,
    daemon::{self, PATIENT, QUICK},
    output::Output,
    person,
};

pub(crate) fn join(how: Join, output: &Output) -> anyhow::Result<()> {
    output.progress("Joining; the sync agent brings this machine to the server …");
    let request = ipc::Join {
        url: how.url,
        fingerprint: how.fingerprint,
    };
    let answer = daemon::ask(&request, PATIENT)?;
    output.result(&answer, || {
        format!("Joined {} as device {}.", answer.server, answer.device_id)
    })
}

pub(crate) fn leave(output: &Output) -> anyhow::Result<()> {
    let done = daemon::ask(&Leave {}, PATIENT)?;
    output.result(&done, || {
        "Left; no credential is left on this machine.".to_owned()
    })
}

pub(crate) fn status(output: &Output) -> anyhow::Result<()> {
    let remote = person::is_remote();
    let status = daemon::ask(&Status { remote }, QUICK)?;
    output.result(&status, || describe(&status))
}

fn describe(status: &StatusAnswer) -> String {
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "joined:       {}",
        if status.joined { "yes" } else { "no" }
    );
    let _ = writeln!(text, "server:       {}", or_none(&status.server));
    let _ = writeln!(text, "device:       {}", or_none(&status.device_id));
    let _ = writeln!(text, "realm:        {}", or_none(&status.realm));
    let _ = writeln!(text, "key storage:  {}", status.key_storage);
    let _ = writeln!(text, "TPM:          {}", status.tpm);
    let found = &status.prerequisites;
    let yes = |answer| if answer == Answered::Yes { "yes" } else { "no" };
    let _ = writeln!(
        text,
        "policy:       enrollment turned on: {}, offered at sign-in: {}",
        yes(found.policy_enabled),
        yes(found.post_logon_enabled)
    );
    let _ = writeln!(
        text,
        "enrollment:   {}",
        match found.pre_req_result {
            PreReqResult::WillProvision => "offered",
            PreReqResult::WillNotProvision => "not offered",
        }
    );
    let primary = &status.primary_token;
    let _ = writeln!(
        text,
        "server token: {}",
        match (&primary.failure, primary.present) {
            (Some(failure), _) => failure.sentence.as_str(),
            (None, present) => yes(present),
        }
    );
    for credential in &status.credentials {
        let _ = writeln!(
            text,
            "credential:   {} (uid {})",
            credential.upn, credential.uid
        );
        let _ = writeln!(text, "  state:      {}", credential.state);
        if let Some(detail) = &credential.detail {
            let _ = writeln!(text, "  reason:     {detail}");
        }
        let _ = writeln!(text, "  key id:     {}", credential.key_id);
        let (left, limit) = (credential.tries_left, credential.tries_limit);
        let _ = writeln!(text, "  PIN tries:  {left} of {limit} left");
        if credential.pin_kept {
            let _ = writeln!(text, "  tickets:    renewed without a question");
        }
        if let Some(days) = credential.pin_expires_in_days {
            let _ = writeln!(
                text,
                "  PIN age:    {}",
                match days {
                    0 => "has to be changed now".to_owned(),
                    1 => "has to be changed within a day".to_owned(),
                    days => format!("has to be changed within {days} days"),
                }
            );
        }
        let _ = writeln!(
            text,
            "  PIN reset:  {}",
            match credential.can_reset {
                CanReset::DestructiveOnly => "with a new key",
                CanReset::NonDestructiveOnly => "for this key",
                CanReset::DestructiveAndNonDestructive => "for this key, or with a new one",
                CanReset::Unknown => "not now",
            }
        );
    }
    text
}
