//! The connection to latchkeyd.

use std::time::Duration;

use ipc::{CallError, Connection, Request};

/// For what the daemon answers out of its memory and its TPM.
pub(crate) const QUICK: Duration = Duration::from_secs(30);

/// For what waits for the network, the sync agent, or a TPM that makes keys.
pub(crate) const PATIENT: Duration = Duration::from_secs(300);

/// Asks one thing.
pub(crate) fn ask<R: Request>(request: &R, patience: Duration) -> Result<R::Answer, CallError> {
    Connection::open(patience)?.call(request)
}
