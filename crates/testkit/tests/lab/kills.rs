//! Each part is killed at each joint of an enrollment, and started again.
//!
//! What must hold every time: the enrollment completes, at once or when the person repeats it; AD
//! has one value, of the key that the workstation has; the PIN signs in; and after the key's
//! deletion no part keeps a file that it did not have before. At the end neither AD nor the TPM
//! holds anything of all the keys that came and went.

mod gate;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use protocol::Joint;
use serde_json::Value;
use testkit::company::{Company, text, upn};
use testkit::lab::{Host, Output, until_ok};
use testkit::wait;

use self::gate::{Gate, SOCKET};
use crate::{founded, name};

const PIN: &str = "602214076119";
const PEOPLE: [&str; 2] = ["alice", "bob"];
const TPM: &str = "swtpm:host=127.0.0.1,port=2321";
const PATIENCE: Duration = Duration::from_secs(30);

/// How often everything is done, and how long after a joint a part may still live, when
/// `cargo xtask test --long` asks for it.
const LONG: (usize, Duration) = (5, Duration::from_millis(100));

#[test]
fn a_part_killed_at_any_joint_costs_at_most_a_repetition() -> Result<()> {
    let is_long = std::env::var_os("LATCHKEY_LONG_TESTS").is_some();
    let (rounds, longest) = if is_long { LONG } else { (1, Duration::ZERO) };
    let company = founded(&name("tests-kills"))?;
    let scene = Scene::set(&company)?;
    let mut people = PEOPLE.into_iter().cycle();
    for _ in 0..rounds {
        for joint in Joint::ALL {
            for part in Part::ALL {
                let person = people.next().context("nobody")?;
                let kill = Kill {
                    part,
                    joint,
                    delay: up_to(longest),
                };
                scene.play(person, kill).with_context(|| {
                    let Kill { delay, .. } = kill;
                    let logs = scene.logs();
                    format!("{part:?} killed {delay:?} after {joint:?}, {person}\n{logs}")
                })?;
            }
        }
    }
    scene.holds_nothing()
}

/// A part of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Server,
    Agent,
    Daemon,
}

/// Who dies when.
#[derive(Debug, Clone, Copy)]
struct Kill {
    part: Part,
    joint: Joint,
    delay: Duration,
}

/// The company with every part stopping at joints, and the files that its parts keep.
struct Scene<'c> {
    company: &'c Company,
    gate: Gate,
    files: String,
}

impl Part {
    const ALL: [Self; 3] = [Self::Server, Self::Agent, Self::Daemon];

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Server => &["latchkey-server", "run"],
            Self::Agent => &["latchkey-sync", "run"],
            Self::Daemon => &["latchkeyd"],
        }
    }

    fn program(self) -> &'static str {
        self.words()[0]
    }

    /// What it calls itself at a joint.
    fn at_joints(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
            Self::Daemon => "daemon",
        }
    }

    fn host(self, company: &Company) -> Result<Host> {
        match self {
            Self::Server | Self::Agent => company.server(),
            Self::Daemon => company.workstation(),
        }
    }
}

/// The part that comes to a joint. A joint that is added is killed at as soon as this says whose
/// it is.
fn part_at(joint: Joint) -> Part {
    match joint {
        Joint::FactorApproved | Joint::KeyStored | Joint::ChangeServed | Joint::StatusStored => {
            Part::Server
        }
        Joint::ChangeReceived
        | Joint::ChangeVerified
        | Joint::ValueWritten
        | Joint::ValueConfirmed => Part::Agent,
        Joint::EnrollStarted
        | Joint::KeyMade
        | Joint::ProofMade
        | Joint::KeyPosting
        | Joint::KeyAcknowledged
        | Joint::ReadySeen => Part::Daemon,
    }
}

impl<'c> Scene<'c> {
    fn set(company: &'c Company) -> Result<Self> {
        let mut scene = Self {
            company,
            gate: Gate::open(),
            files: String::new(),
        };
        scene.gate.guard(&company.server()?)?;
        scene.gate.guard(&company.workstation()?)?;
        for part in Part::ALL {
            part.host(company)?.stop(part.program())?;
            scene.start(part)?;
        }
        // Once undisturbed, so that what comes with a first sign-in is there.
        for person in PEOPLE {
            company.give_factor(person)?;
            company.password_sign_in(person)?;
            company.enroll(person, PIN)?;
            scene.check(person)?;
            scene.forget(person)?;
        }
        scene.files = wait::until_some("nothing being written", PATIENCE, || {
            let files = scene.files()?;
            ensure!(!files.contains(".new"), "{files}");
            Ok(files)
        })?;
        Ok(scene)
    }

    /// Starts a part that stops at joints, and waits until it answers whoever would ask it next.
    fn start(&self, part: Part) -> Result<()> {
        let host = part.host(self.company)?;
        let (name, words) = (part.program(), part.words());
        self.company.start(&host, name, words, Some(SOCKET))?;
        let question: &[&str] = match part {
            Part::Server => &["latchkey-server", "admin", "settings", "show"],
            Part::Daemon => &["latchkey", "status"],
            // The server waits for it.
            Part::Agent => return Ok(()),
        };
        until_ok(name, PATIENCE, || host.command(question)).map(drop)
    }

    /// One enrollment with its kill, from nothing to nothing.
    fn play(&self, person: &str, kill: Kill) -> Result<()> {
        let begin = Instant::now();
        let first = self.enroll_and_kill(person, kill)?;
        let repeated = first.status != 0;
        if repeated {
            ensure!(first.status == 1, "not a clean end: {}", ended(&first));
            // The chain waits for the agent, unless it takes a question with it, later on.
            let may_fail = kill.part != Part::Agent || !kill.delay.is_zero();
            ensure!(may_fail, "it failed: {}", ended(&first));
            self.repeat(person)
                .with_context(|| format!("repeated after {}", ended(&first)))?;
        }
        self.check(person)?;
        self.forget(person)?;
        self.keeps_what_it_kept()?;
        let how = if repeated { "repeated" } else { "completed" };
        tell(&format!(
            "{:<17} {:<7} {how:<9} {:>5} ms",
            kill.joint.name(),
            kill.part.at_joints(),
            begin.elapsed().as_millis()
        ));
        Ok(())
    }

    fn enroll_and_kill(&self, person: &str, kill: Kill) -> Result<Output> {
        self.company.give_factor(person)?;
        let enrollment = self.company.enrollment(person, PIN)?;
        self.gate.aim(kill.joint);
        let (killed, ended) = thread::scope(|scope| {
            let enrollment = scope.spawn(|| enrollment.run());
            let killed = self.kill(kill);
            (killed, enrollment.join())
        });
        let output = ended.ok().context("the enrollment panicked")??;
        killed.with_context(|| output.text())?;
        Ok(output)
    }

    fn kill(&self, kill: Kill) -> Result<()> {
        let stopped = self.gate.next(PATIENCE)?;
        let whose = part_at(kill.joint).at_joints();
        ensure!(stopped.part == whose, "{} came there", stopped.part);
        let host = kill.part.host(self.company)?;
        if kill.delay.is_zero() {
            host.kill(kill.part.program(), "KILL")?;
            drop(stopped);
        } else {
            drop(stopped);
            wait::pass(kill.delay);
            host.kill(kill.part.program(), "KILL")?;
        }
        self.start(kill.part)
    }

    /// What a person does after a message: the same again, with fresh factors. That the PIN is
    /// there already is fine, too.
    fn repeat(&self, person: &str) -> Result<()> {
        self.company.give_factor(person)?;
        let again = self.company.enrollment(person, PIN)?.run()?;
        if again.status == 1 && again.text().contains("already_enrolled") {
            return Ok(());
        }
        again.ok().map(drop)
    }

    /// The credential works, and the directory has it once.
    fn check(&self, person: &str) -> Result<()> {
        let credential = self.credential(person)?;
        let state = text(&credential, "state")?;
        ensure!(state == "confirmed", "the key is {state}: {credential}");
        let values = self.company.keys_in_directory(person)?;
        let [value] = values.as_slice() else {
            anyhow::bail!("{} values in AD: {values:?}", values.len());
        };
        let (ours, theirs) = (text(&credential, "key_id")?, self.key_id(value)?);
        ensure!(ours == theirs, "AD has the key {theirs}, not {ours}");
        let answer: Value = serde_json::from_str(&self.company.sign_in(person, PIN)?.ok()?)?;
        let server = text(&answer, "ticket_server")?;
        ensure!(server.starts_with("krbtgt/"), "a ticket for {server}");
        Ok(())
    }

    /// Deletes the key as its owner would, and waits until the agent says that it is out of AD.
    fn forget(&self, person: &str) -> Result<()> {
        let credential = self.credential(person)?;
        let kid = text(&credential, "kid")?;
        let workstation = self.company.workstation()?;
        workstation
            .command(&["latchkey", "keys", "delete", kid])
            .user(person)
            .ok()?;
        wait::until_some("the key's removal", PATIENCE, || {
            let told = self.company.admin(&["user", "show", &upn(person)])?;
            let keys = told.get("keys").and_then(Value::as_array);
            let all_gone = keys
                .context("no keys")?
                .iter()
                .all(|key| text(key, "state").is_ok_and(|state| state == "removed"));
            ensure!(all_gone, "{told}");
            Ok(())
        })
    }

    /// Nothing is left of any key where only keys leave something.
    fn holds_nothing(&self) -> Result<()> {
        for person in PEOPLE {
            let left = self.company.keys_in_directory(person)?;
            ensure!(left.is_empty(), "{person}'s keys in AD: {left:?}");
        }
        // The TPM talks with one program at a time.
        let workstation = Part::Daemon.host(self.company)?;
        workstation.stop(Part::Daemon.program())?;
        let counters = workstation.command(&["tpm2_getcap", "handles-nv-index"]);
        let counters = counters.env("TPM2TOOLS_TCTI", TPM).ok()?;
        ensure!(counters.is_empty(), "PIN counters in the TPM: {counters}");
        Ok(())
    }

    /// The person's credential as the daemon shows it.
    fn credential(&self, person: &str) -> Result<Value> {
        let call = self.company.workstation()?;
        let call = call.command(&["latchkey", "status", "--json"]).user(person);
        let told: Value = serde_json::from_str(&call.ok()?)?;
        let credential = told.pointer("/credentials/0").cloned();
        credential.with_context(|| format!("no credential in {told}"))
    }

    /// The SHA-256 of the key in a value, as the value itself proves it.
    fn key_id(&self, value: &str) -> Result<String> {
        let workstation = self.company.workstation()?;
        let decode = workstation.command(&["latchkey", "keys", "decode", "--json"]);
        let told: Value = serde_json::from_str(&decode.stdin(value).ok()?)?;
        let matches = told.pointer("/0/key_id_matches") == Some(&Value::Bool(true));
        ensure!(matches, "KeyID is not of the key: {told}");
        let entries = told.pointer("/0/entries").and_then(Value::as_array);
        let id = entries.and_then(|entries| entries.iter().find(|entry| entry["id"] == 1));
        Ok(text(id.with_context(|| format!("no KeyID: {told}"))?, "hex")?.to_owned())
    }

    /// The files are those of before; one that is just being written beside its place is gone in
    /// a moment.
    fn keeps_what_it_kept(&self) -> Result<()> {
        wait::until_some("the files of before", Duration::from_secs(5), || {
            let (files, before) = (self.files()?, &self.files);
            ensure!(files == *before, "now:\n{files}before:\n{before}");
            Ok(())
        })
    }

    /// Every state file of every part. The database's own come and go.
    fn files(&self) -> Result<String> {
        let list = "find /var/lib/latchkey* -type f ! -name 'store.sqlite-*' | sort";
        let server = self.company.server()?.sh(list)?;
        Ok(server + &self.company.workstation()?.sh(list)?)
    }

    /// The ends of the parts' logs, for whoever must find out why.
    fn logs(&self) -> String {
        let end = |part: Part| {
            let line = format!("tail -n 12 /var/log/{}.log", part.program());
            let lines = part.host(self.company).and_then(|host| host.sh(&line));
            let lines = lines.unwrap_or_else(|fault| fault.to_string());
            format!("--- {}\n{lines}", part.program())
        };
        Part::ALL.map(end).concat()
    }
}

fn ended(output: &Output) -> String {
    format!("status {}: {}", output.status, output.text().trim())
}

/// A random time.
fn up_to(longest: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    longest.mul_f64(random as f64 / u64::MAX as f64)
}

fn tell(line: &str) {
    // A reader that has gone away wants no more lines.
    let _gone = writeln!(std::io::stderr(), "{line}");
}
