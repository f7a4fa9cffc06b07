//! A server that lies: it speaks the agent's interface and feeds it whatever a plan says.
//!
//! The lab's tests run it in the place of the server and then look at what the agent did to the
//! directory. It makes statements with any key it is told to, and Kerberos proofs with the tickets
//! of its own environment.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use api::{
    agent::{
        AgentEnrolled, ChangeEvidence, ChangeKey, ChangeOp, ChangeUser, Changes, KeyChange,
        LeaseAnswer, StatusReport,
    },
    device::UserProof,
    oauth::TokenAnswer,
    scim::{BULK_RESPONSE_SCHEMA, BulkRequest, BulkResponse, Operation, OperationResult},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Parser;
use keycred::RsaPublicKey;
use latchkey_sync::addition;
use model::{Guid, Sid, UnixTime};
use openssl::{
    hash::MessageDigest,
    pkey::PKey,
    sign::Signer,
    ssl::{SslAcceptor, SslFiletype, SslMethod},
};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
struct Args {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    chain: PathBuf,
    #[arg(long)]
    key: PathBuf,
    /// JSON: a list of lies, fed in this order.
    #[arg(long)]
    plan: PathBuf,
    /// What the agent says of each, one JSON object a line.
    #[arg(long)]
    reports: PathBuf,
}

/// One entry of the plan.
#[derive(Deserialize)]
struct Lie {
    op: ChangeOp,
    anchor: Guid,
    sid: Sid,
    device: Guid,
    /// The user's private key, PEM.
    key: PathBuf,
    /// The key that signs for the device, PEM; none: no evidence at all.
    signer: Option<PathBuf>,
    /// Prove it with the ticket of the environment.
    proof: bool,
    /// How old the statement claims to be, in seconds.
    age: i64,
    sequence: u64,
}

struct Request {
    line: String,
    body: Vec<u8>,
}

/// The agent's service, for which proofs are made.
const SERVICE: &str = "latchkey-sync/server.corp.latchkey.test";

fn main() -> Result<()> {
    let args = Args::parse();
    let lies: Vec<Lie> = serde_json::from_reader(File::open(&args.plan)?)?;
    let changes = lies
        .iter()
        .zip(1..)
        .map(|(lie, seq)| lie.tell(seq))
        .collect::<Result<Vec<KeyChange>>>()?;
    let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls())?;
    acceptor.set_certificate_chain_file(&args.chain)?;
    acceptor.set_private_key_file(&args.key, SslFiletype::PEM)?;
    let acceptor = acceptor.build();
    let reports = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&args.reports)?;
    let reports = Arc::new(Mutex::new(reports));
    let changes = Arc::new(changes);
    for stream in TcpListener::bind(&args.listen)?.incoming() {
        let (stream, acceptor) = (stream?, acceptor.clone());
        let (changes, reports) = (changes.clone(), reports.clone());
        thread::spawn(move || -> Result<()> {
            let mut stream = BufReader::new(acceptor.accept(stream)?);
            while let Some(request) = read(&mut stream)? {
                let body = answer(&request, &changes, &reports)?;
                let status = if body.is_empty() { "204 x" } else { "200 x" };
                write!(
                    stream.get_mut(),
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                )?;
            }
            Ok(())
        });
    }
    Ok(())
}

impl Lie {
    fn tell(&self, seq: u64) -> Result<KeyChange> {
        let key = PKey::private_key_from_pem(&std::fs::read(&self.key)?)?;
        let public = RsaPublicKey::from_spki_der(&key.public_key_to_der()?)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() as i64;
        let made = UnixTime(now - self.age);
        let mut change = KeyChange {
            seq,
            op: self.op,
            user: ChangeUser {
                anchor: self.anchor,
                sid: self.sid.clone(),
            },
            key: ChangeKey {
                kid: format!("lie-{seq}"),
                material: STANDARD.encode(public.to_rsa1()),
                device: self.device,
                created: made,
            },
            evidence: self.signer.is_some().then(|| ChangeEvidence {
                time: made,
                sequence: self.sequence,
                device_sig: String::new(),
                user_proof: None,
            }),
        };
        if let Some((signer, statement)) = self
            .signer
            .as_ref()
            .zip(addition::statement(&change, &public))
        {
            let bytes = statement.to_bytes();
            let signer = PKey::private_key_from_pem(&std::fs::read(signer)?)?;
            let signature =
                Signer::new(MessageDigest::sha256(), &signer)?.sign_oneshot_to_vec(&bytes)?;
            let proof = match self.proof {
                true => Some(kerberos::gss::initiate(SERVICE, &bytes)?),
                false => None,
            };
            change.evidence = change.evidence.map(|evidence| ChangeEvidence {
                device_sig: STANDARD.encode(signature),
                user_proof: proof.map(|proof| UserProof {
                    token: STANDARD.encode(proof.token),
                    mic: STANDARD.encode(proof.mic),
                }),
                ..evidence
            });
        }
        Ok(change)
    }
}

fn read(stream: &mut impl BufRead) -> Result<Option<Request>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        let mut next = String::new();
        if stream.read_line(&mut next)? == 0 {
            return Ok(None);
        }
        if let Some(value) = next.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        if line.is_empty() {
            line.clone_from(&next);
        }
        if next.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { line, body }))
}

/// The body of the answer; empty for "no content".
fn answer(request: &Request, changes: &[KeyChange], reports: &Mutex<File>) -> Result<String> {
    let path = request.line.split(' ').nth(1).context("no path")?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let last = format!("v1.{}", changes.len());
    match path {
        api::agent::ENROLL_PATH => {
            let id = |byte| Guid::from_le_bytes([byte; 16]);
            text(&AgentEnrolled {
                agent: id(1),
                tenant: id(2),
            })
        }
        api::agent::LEASE_PATH => text(&LeaseAnswer {
            held: true,
            until_s: 60,
            holder: None,
            allowed_interval_s: 1800,
        }),
        api::agent::CHANGES_PATH if query.contains(&format!("token={last}&")) => {
            wait();
            text(&Changes {
                next: last,
                changes: Vec::new(),
            })
        }
        api::agent::CHANGES_PATH => {
            let place = query
                .split('&')
                .find_map(|word| word.strip_prefix("token=v1."));
            let place: usize = place.map_or(Ok(0), str::parse)?;
            let page: Vec<KeyChange> = changes.iter().skip(place).take(100).cloned().collect();
            text(&Changes {
                next: format!("v1.{}", place + page.len()),
                changes: page,
            })
        }
        api::agent::WORK_PATH => {
            wait();
            Ok(String::new())
        }
        api::agent::STATUS_PATH => {
            let report: StatusReport = serde_json::from_slice(&request.body)?;
            let mut file = reports.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
            for result in report.results {
                writeln!(file, "{}", serde_json::to_string(&result)?)?;
            }
            Ok(String::new())
        }
        api::scim::BULK_PATH => {
            let request: BulkRequest = serde_json::from_slice(&request.body)?;
            let results = request.operations.into_iter().map(|operation| {
                let (Operation::Put { path, .. } | Operation::Delete { path }) = operation;
                OperationResult {
                    location: path,
                    status: "200".to_owned(),
                    detail: None,
                }
            });
            text(&BulkResponse {
                schemas: vec![BULK_RESPONSE_SCHEMA.to_owned()],
                operations: results.collect(),
            })
        }
        _ => text(&TokenAnswer {
            token_type: "Bearer".to_owned(),
            expires_in: 600,
            access_token: "anything".to_owned(),
            ..TokenAnswer::default()
        }),
    }
}

fn text(answer: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(answer)?)
}

/// As long as a long poll waits.
fn wait() {
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(Duration::from_secs(20));
}
