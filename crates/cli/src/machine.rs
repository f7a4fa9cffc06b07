//! `latchkey join` and `leave`.

use ipc::Leave;

use crate::{
    arguments::Join,
    daemon::{self, PATIENT},
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
