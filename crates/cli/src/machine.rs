//! `latchkey join`, `leave` and `tpm`.

use ipc::{Leave, TpmUnlock};

use crate::{
    answers::Answers,
    arguments::{Join, Tpm},
    daemon::{self, PATIENT, QUICK},
    ffi,
    output::Output,
    person::ask,
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

pub(crate) fn tpm(what: Tpm, output: &Output) -> anyhow::Result<()> {
    let Tpm::Unlock { code, code_stdin } = what;
    let mut answers = match code_stdin {
        true => Some(Answers::line_from_stdin("code")?),
        false if code || ffi::uid() != 0 => Some(Answers::terminal()?),
        false => None,
    };
    let code = answers.as_mut();
    let code = code.map(|answers| ask(answers, "code", "Code from your administrator: "));
    let request = TpmUnlock {
        code: code.transpose()?,
    };
    let answer = daemon::ask(&request, QUICK)?;
    output.result(&answer, || {
        let said = match answer.was_locked {
            true => "The TPM takes PINs again.",
            false => "The TPM took PINs before; its count of failures is nothing now.",
        };
        said.to_owned()
    })
}
