//! The lines by which an enrollment at sign-in speaks to the person, through a PAM module.
//!
//! The module holds one end of a socket pair; the program, which runs as the person, has the other
//! as its standard input. Each line ends in LF and has at most [`MAX_LINE`] bytes:
//!
//! ```text
//! program → module   ask TEXT | secret TEXT | tell TEXT | warn TEXT | end
//! module → program   answer HEX | gone
//! ```
//!
//! An `ask` (shown while it is typed) or a `secret` (not shown) waits for the one answer; nothing else
//! is answered. `gone` means that nobody answers any more.
//!
//! What must hold: the module reads what a process of the person's own wrote, inside a program of
//! root's. So a line is bounded, and a text with anything in it that could move a cursor is none.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Read, Write},
};

use zeroize::Zeroizing;

use crate::Secret;

/// The longest line, with its end.
pub const MAX_LINE: usize = 4096;

/// What the program wants of the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// An answer that may be seen.
    Ask(String),
    /// An answer that may not.
    Secret(String),
    /// That it is read.
    Tell(String),
    /// That it is read as a complaint.
    Warn(String),
    /// Nothing more: the enrollment is over.
    End,
}

/// What the module says.
#[derive(Debug, Clone)]
pub enum Reply {
    /// What the person answered.
    Answer(Secret),
    /// There is nobody to answer.
    Gone,
}

impl Line {
    /// Reads one, without its end. None: it is none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        if rest.chars().any(is_unfit) || rest.is_empty() != (word == "end") {
            return None;
        }
        let rest = rest.to_owned();
        Some(match word {
            "ask" => Self::Ask(rest),
            "secret" => Self::Secret(rest),
            "tell" => Self::Tell(rest),
            "warn" => Self::Warn(rest),
            "end" if text == "end" => Self::End,
            _ => return None,
        })
    }

    /// Sends it. What a text may not have in it is sent as blanks, and what is too long is cut.
    pub fn send(&self, stream: &mut impl Write) -> io::Result<()> {
        let (word, text) = match self {
            Self::Ask(text) => ("ask", text.as_str()),
            Self::Secret(text) => ("secret", text.as_str()),
            Self::Tell(text) => ("tell", text.as_str()),
            Self::Warn(text) => ("warn", text.as_str()),
            Self::End => return stream.write_all(b"end\n"),
        };
        let mut line = format!("{word} ");
        for letter in text.chars() {
            if line.len() + letter.len_utf8() >= MAX_LINE {
                break;
            }
            line.push(if is_unfit(letter) { ' ' } else { letter });
        }
        line.push('\n');
        stream.write_all(line.as_bytes())
    }

    /// Waits for one. None: the program is gone.
    pub fn receive(stream: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(line) = read_line(stream)? else {
            return Ok(None);
        };
        Self::parse(&line).map(Some).ok_or_else(unfit)
    }
}

impl Reply {
    /// Reads one, without its end.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes == b"gone" {
            return Some(Self::Gone);
        }
        let hex = bytes.strip_prefix(b"answer ")?;
        let (pairs, []) = hex.as_chunks::<2>() else {
            return None;
        };
        let nibble = |digit: u8| char::from(digit).to_digit(16);
        let mut answer = Zeroizing::new(Vec::with_capacity(pairs.len()));
        for [high, low] in pairs {
            answer.push((nibble(*high)? << 4 | nibble(*low)?) as u8);
        }
        let text = std::str::from_utf8(&answer).ok()?;
        Some(Self::Answer(Secret::new(text.to_owned())))
    }

    /// Sends it.
    pub fn send(&self, stream: &mut impl Write) -> io::Result<()> {
        let Self::Answer(answer) = self else {
            return stream.write_all(b"gone\n");
        };
        let answer = answer.expose();
        let mut line = Zeroizing::new(String::with_capacity(answer.len() * 2 + 16));
        line.push_str("answer ");
        for byte in answer.bytes() {
            write!(line, "{byte:02x}").map_err(|_| unfit())?;
        }
        line.push('\n');
        if line.len() > MAX_LINE {
            return Err(unfit());
        }
        stream.write_all(line.as_bytes())
    }

    /// Waits for one. A module that is gone is nobody to answer.
    pub fn receive(stream: &mut impl Read) -> io::Result<Self> {
        match read_line(stream)? {
            None => Ok(Self::Gone),
            Some(line) => Self::parse(&line).ok_or_else(unfit),
        }
    }
}

/// One line without its end; none where the other side has closed. Reads byte by byte, so that
/// nothing of a later line stays in a buffer.
fn read_line(stream: &mut impl Read) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut byte = [0];
    loop {
        if stream.read(&mut byte)? == 0 {
            return if line.is_empty() {
                Ok(None)
            } else {
                Err(unfit())
            };
        }
        match byte {
            [b'\n'] => return Ok(Some(line)),
            [byte] if line.len() + 1 < MAX_LINE => line.push(byte),
            _ => return Err(unfit()),
        }
    }
}

/// Control characters, and those that turn the direction of writing.
fn is_unfit(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn unfit() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "that is no line of an enrollment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_replies_come_through_as_they_were_sent() {
        let text = || "Code from your authenticator: ä 42".to_owned();
        for line in [
            Line::Ask(text()),
            Line::Secret(text()),
            Line::Tell(text()),
            Line::Warn(text()),
            Line::End,
        ] {
            let mut sent = Vec::new();
            line.send(&mut sent).unwrap();
            assert_eq!(Line::receive(&mut &sent[..]).unwrap(), Some(line));
        }
        for answer in ["", "161803", "pä ss"] {
            let mut sent = Vec::new();
            Reply::Answer(Secret::new(answer.into()))
                .send(&mut sent)
                .unwrap();
            let Reply::Answer(got) = Reply::receive(&mut &sent[..]).unwrap() else {
                panic!("{answer} did not come through");
            };
            assert_eq!(got.expose(), answer);
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let long = [b"tell ".to_vec(), vec![b'a'; MAX_LINE]].concat();
        for bad in [
            &b"tell \x1b[2J\n"[..],
            b"tell a\tb\n",
            b"tell \xe2\x80\xae\n",
            b"tell \xff\n",
            b"tell\n",
            b"end now\n",
            b"end \n",
            b"shout a\n",
            b"\n",
            b"tell a",
            &long,
        ] {
            assert!(Line::receive(&mut &bad[..]).is_err(), "{bad:?}");
        }
        for bad in [&b"answer 1\n"[..], b"answer zz\n", b"answer ff\n", b"go\n"] {
            assert!(Reply::receive(&mut &bad[..]).is_err(), "{bad:?}");
        }
        assert_eq!(Line::receive(&mut &b""[..]).unwrap(), None);
        assert!(matches!(Reply::receive(&mut &b""[..]), Ok(Reply::Gone)));
    }

    #[test]
    fn a_text_is_sent_as_something_that_is_taken() {
        let hostile = format!("a\nend\x1b[2J{}", "ä".repeat(MAX_LINE));
        let mut sent = Vec::new();
        Line::Tell(hostile).send(&mut sent).unwrap();
        let got = Line::receive(&mut &sent[..]).unwrap();
        assert!(matches!(got, Some(Line::Tell(text)) if text.starts_with("a end [2Jää")));
    }

    /// Whatever comes, reading ends, and what is taken for a line is one.
    #[test]
    fn any_bytes_are_a_line_that_may_be_shown_or_none() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let words: [&[u8]; 8] = [
            b"ask ",
            b"secret ",
            b"tell ",
            b"end",
            b"\n",
            b"answer ",
            b"\x1b[",
            b"\xe2\x80",
        ];
        for _ in 0..20_000 {
            let mut bytes = Vec::new();
            for _ in 0..next() % 12 {
                match next() % 3 {
                    0 => bytes.push(next() as u8),
                    _ => bytes.extend(words[next() as usize % words.len()]),
                }
            }
            let mut rest = &bytes[..];
            while let Ok(Some(line)) = Line::receive(&mut rest) {
                if let Line::Ask(text) | Line::Secret(text) | Line::Tell(text) | Line::Warn(text) =
                    line
                {
                    assert!(!text.is_empty() && !text.chars().any(is_unfit), "{bytes:?}");
                }
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() && Reply::receive(&mut rest).is_ok() {}
        }
    }
}
