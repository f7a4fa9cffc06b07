//! Secrets stay where they belong. A lab's people use everything that takes a secret, while every
//! process's arguments and environment are read all the time, then every file that a host wrote and
//! the memory of the daemons: no password, PIN, second factor or private key may be there, in any
//! writing. What may hold a private key in clear is a list with a reason each.

mod needles;
mod places;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use openssl::pkey::PKey;
use testkit::company::{Company, TOTP_SECRET, one_time_code, text, upn};
use testkit::lab::{Host, Lab, Options, Output, Profile};
use testkit::wait;

use crate::pin::COMPLEXITY;
use crate::policy::{Object, value};

use self::needles::{Needles, writings};
use self::places::{Finds, Sampled, Sampler, core, crash_core, files, spaces};

const PIN: &str = "627041958306";
const WRONG_PIN: &str = "184620739518";
const NEXT_PIN: &str = "905318264470";
const WRONG_PASSWORD: &str = "Mistyped&once+Ab1";

/// Which host runs which daemon of ours.
const DAEMONS: [(&str, &str); 3] = [
    ("ws1", "latchkeyd"),
    ("server", "latchkey-server"),
    ("server", "latchkey-sync"),
];

/// How long after its last use a secret may still be in a daemon's memory.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// Files in which a private key is in clear: where, and why it has to be.
const KEY_FILES: [(&str, &str); 4] = [
    (
        "server:/etc/latchkey/tls/key.pem",
        "the server's TLS key, brought by its administrator, 0600",
    ),
    (
        "server:/var/lib/latchkey-sync/agent.key",
        "the agent's own key, 0600: its machine need not have a TPM",
    ),
    ("dc:/etc/latchkey-lab/kdc.key", "the lab's KDC, not ours"),
    (
        "dc:/var/lib/samba/private/tls/key.pem",
        "made by Samba for itself, not ours",
    ),
];

/// How DER writes the beginning of a private key, behind its outermost length: PKCS#8 with an RSA,
/// EC and Ed25519 key, PKCS#1 of 2048, 3072 and 4096 bits, SEC1 on P-256.
const KEY_HEADS: [&[u8]; 7] = [
    b"\x02\x01\x00\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00\x04\x82",
    b"\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01",
    b"\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
    b"\x02\x01\x00\x02\x82\x01\x01\x00",
    b"\x02\x01\x00\x02\x82\x01\x81\x00",
    b"\x02\x01\x00\x02\x82\x02\x01\x00",
    b"\x30\x77\x02\x01\x01\x04\x20",
];

#[test]
fn secrets_are_in_no_argument_environment_file_answer_or_core() -> Result<()> {
    let name = crate::name("tests-secrets");
    Lab::down(&name)?;
    let lab = Lab::up(&name, Options::default())?;
    let company = Company::new(lab);
    let typed = typed(&company)?;
    let needles = Needles::of(&typed)?;
    let sampler = Sampler::start(&company.lab, needles.clone())?;

    let fingerprint = company.start_server(Profile::Debug)?;
    company.connect_agent(&fingerprint)?;
    company.join_workstation(Profile::Debug)?;
    let history = value("MACHINE", COMPLEXITY, "History", 5);
    let history = Object::linked(&company, "a history of PINs", &[history])?;
    let mut finds = written(&company, &typed)?;
    let shown = use_everything(&company)?;
    forgotten(Instant::now())?;
    finds.extend(cores(&company.lab, &needles)?);
    finds.extend(written(&company, &typed)?);
    let sampled = sampler.stop()?;
    for program in DAEMONS.map(|(_, name)| name).iter().chain(&["latchkey"]) {
        ensure!(
            sampled.programs.contains(*program),
            "the sampler never saw {program}, but {:?}",
            sampled.programs
        );
    }
    finds.extend(sampled.finds);
    for said in &shown {
        let found = needles.find(said.text().as_bytes());
        finds.extend(found.iter().map(|what| format!("answer: {what}")));
    }
    ensure!(finds.is_empty(), "secrets were left:\n{}", lines(&finds));

    for (host, daemon) in DAEMONS {
        let (limit, dumpable) = crash_core(&company.lab.host(host)?, daemon)?;
        assert_eq!(limit, "0 0 bytes", "{daemon} limits its core files to this");
        assert_eq!(dumpable, "0", "{daemon} is dumpable");
    }
    the_search_finds_what_is_planted(&company.lab)?;
    drop(history);
    Lab::down(&name)
}

/// What is in the memory of the daemons, all looked at at the same moment.
fn cores(lab: &Lab, needles: &Needles) -> Result<Finds> {
    std::thread::scope(|scope| {
        let cores = DAEMONS
            .map(|(host, daemon)| scope.spawn(move || core(&lab.host(host)?, daemon, needles)));
        let mut finds = Finds::new();
        for core in cores {
            let found = core
                .join()
                .map_err(|_| anyhow!("taking a core broke off"))?;
            finds.extend(found?);
        }
        Ok(finds)
    })
}

/// What people type, and what they could have typed.
fn typed(company: &Company) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let password = company.lab.password("alice")?;
    let administrator = company.lab.administrator_password();
    Ok(vec![
        ("the password", password.into()),
        ("the mistyped password", WRONG_PASSWORD.into()),
        ("the administrator's password", administrator.into()),
        ("the PIN", PIN.into()),
        ("the wrong PIN", WRONG_PIN.into()),
        ("the next PIN", NEXT_PIN.into()),
        // A history that held one of these would be the PIN for whoever tries a million.
        ("a hash of the PIN", model::sha256(PIN.as_bytes()).to_vec()),
        (
            "a hash of the next PIN",
            model::sha256(NEXT_PIN.as_bytes()).to_vec(),
        ),
        ("the second factor in base32", TOTP_SECRET.into()),
        ("the second factor", raw_factor()?),
    ])
}

/// The bytes behind [`TOTP_SECRET`].
fn raw_factor() -> Result<Vec<u8>> {
    let mut bits = 0_u64;
    let mut raw = Vec::new();
    for (count, letter) in TOTP_SECRET.bytes().enumerate() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        };
        bits = bits << 5 | u64::from(value);
        if count % 8 == 7 {
            raw.extend_from_slice(&bits.to_be_bytes()[3..]);
            bits = 0;
        }
    }
    ensure!(raw.len() == 20, "the second factor has 160 bits");
    Ok(raw)
}

/// Everything that takes a secret, right and wrong; returns all that was said about it.
fn use_everything(company: &Company) -> Result<Vec<Output>> {
    let workstation = company.workstation()?;
    let as_alice = |words: &[&str], answers: String| {
        let call = workstation.command(words).user("alice").stdin(answers);
        call.within(Duration::from_secs(60)).run()
    };
    let mut said = Vec::new();
    let upn = upn("alice");
    let words = ["latchkey-server", "admin", "user", "totp", &upn];
    let words = [&words[..], &["--secret-stdin"]].concat();
    let factor = company.server()?.command(&words);
    said.push(succeeded(factor.stdin(format!("{TOTP_SECRET}\n")).run()?)?);
    company.password_sign_in("alice")?;

    let enroll = ["latchkey", "enroll", "--answers-stdin", "--json"];
    let wrong = format!("password={WRONG_PASSWORD}\n");
    said.push(refused(as_alice(&enroll, wrong)?)?);
    let right = format!("password={}\n", company.lab.password("alice")?);
    let wrong = format!("{right}otp=000000\n");
    said.push(refused(as_alice(&enroll, wrong)?)?);
    let right = format!("{right}otp={}\npin={PIN}\n", one_time_code()?);
    let enrolled = succeeded(as_alice(&enroll, right)?)?;
    let done = serde_json::from_str(enrolled.stdout.lines().last().unwrap_or_default())?;
    let kid = text(&done, "kid")?.to_owned();
    said.push(enrolled);

    said.push(refused(company.sign_in("alice", WRONG_PIN)?)?);
    said.push(succeeded(company.sign_in("alice", PIN)?)?);
    su(&workstation, company.lab.password("alice")?)?;
    let change = ["latchkey", "pin", "change", "--answers-stdin"];
    let answers = format!("old={WRONG_PIN}\npin={NEXT_PIN}\n");
    said.push(refused(as_alice(&change, answers)?)?);
    let answers = format!("old={PIN}\npin={NEXT_PIN}\n");
    said.push(succeeded(as_alice(&change, answers)?)?);
    said.push(refused(company.sign_in("alice", PIN)?)?);
    said.push(succeeded(company.sign_in("alice", NEXT_PIN)?)?);
    let answers = format!("old={NEXT_PIN}\npin={PIN}\n");
    said.push(refused(as_alice(&change, answers)?)?);
    said.push(succeeded(as_alice(
        &["latchkey", "keys", "delete", &kid],
        String::new(),
    )?)?);
    Ok(said)
}

/// `su` on a terminal, with the wrong PIN, with the password behind it, with the right PIN.
fn su(workstation: &Host, password: &str) -> Result<()> {
    for (pin, password) in [(WRONG_PIN, Some(password)), (PIN, None)] {
        let call = workstation.command(&["su", "-", "alice"]).user("bob");
        let mut talk = call.talk()?;
        talk.expect("PIN: ")?;
        talk.type_line(pin)?;
        if let Some(password) = password {
            talk.expect("Password: ")?;
            talk.type_line(password)?;
        }
        talk.expect("alice@ws1")?;
        talk.type_line("exit")?;
        let (status, shown) = talk.finish()?;
        ensure!(status == 0, "su: {status}\n{shown}");
        ensure!(!shown.contains(pin), "the terminal showed the PIN");
    }
    Ok(())
}

fn succeeded(output: Output) -> Result<Output> {
    ensure!(output.status == 0, "{}: {}", output.status, output.text());
    Ok(output)
}

fn refused(output: Output) -> Result<Output> {
    ensure!(output.status == 1, "{}: {}", output.status, output.text());
    Ok(output)
}

/// What every host's files hold that they must not: what was typed anywhere, a private key in clear
/// anywhere but in its own file.
fn written(company: &Company, typed: &[(&'static str, Vec<u8>)]) -> Result<Finds> {
    let mut secrets = typed.to_vec();
    secrets.extend(KEY_HEADS.map(|head| ("a private key", head.to_vec())));
    for kind in ["", "RSA ", "EC "] {
        // What only names the form, as every program that reads it does, has no digits behind it.
        let head = format!("-----BEGIN {kind}PRIVATE KEY-----\nM");
        secrets.push(("a private key in PEM", head.into_bytes()));
    }
    let server = company.server()?;
    for (name, file) in [
        ("the TLS key", "/etc/latchkey/tls/key.pem"),
        ("the agent's key", "/var/lib/latchkey-sync/agent.key"),
    ] {
        let key = PKey::private_key_from_pem(&server.read_file(file)?)?.rsa()?;
        let prime = key.p().context("a key without its primes")?.to_vec();
        // In pieces, because PEM breaks its lines somewhere.
        let pieces = prime.chunks_exact(16).take(4);
        secrets.extend(pieces.map(|piece| (name, piece.to_vec())));
    }
    let needles = Needles::of(&secrets)?;
    let mut finds = Finds::new();
    for host in company.lab.hosts() {
        finds.extend(files(&company.lab, &host, &needles)?);
    }
    for (file, reason) in KEY_FILES {
        let all = finds.len();
        finds.retain(|find| !find.starts_with(&format!("{file}: ")));
        ensure!(finds.len() < all, "no key in {file} any more ({reason})");
    }
    Ok(finds)
}

/// The time that a secret may live after its last use.
fn forgotten(last_use: Instant) -> Result<()> {
    let what = "the secrets to be forgotten";
    wait::until(what, FORGOTTEN_AFTER * 2, || {
        last_use.elapsed() >= FORGOTTEN_AFTER
    })
}

/// The control: a secret that is left in a file, an environment, arguments and memory is found there
/// in each of its writings.
fn the_search_finds_what_is_planted(lab: &Lab) -> Result<()> {
    const PLANTED: &str = "left&here+for+the+search";
    let host = lab.host("ws1")?;
    let needles = Needles::of(&[("planted", PLANTED.into())])?;
    let all = writings(PLANTED.as_bytes());
    let bytes: Vec<u8> = all
        .iter()
        .flat_map(|(_, bytes)| [bytes, &b" "[..]].concat())
        .collect();
    host.write_file("/tmp/planted", &bytes, 0o600)?;
    let keeper = "import signal; kept = open('/tmp/planted', 'rb').read(); \
                  open('/run/kept', 'x'); signal.pause()";
    let mut words = vec!["python3", "-c", keeper];
    // Neither arguments nor environments can hold a zero byte.
    let plain = all.iter().filter(|(_, bytes)| !bytes.contains(&0));
    let plain: Vec<String> = plain
        .map(|(_, bytes)| Ok(String::from_utf8(bytes.clone())?))
        .collect::<Result<_>>()?;
    words.extend(plain.iter().map(String::as_str));
    host.command(&words)
        .env("PLANTED", &plain.join(" "))
        .daemon("keeper")?;

    wait::until("the keeper to keep it", Duration::from_secs(30), || {
        host.path("/run/kept").exists()
    })?;

    let mut sampled = Sampled::default();
    sampled.look(&spaces(lab)?, &needles);
    let mut finds = sampled.finds;
    finds.extend(files(lab, &host, &needles)?);
    finds.extend(core(&host, "keeper", &needles)?);
    for (writing, bytes) in &all {
        let mut places = vec!["ws1:/tmp/planted", "core of keeper"];
        if !bytes.contains(&0) {
            places.extend(["arguments of python3", "environment of python3"]);
        }
        for place in places {
            let find = format!("{place}: planted as {writing}");
            ensure!(
                finds.contains(&find),
                "{find} was overlooked:\n{}",
                lines(&finds)
            );
        }
    }
    host.stop("keeper")?;
    Ok(())
}

fn lines(finds: &BTreeSet<String>) -> String {
    finds.iter().map(|find| format!("  {find}\n")).collect()
}
