//! `latchkey join`, `leave` and `status`.

use std::fmt::Write;

use ipc::{Leave, Status, StatusAnswer};

use crate::{
    arguments::Join,
    daemon::{self, PATIENT, QUICK},
    output::Output,
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
    let status = daemon::ask(&Status {}, QUICK)?;
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
    }
    text
}
