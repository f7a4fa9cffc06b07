//! A command run inside a host.
//!
//! It enters the host's namespaces and root with an environment of its own: nothing of the
//! caller's environment reaches the host. A person's name drops the rights first, without PAM, so
//! that nothing but the command itself is under test.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::talk::Talk;
use crate::wait;

const CLEAN: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("TERM", "dumb"),
];

/// Puts on a person's ids, groups and home, then becomes the command.
const AS_PERSON: &str = r#"person=$1; shift
export HOME="$(getent passwd "$person" | cut -d: -f6)" USER="$person" LOGNAME="$person"
exec setpriv --reuid "$(id -u "$person")" --regid "$(id -g "$person")" --init-groups -- "$@""#;

/// Leaves the command running under the host's init and notes its number.
const AS_DAEMON: &str = r#"name=$1; shift
setsid "$@" </dev/null >>"/var/log/$name.log" 2>&1 &
echo $! >"/run/lab/$name""#;

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit status; 128 and the signal's number when a signal ended it.
    pub status: i32,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    what: String,
}

impl Output {
    /// The standard output of a command that succeeded.
    ///
    /// # Errors
    /// When its status was not 0, with everything it wrote.
    pub fn ok(self) -> Result<String> {
        if self.status != 0 {
            bail!(
                "{}: status {}\n{}{}",
                self.what,
                self.status,
                self.stdout,
                self.stderr
            );
        }
        Ok(self.stdout)
    }

    /// Both outputs, for a test that looks for a sentence.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A command about to be run inside a host.
#[derive(Debug)]
pub struct Call {
    host: String,
    init: u32,
    words: Vec<String>,
    variables: Vec<(String, String)>,
    stdin: Vec<u8>,
    person: Option<String>,
    within: Duration,
}

impl Call {
    pub(super) fn new(host: &str, init: u32, words: &[&str]) -> Self {
        Self {
            host: host.to_owned(),
            init,
            words: words.iter().map(|&word| word.to_owned()).collect(),
            variables: Vec::new(),
            stdin: Vec::new(),
            person: None,
            within: Duration::from_secs(60),
        }
    }

    /// Feeds `bytes` to the standard input, which is empty otherwise.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs with the ids, groups and home of the host's account `name` instead of root's.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.person = Some(name.to_owned());
        self
    }

    /// Ends the command (status 124) when it takes longer than `limit`; 60 seconds otherwise.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it could not be started; a status other than 0 is no error here, see [`Output::ok`].
    pub fn run(self) -> Result<Output> {
        let what = self.what();
        let limit = self.within.as_secs_f64().to_string();
        let mut child = self
            .command(&["timeout", "--kill-after=5", &limit])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| what.clone())?;
        let mut pipe = child.stdin.take();
        let answer = std::thread::scope(|scope| {
            // A command that does not read its input closes it early: no error of ours.
            scope.spawn(|| pipe.take().map(|mut pipe| pipe.write_all(&self.stdin)));
            child.wait_with_output()
        })
        .with_context(|| what.clone())?;
        Ok(Output {
            status: status_number(answer.status),
            stdout: String::from_utf8_lossy(&answer.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&answer.stderr).into_owned(),
            what,
        })
    }

    /// Runs it to its end and returns its standard output.
    ///
    /// # Errors
    /// When it could not be started or its status was not 0.
    pub fn ok(self) -> Result<String> {
        self.run()?.ok()
    }

    /// Starts it with pipes for a caller that talks with it; `stdin` given before is not used.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn spawn(self) -> Result<Child> {
        self.command(&[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| self.what())
    }

    /// Starts it on a terminal of the host's own, for a program that asks questions.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn talk(mut self) -> Result<Talk> {
        let what = self.what();
        // `script` opens the terminal inside the host, where the program can find its name.
        let line = self
            .words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ");
        self.words = [
            "script",
            "--quiet",
            "--return",
            "--command",
            &line,
            "/dev/null",
        ]
        .map(str::to_owned)
        .to_vec();
        Talk::with(what, self.spawn()?)
    }

    /// Runs it on the caller's own terminal and returns its status.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn attached(self) -> Result<i32> {
        let status = self.command(&[]).status().with_context(|| self.what())?;
        Ok(status_number(status))
    }

    /// Leaves it running as the host's daemon `name`, its output in `/var/log/NAME.log`.
    ///
    /// # Errors
    /// When it could not be started.
    pub fn daemon(self, name: &str) -> Result<()> {
        let answer = self
            .command(&["sh", "-c", AS_DAEMON, "sh", name])
            .stdin(Stdio::null())
            .output()
            .with_context(|| self.what())?;
        if !answer.status.success() {
            bail!(
                "{}: {}",
                self.what(),
                String::from_utf8_lossy(&answer.stderr).trim()
            );
        }
        Ok(())
    }

    fn command(&self, prefix: &[&str]) -> Command {
        let mut command = enter(self.init);
        command.args(prefix);
        if let Some(person) = &self.person {
            command.args(["sh", "-c", AS_PERSON, "sh", person]);
        }
        command.args(&self.words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn what(&self) -> String {
        format!("{}: {}", self.host, self.words.join(" "))
    }
}

/// A command inside the namespaces and the root of the process `init`.
pub(super) fn enter(init: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args([
        "--target",
        &init.to_string(),
        "--all",
        "--root",
        "--wd",
        "--",
    ]);
    command.env_clear().envs(CLEAN.iter().copied());
    command
}

/// A word as the shell reads it unchanged.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(super) fn status_number(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Waits until a command gives status 0 and returns its standard output.
///
/// # Errors
/// When that has not happened within `deadline`; the text names `what` and the last answer.
pub fn until_ok(what: &str, deadline: Duration, call: impl Fn() -> Call) -> Result<String> {
    wait::until_some(what, deadline, || {
        call().within(Duration::from_secs(10)).ok()
    })
}
