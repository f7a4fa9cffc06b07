//! Enrollment at sign-in: `latchkey enroll` leads it as the person, and its lines go through here.
//!
//! The program needs what this module must not have (libkrb5, the person's ticket, the person's
//! rights), and the person is at the other end of the PAM conversation: so a socket pair lies between
//! the two, and [`relay`] carries lines. It works wherever a conversation does.
//!
//! *Invariant:* whatever goes wrong here ends the enrollment and not the sign-in; and all of it ends
//! in time, however busy the program is, and though nobody answers.

mod ffi;

use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use ipc::relay::{Line, Reply};

pub(crate) use ffi::{Account, Started};

use crate::flow::Person;

/// Is the session at a display? What is asked when such a session opens, its greeter may never show, and would
/// wait for an answer that nobody can give: nothing is asked there. `display` and `terminal` are the
/// transaction's, `kind` is what the program has put into the session's environment.
pub(crate) fn is_graphical(display: &str, terminal: &str, kind: &str) -> bool {
    !display.is_empty() || terminal.starts_with(':') || ["x11", "wayland", "mir"].contains(&kind)
}

/// Runs one, if it can be started; the person is told how it ended.
pub(crate) fn run(account: &Account, ccache: Option<&str>, person: &mut dyn Person) {
    let _calm = ffi::Calm::begin(LIFETIME);
    let Ok((started, socket)) = Started::new(PROGRAM, account, ccache) else {
        return person.tell(OFFER);
    };
    let mut program = Channel::new(socket, LIFETIME);
    if relay(&mut program, person).is_err() {
        person.tell(BROKEN_OFF);
    }
    drop(program);
    started.end();
}

/// Carries lines until the program has said its last.
pub(crate) fn relay(program: &mut (impl Read + Write), person: &mut dyn Person) -> io::Result<()> {
    for _ in 0..MOST_LINES {
        let answer = match Line::receive(program)? {
            None => return Err(ErrorKind::UnexpectedEof.into()),
            Some(Line::End) => return Ok(()),
            Some(Line::Tell(text)) => {
                person.inform(&text);
                continue;
            }
            Some(Line::Warn(text)) => {
                person.tell(&text);
                continue;
            }
            Some(Line::Ask(prompt)) => person.ask_shown(&prompt),
            Some(Line::Secret(prompt)) => person.ask(&prompt),
        };
        let Ok(answer) = answer else {
            Reply::Gone.send(program)?;
            return Err(ErrorKind::Interrupted.into());
        };
        Reply::Answer(answer).send(program)?;
    }
    Err(ErrorKind::InvalidData.into())
}

/// The module's end of the socket pair, which ends at one moment, or when the person wishes it to.
struct Channel {
    stream: UnixStream,
    end: Instant,
}

impl Channel {
    fn new(stream: UnixStream, lifetime: Duration) -> Self {
        let end = Instant::now() + lifetime;
        Self { stream, end }
    }

    fn left(&self) -> io::Result<Duration> {
        match self.end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.stream.set_read_timeout(Some(self.left()?))?;
            match self.stream.read(buffer) {
                // Signals of the host program's are none of ours.
                Err(error) if error.kind() == ErrorKind::Interrupted && !ffi::is_interrupted() => {}
                outcome => return outcome,
            }
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What is said where an enrollment is offered and cannot be led here.
pub(crate) const OFFER: &str = "You can set up a PIN for this machine: run `latchkey enroll`.";

const BROKEN_OFF: &str =
    "Setting up a PIN was broken off; you are asked again at your next sign-in.";

/// The program.
const PROGRAM: &str = "/usr/bin/latchkey";

/// For everything: a second factor that is waited for several times, and a slow directory.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

/// More than the longest conversation has.
const MOST_LINES: usize = 1000;

#[cfg(test)]
mod tests {
    use ipc::Secret;

    use super::*;
    use crate::flow::Code;

    /// A person who gives these answers, and what they saw.
    struct Played(Vec<&'static str>, Vec<String>);

    impl Played {
        fn answer(&mut self, how: &str, prompt: &str) -> Result<Secret, Code> {
            self.1.push(format!("{how} {prompt}"));
            match self.0.is_empty() {
                true => Err(Code::ConversationError),
                false => Ok(Secret::new(self.0.remove(0).to_owned())),
            }
        }
    }

    impl Person for Played {
        fn ask(&mut self, prompt: &str) -> Result<Secret, Code> {
            self.answer("hidden", prompt)
        }

        fn ask_shown(&mut self, prompt: &str) -> Result<Secret, Code> {
            self.answer("shown", prompt)
        }

        fn tell(&mut self, sentence: &str) {
            self.1.push(format!("warned {sentence}"));
        }

        fn inform(&mut self, sentence: &str) {
            self.1.push(format!("told {sentence}"));
        }
    }

    /// A program that has said all it says.
    struct Scripted(&'static [u8], Vec<u8>);

    impl Read for Scripted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn check(said: &'static [u8], answers: &[&'static str]) -> (bool, Vec<String>, String) {
        let mut program = Scripted(said, Vec::new());
        let mut person = Played(answers.to_vec(), Vec::new());
        let ended = relay(&mut program, &mut person).is_ok();
        (ended, person.1, String::from_utf8(program.1).unwrap())
    }

    #[test]
    fn each_question_goes_to_the_person_and_its_answer_back() {
        let said = b"tell Hello.\nask Name: \nwarn No.\nsecret PIN: \nend\ntell more\n";
        let (ended, seen, answered) = check(said, &["a b", "161803"]);
        assert!(ended);
        let seen: Vec<_> = seen.iter().map(String::as_str).collect();
        assert_eq!(
            seen,
            ["told Hello.", "shown Name: ", "warned No.", "hidden PIN: "]
        );
        assert_eq!(answered, "answer 612062\nanswer 313631383033\n");
    }

    #[test]
    fn a_person_who_is_gone_ends_it() {
        let (ended, _, answered) = check(b"secret PIN: \nsecret PIN: \nend\n", &[]);
        assert!(!ended);
        assert_eq!(answered, "gone\n");
    }

    #[test]
    fn a_program_that_dies_or_talks_nonsense_ends_it() {
        for said in [
            &b"tell a\n"[..],
            b"tell a",
            b"",
            b"tell \x1b[2J\nend\n",
            b"nonsense\n",
        ] {
            assert!(!check(said, &[]).0, "{said:?}");
        }
    }

    #[test]
    fn nothing_is_asked_where_a_greeter_may_not_show_it() {
        for (display, terminal, kind, expected) in [
            ("", "", "", false),
            ("", "tty1", "tty", false),
            ("", "pts/3", "", false),
            (":0", "", "", true),
            ("", ":0", "", true),
            ("", "tty2", "wayland", true),
            ("", "tty7", "x11", true),
        ] {
            let found = is_graphical(display, terminal, kind);
            assert_eq!(found, expected, "{display} {terminal} {kind}");
        }
    }

    #[test]
    fn a_question_that_nobody_answers_is_broken_off_in_time() {
        let _calm = ffi::Calm::begin(Duration::from_secs(1));
        let begun = Instant::now();
        while !ffi::is_interrupted() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::yield_now();
        }
        assert!(ffi::is_interrupted());
        assert!(begun.elapsed() >= Duration::from_millis(900));
    }

    #[test]
    fn a_program_that_never_ends_is_ended() {
        let (_theirs, ours) = UnixStream::pair().unwrap();
        let mut program = Channel::new(ours, Duration::from_millis(50));
        let ended = relay(&mut program, &mut Played(Vec::new(), Vec::new()));
        assert!(ended.is_err());
    }
}
