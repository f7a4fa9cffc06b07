//! Answers to questions: typed at the terminal unseen, given in advance on standard input, or asked
//! for by the program that signs the person in.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
};

use anyhow::{Context, bail};
use ipc::{
    Secret,
    relay::{Line, Reply},
};
use zeroize::Zeroizing;

use crate::ffi::Hidden;

/// Where answers come from.
pub(crate) enum Answers {
    /// The person at the terminal.
    Terminal(File),
    /// Lines `name=value`, each used once, in their order.
    Given(Vec<(String, Secret)>),
    /// The person whom another program signs in, at the other end of standard input.
    Relayed(UnixStream),
}

impl Answers {
    /// The terminal of this process, whatever its standard input is.
    pub(crate) fn terminal() -> anyhow::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        Ok(Self::Terminal(terminal.context(
            "there is no terminal to ask at; give answers on standard input",
        )?))
    }

    /// The program whose socket is this one's standard input.
    pub(crate) fn relayed() -> anyhow::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self::Relayed(socket.into()))
    }

    /// Every line of standard input.
    pub(crate) fn from_stdin() -> anyhow::Result<Self> {
        let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
        io::stdin().take(64 * 1024).read_to_string(&mut text)?;
        Self::parse(&text)
    }

    /// One answer that is the whole first line of standard input.
    pub(crate) fn line_from_stdin(name: &str) -> anyhow::Result<Self> {
        let mut text = Zeroizing::new(String::with_capacity(4 * 1024));
        io::stdin().take(4 * 1024).read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default();
        Ok(Self::Given(vec![(
            name.to_owned(),
            Secret::new(line.to_owned()),
        )]))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut given = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once('=') else {
                bail!("a line of the answers is not name=value");
            };
            given.push((name.to_owned(), Secret::new(value.to_owned())));
        }
        Ok(Self::Given(given))
    }

    /// Asks for a secret. None: there is no further answer of that name.
    pub(crate) fn secret(&mut self, name: &str, prompt: &str) -> anyhow::Result<Option<Secret>> {
        match self {
            Self::Terminal(terminal) => read_hidden(terminal, prompt).map(Some),
            Self::Given(given) => {
                let place = given.iter().position(|(given, _)| given == name);
                Ok(place.map(|place| given.remove(place).1))
            }
            Self::Relayed(program) => relayed(program, &Line::Secret(prompt.to_owned())).map(Some),
        }
    }

    /// Asks for something that may be seen. None: there is no further answer of that name.
    pub(crate) fn word(&mut self, name: &str, prompt: &str) -> anyhow::Result<Option<String>> {
        match self {
            Self::Terminal(terminal) => read_shown(terminal, prompt).map(Some),
            Self::Given(_) => {
                let given = self.secret(name, prompt)?;
                Ok(given.map(|given| given.expose().to_owned()))
            }
            Self::Relayed(program) => {
                let answer = relayed(program, &Line::Ask(prompt.to_owned()))?;
                Ok(Some(answer.expose().trim().to_owned()))
            }
        }
    }

    /// Is there another answer of that name to come?
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Given(given) => given.iter().any(|(given, _)| given == name),
            Self::Terminal(_) | Self::Relayed(_) => true,
        }
    }

    /// Were they given in advance, so that nobody hears what is said between them?
    pub(crate) fn are_given(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// Says something to the person.
    pub(crate) fn tell(&mut self, text: &str) {
        let line = Line::Tell(text.to_owned());
        self.say(line, text);
    }

    /// Says why something did not work.
    pub(crate) fn warn(&mut self, text: &str) {
        let line = Line::Warn(text.to_owned());
        self.say(line, text);
    }

    fn say(&mut self, line: Line, text: &str) {
        // Where nobody listens, nothing is lost.
        let _ = match self {
            Self::Terminal(_) | Self::Given(_) => writeln!(io::stderr().lock(), "{text}"),
            Self::Relayed(program) => line.send(program),
        };
    }

    /// Nothing more will be asked or said.
    pub(crate) fn end(&mut self) {
        if let Self::Relayed(program) = self {
            // Whoever is not there any more need not be told.
            let _ = Line::End.send(program);
        }
    }

    /// Asks for a yes. Whoever gave answers in advance has said it. At a terminal, where somebody
    /// has asked for this, nothing means yes; to somebody who is about to sign in it means no.
    pub(crate) fn confirm(&mut self, prompt: &str) -> anyhow::Result<bool> {
        let (hint, nothing) = match self {
            Self::Given(_) => return Ok(true),
            Self::Terminal(_) => ("[Y/n]", true),
            Self::Relayed(_) => ("Type OK, or nothing to do it another time:", false),
        };
        let answer = self.word("confirm", &format!("{prompt} {hint} "))?;
        let answer = answer.unwrap_or_default().to_lowercase();
        Ok(match answer.as_str() {
            "" => nothing,
            answer => matches!(answer, "y" | "yes" | "ok"),
        })
    }
}

/// Has the person asked by the other program.
fn relayed(program: &mut UnixStream, line: &Line) -> anyhow::Result<Secret> {
    line.send(program)?;
    match Reply::receive(program)? {
        Reply::Answer(answer) => Ok(answer),
        Reply::Gone => bail!("broken off"),
    }
}

/// Reads one line that is shown.
fn read_shown(terminal: &mut File, prompt: &str) -> anyhow::Result<String> {
    terminal.write_all(prompt.as_bytes())?;
    let mut line = Vec::new();
    let mut byte = [0];
    while terminal.read(&mut byte)? == 1 && byte != *b"\n" && line.len() < 1024 {
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

/// Reads one line that is not shown.
fn read_hidden(terminal: &mut File, prompt: &str) -> anyhow::Result<Secret> {
    let line = {
        let _hidden = Hidden::new(terminal)?;
        // Hidden before the question is seen: whoever answers at once is not shown either.
        (&*terminal).write_all(prompt.as_bytes())?;
        type_line(&mut &*terminal)
    };
    writeln!(terminal)?;
    line
}

/// What the keys typed amount to.
fn type_line(keys: &mut impl Read) -> anyhow::Result<Secret> {
    let mut typed = Zeroizing::new(Vec::with_capacity(1024));
    let mut key = [0];
    loop {
        if keys.read(&mut key)? == 0 {
            bail!("the terminal was closed");
        }
        match key {
            [b'\n' | b'\r'] => break,
            [CTRL_C | CTRL_D] => bail!("broken off"),
            [CTRL_U] => typed.clear(),
            // A whole character goes, however many bytes it has.
            [BACKSPACE | DELETE] => while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
            [byte] if typed.len() < 1024 => typed.push(byte),
            _ => bail!("that is too long"),
        }
    }
    let text = std::str::from_utf8(&typed).context("that is not UTF-8")?;
    Ok(Secret::new(text.to_owned()))
}

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const DELETE: u8 = 0x7f;

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> String {
        type_line(&mut &*keys).map_or_else(|e| e.to_string(), |s| s.expose().to_owned())
    }

    #[test]
    fn keys_make_a_line() {
        for (keys, line) in [
            (&b"4815\n"[..], "4815"),
            (b"4816\x7f5\r", "4815"),
            ("p\u{e4}\x7fa\n".as_bytes(), "pa"),
            (b"\x7f1\n", "1"),
            (b"wrong\x15right\n", "right"),
            (b"48\x03", "broken off"),
            (b"48", "the terminal was closed"),
        ] {
            assert_eq!(typed(keys), line);
        }
    }

    #[test]
    fn given_answers_are_used_once_in_their_order() {
        let mut answers = Answers::parse("pin=1=1\npassword=p\npin=2\n").unwrap();
        let mut ask = |name| {
            let answer = answers.secret(name, "").unwrap();
            answer.map(|secret| secret.expose().to_owned())
        };
        assert_eq!(ask("pin").as_deref(), Some("1=1"));
        assert_eq!(ask("pin").as_deref(), Some("2"));
        assert_eq!(ask("pin"), None);
        assert_eq!(ask("password").as_deref(), Some("p"));
    }

    #[test]
    fn a_line_that_is_no_answer_is_refused_without_being_repeated() {
        let error = Answers::parse("481516").err().unwrap().to_string();
        assert!(!error.contains("481516"));
    }
}
