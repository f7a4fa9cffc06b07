//! What reads other processes' bytes, under bytes that are nearly right: frames of the login helper's, lines
//! of an enrollment at sign-in. Same changes each time.

use ipc::relay::{Line, MAX_LINE, Reply};
use latchkey_device::helper::{
    Failed, Ids, MAX_FRAME, Obtained, Request, Stored, Verdict, receive, receive_bytes, send,
    send_bytes,
};

const ROUNDS: u64 = 4_000;

/// xorshift64, which needs no more than a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }

    /// Flips, takes out, doubles or puts in a few bytes.
    fn change(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(9)).min(bytes.len());
            match self.below(4) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let twice = bytes[at..end].to_vec();
                    bytes.splice(at..at, twice);
                }
                _ => bytes.insert(at, self.below(256) as u8),
            }
        }
    }
}

/// Every message of both directions, as it is sent.
fn messages() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut add = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut sent = Vec::new();
        write(&mut sent);
        all.push(sent);
    };
    add(&|to| {
        let request = Request {
            ids: Ids {
                uid: 1000,
                gid: 1000,
                groups: vec![1000, 27],
            },
            principal: "alice@CORP.TEST".to_owned(),
            module: "/usr/lib/module.so".to_owned(),
            anchors: vec!["/run/one.pem".to_owned()],
        };
        send(to, &request).unwrap();
    });
    add(&|to| {
        let obtained = Obtained {
            principal: "alice@CORP.TEST".to_owned(),
            server: "krbtgt/CORP.TEST@CORP.TEST".to_owned(),
            end: 1_800_000_000,
            kdc_certificate: Some("MIIB".to_owned()),
        };
        send(to, &Ok::<_, Failed>(obtained)).unwrap();
    });
    add(&|to| {
        let ccache = "FILE:/tmp/krb5cc_1000".to_owned();
        send(to, &Ok::<_, Failed>(Stored { ccache })).unwrap();
    });
    add(&|to| {
        let (code, message) = ("helper".to_owned(), "it broke".to_owned());
        send(to, &Err::<Stored, _>(Failed { code, message })).unwrap();
    });
    add(&|to| send(to, &Verdict { verified: false }).unwrap());
    add(&|to| send_bytes(to, &[7; 300]).unwrap());
    all
}

#[test]
fn a_helper_s_frames_that_are_nearly_right_are_read_within_their_bound_or_refused() {
    let mut chance = Chance(0x5eed);
    let messages = messages();
    let mut read = 0;
    for _ in 0..ROUNDS {
        let mut bytes = messages[chance.below(messages.len())].clone();
        chance.change(&mut bytes);
        if let Ok(frame) = receive_bytes(&mut &bytes[..]) {
            assert!(frame.len() <= MAX_FRAME && frame.len() + 4 <= bytes.len());
            read += 1;
        }
        let _ = receive::<Request>(&mut &bytes[..]);
        let _ = receive::<Result<Obtained, Failed>>(&mut &bytes[..]);
        let _ = receive::<Result<Stored, Failed>>(&mut &bytes[..]);
        // Nothing but the word itself confirms a ticket.
        if let Ok(verdict) = receive::<Verdict>(&mut &bytes[..]) {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(verdict.verified, text.contains("true"), "{text}");
        }
    }
    assert!(read > ROUNDS / 10, "{read}");
}

#[test]
fn lines_that_are_nearly_right_bring_no_cursor_to_move_and_no_end_that_was_not_said() {
    let mut chance = Chance(0x5eed);
    let lines: [&[u8]; 7] = [
        b"ask Name: \n",
        "secret PIN \u{e4}: \n".as_bytes(),
        b"tell Done.\n",
        "warn \u{202d}No.\n".as_bytes(),
        b"end\n",
        b"answer 313131313131\n",
        b"gone\n",
    ];
    let mut read = 0;
    for _ in 0..ROUNDS {
        let mut bytes = lines[chance.below(lines.len())].to_vec();
        chance.change(&mut bytes);
        match Line::receive(&mut &bytes[..]) {
            Ok(Some(Line::End)) => assert!(bytes.starts_with(b"end\n"), "{bytes:?}"),
            Ok(Some(
                Line::Ask(text) | Line::Secret(text) | Line::Tell(text) | Line::Warn(text),
            )) => {
                let moves = |letter: char| letter.is_control() || letter == '\u{202d}';
                assert!(!text.contains(moves) && text.len() < MAX_LINE, "{text:?}");
                read += 1;
            }
            Ok(None) => assert!(bytes.is_empty()),
            Err(_) => {}
        }
        if let Ok(Reply::Answer(answer)) = Reply::receive(&mut &bytes[..]) {
            assert!(answer.expose().len() * 2 < MAX_LINE);
        }
    }
    assert!(read > ROUNDS / 20, "{read}");
}
