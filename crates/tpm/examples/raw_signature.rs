//! What a signature costs: one through latchkeyd's socket beside one straight from a TPM, in turn.
//!
//! `cargo xtask bench signin` runs this on a workstation. A PIN of the user's is read from standard
//! input; for each pair one line of three times in microseconds is written: proof of the PIN and
//! signature through the socket, then at the other TPM the salted policy session with its proof and
//! its signature, and the question for a lockout, which ours asks first and the session does not.

use std::error::Error;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use ipc::{Connection, Sign, TokenInfo, Unlock};
use model::{Guid, Secret};
use tpm::{Holder, Recovery, Tpm, UserKey};

/// What begins the DigestInfo of a SHA-256 digest (RFC 8017 9.2, note 1), as the socket takes it.
const DIGEST_INFO: &str = "3031300d060960864801650304020105000420";

const PATIENCE: Duration = Duration::from_secs(30);

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [uid, tcti, pairs] = words.as_slice() else {
        return Err("usage: raw_signature UID TCTI PAIRS, the PIN on standard input".into());
    };
    let (uid, pairs): (u32, u32) = (uid.parse()?, pairs.parse()?);
    let mut pin = String::new();
    io::stdin().read_line(&mut pin)?;
    let pin = pin.trim_end().to_owned();

    let mut daemon = Connection::open(PATIENCE)?;
    let secret = Secret::new(pin.clone());
    let mut tpm = Tpm::open(tcti)?;
    let holder = Holder {
        device: Guid::from_le_bytes([1; 16]),
        user: "S-1-5-21-1-2-3-1104".parse()?,
    };
    let key = tpm.create_user_key(&holder, &secret, Recovery::Destroyed)?;
    for pair in 0..pairs {
        let digest = model::sha256(&pair.to_be_bytes());
        expect_pin(&mut daemon, uid)?;
        let mut ours = || through_socket(&mut daemon, uid, &pin, &digest);
        let mut raw = || straight(&mut tpm, &key, &secret, &digest);
        let (ours, raw) = if pair % 2 == 0 {
            (ours()?, raw()?)
        } else {
            let raw = raw()?;
            (ours()?, raw)
        };
        let times = [ours, raw.signature, raw.question];
        let [ours, signature, question] = times.map(|time| time.as_micros());
        writeln!(io::stdout(), "{ours} {signature} {question}")?;
    }
    tpm.delete_user_key(&key)?;
    Ok(())
}

/// Asks as a login does before it asks the person: the daemon stands by from then on. The second
/// answer comes when it does.
fn expect_pin(daemon: &mut Connection, uid: u32) -> Outcome<()> {
    for _ in 0..2 {
        let remote = false;
        daemon.call(&TokenInfo { uid, remote })?;
    }
    Ok(())
}

/// One PIN, one signature, from the daemon.
fn through_socket(
    daemon: &mut Connection,
    uid: u32,
    pin: &str,
    digest: &[u8; 32],
) -> Outcome<Duration> {
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let begin = Instant::now();
    let ticket = daemon.call(&Unlock {
        uid,
        pin: Some(ipc::Secret::new(pin.to_owned())),
    })?;
    let answer = daemon.call(&Sign {
        ticket: ticket.ticket,
        digest_info: format!("{DIGEST_INFO}{digest}"),
    })?;
    let time = begin.elapsed();
    expect_rsa(answer.signature.len() / 2)?;
    Ok(time)
}

struct Raw {
    signature: Duration,
    question: Duration,
}

/// The same from a TPM that nobody stands before.
fn straight(tpm: &mut Tpm, key: &UserKey, pin: &Secret<String>, digest: &[u8; 32]) -> Outcome<Raw> {
    let begin = Instant::now();
    tpm.lockout_wait()?;
    let question = begin.elapsed();
    let begin = Instant::now();
    let unlocked = tpm.unlock(key, pin)?;
    let signature = tpm.sign_unlocked(unlocked, digest)?;
    let time = begin.elapsed();
    // The next one begins with nothing.
    tpm.make_room();
    expect_rsa(signature.len())?;
    Ok(Raw {
        // `unlock` has asked too.
        signature: time.saturating_sub(question),
        question,
    })
}

/// A time counts only where a signature of an RSA key of 2048 bits came of it.
fn expect_rsa(length: usize) -> Outcome<()> {
    match length {
        256 => Ok(()),
        other => Err(format!("a signature of {other} bytes").into()),
    }
}
