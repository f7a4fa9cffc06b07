//! Makes keys of many users at once, as one computer of the domain would have signed for them.
//!
//! Nobody signs in with these: a modulus is a random odd number, which no reader of a public key can
//! tell from one that somebody knows the primes of.

use std::{
    io::Write as _,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Parser;
use keycred::{DnBinary, KeyCredential, RsaPublicKey};
use model::{Filetime, Guid, Sid, UnixTime};
use openssl::{hash::MessageDigest, pkey::PKey, sign::Signer};
use protocol::{Operation, Statement};
use serde::Deserialize;
use serde_json::json;

/// Reads users from standard input, a JSON object a line; writes what it made of each.
#[derive(Parser)]
struct Args {
    /// The computer's objectGUID.
    #[arg(long)]
    device: Guid,
    /// Its key, PEM.
    #[arg(long)]
    signer: PathBuf,
    /// Finished values as changes for ldapmodify, rather than what a server is told.
    #[arg(long)]
    ldif: bool,
}

#[derive(Deserialize)]
struct User {
    guid: Guid,
    sid: Sid,
    dn: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let signer = PKey::private_key_from_pem(&std::fs::read(&args.signer)?)?;
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lines() {
        let user: User = serde_json::from_str(&line?)?;
        let key = random_key()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        if args.ldif {
            let made = Filetime::from(UnixTime(now));
            let value = DnBinary {
                binary: KeyCredential::for_user(&key, args.device, made, made).encode(),
                dn: user.dn.clone(),
            };
            writeln!(
                out,
                "dn: {}\nchangetype: modify\nadd: msDS-KeyCredentialLink\n\
                 msDS-KeyCredentialLink: {value}\n",
                user.dn
            )?;
            continue;
        }
        let statement = Statement {
            operation: Operation::Add,
            user: user.sid.clone(),
            key_id: key.key_id(),
            device: args.device,
            time: UnixTime(now),
            sequence: now as u64,
        };
        let mut signature = Signer::new(MessageDigest::sha256(), &signer)?;
        let signature = signature.sign_oneshot_to_vec(&statement.to_bytes())?;
        let mut kid = [0; 16];
        openssl::rand::rand_bytes(&mut kid)?;
        let told = json!({
            "kid": Guid::from_random(kid), "user": user.guid, "sid": user.sid,
            "device": args.device, "material": STANDARD.encode(key.to_rsa1()),
            "evidence": {
                "time": now, "sequence": now, "device_sig": STANDARD.encode(signature),
            },
        });
        writeln!(out, "{told}")?;
    }
    Ok(())
}

/// A public key of 2,048 bits.
fn random_key() -> Result<RsaPublicKey> {
    let mut modulus = [0; 256];
    openssl::rand::rand_bytes(&mut modulus)?;
    let [first, .., last] = &mut modulus;
    *first |= 0x80;
    *last |= 1;
    Ok(RsaPublicKey::from_components(&modulus, &[1, 0, 1])?)
}
