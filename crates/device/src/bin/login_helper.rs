//! latchkey-login-helper: one login by key with libkrb5, as the user.
//!
//! The daemon starts it with an environment of `KRB5_CONFIG` alone and one end of a socket, over which
//! it learns whom to become; `latchkey_device::helper` says what passes over it. It runs apart from the daemon
//! because a credential cache belongs to whom the kernel says its process is, and because libkrb5
//! and the modules it loads have no business in the address space that PINs pass through.

use std::{
    os::unix::net::UnixStream,
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kerberos::{Context, PkinitRequest};
use latchkey_device::helper::{
    Failed, Obtained, Request, Stored, Verdict, ffi, kdc_certificate, receive, send, send_bytes,
};
use zeroizing_alloc::ZeroAlloc;

#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    // The other end of the socket learns of every failure; there is nobody else to tell.
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> std::io::Result<()> {
    let mut daemon = ffi::inherited_socket()?;
    // It comes with the next login, whenever that is.
    let request: Request = receive(&mut daemon)?;
    daemon.set_read_timeout(Some(PATIENCE))?;
    daemon.set_write_timeout(Some(PATIENCE))?;
    ffi::become_user(&request.ids)?;
    ffi::confine()?;
    match log_in(&mut daemon, request) {
        Ok(stored) => send(&mut daemon, &Ok::<Stored, Failed>(stored)),
        Err(failed) => send(&mut daemon, &Err::<Stored, Failed>(failed)),
    }
}

fn log_in(daemon: &mut UnixStream, request: Request) -> Result<Stored, Failed> {
    let Request {
        ids: _,
        principal,
        module,
        anchors,
    } = request;
    let context = Context::new()?;
    let ticket = context.pkinit(&PkinitRequest {
        principal,
        module,
        anchors,
    })?;
    let bytes = ticket.marshal()?;
    let end = ticket
        .end()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |end| end.as_secs());
    let obtained = Obtained {
        principal: ticket.client()?,
        server: ticket.server()?,
        end,
        kdc_certificate: context
            .kdc_reply()
            .and_then(|reply| kdc_certificate(&reply))
            .filter(|certificate| certificate.len() <= LARGEST_CERTIFICATE)
            .map(|certificate| STANDARD.encode(certificate)),
    };
    send(daemon, &Ok::<_, Failed>(obtained))?;
    send_bytes(daemon, &bytes)?;
    let verdict: Verdict = receive(daemon)?;
    if !verdict.verified {
        let message = "the daemon did not confirm the ticket".to_owned();
        return Err(Failed {
            code: "kdc_not_trusted".to_owned(),
            message,
        });
    }
    Ok(Stored {
        ccache: ticket.store_default()?,
    })
}

/// Leaves room for everything else in a frame.
const LARGEST_CERTIFICATE: usize = 16 * 1024;

/// As long as the daemon waits for the whole; when it gives up, it hangs up.
const PATIENCE: Duration = Duration::from_secs(60);
