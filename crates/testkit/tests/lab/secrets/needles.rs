//! What is looked for: secrets in every writing in which a program may have left them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Secrets in all their writings, found in one pass.
#[derive(Clone)]
pub(super) struct Needles {
    finder: AhoCorasick,
    /// Of each pattern: which secret, in which writing.
    names: Vec<String>,
    longest: usize,
}

impl Needles {
    /// Needles of named secrets.
    pub(super) fn of(secrets: &[(&str, Vec<u8>)]) -> Result<Self> {
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        for (name, secret) in secrets {
            for (writing, pattern) in writings(secret) {
                names.push(format!("{name} as {writing}"));
                patterns.push(pattern);
            }
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or_default();
        let finder = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::DFA))
            .build(&patterns)?;
        Ok(Self {
            finder,
            names,
            longest,
        })
    }

    /// What of it is in `hay`, by name.
    pub(super) fn find(&self, hay: &[u8]) -> BTreeSet<&str> {
        let found = self.finder.find_iter(hay);
        found
            .map(|found| self.names[found.pattern().as_usize()].as_str())
            .collect()
    }

    /// As [`Needles::find`], in a stream of any length.
    pub(super) fn find_in(&self, mut stream: impl Read) -> Result<BTreeSet<&str>> {
        let mut found = BTreeSet::new();
        let mut window = Vec::new();
        loop {
            let fresh = stream.by_ref().take(1 << 20).read_to_end(&mut window)?;
            found.extend(self.find(&window));
            if fresh == 0 {
                return Ok(found);
            }
            // A secret may lie across two reads.
            window.drain(..window.len().saturating_sub(self.longest));
        }
    }
}

/// `secret` in every writing that is looked for, each once.
pub(super) fn writings(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![("it is", secret.to_vec())];
    all.extend(armoured(
        secret,
        ["hex", "HEX", "base64", "base64url", "percent"],
    ));
    if let Ok(text) = std::str::from_utf8(secret) {
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        all.extend(armoured(
            &wide,
            [
                "hex of UTF-16",
                "HEX of UTF-16",
                "base64 of UTF-16",
                "base64url of UTF-16",
                "percent of UTF-16",
            ],
        ));
        all.push(("UTF-16", wide));
    }
    let mut seen = BTreeSet::new();
    all.retain(|(_, pattern)| seen.insert(pattern.clone()));
    all
}

fn armoured(bytes: &[u8], names: [&'static str; 5]) -> Vec<(&'static str, Vec<u8>)> {
    let [lower, upper, standard, url_safe, percent] = names;
    let mut all = vec![
        (lower, hexadecimal(bytes).into_bytes()),
        (upper, hexadecimal(bytes).to_uppercase().into_bytes()),
        (percent, escaped(bytes).into_bytes()),
    ];
    for shift in 0..3 {
        all.push((standard, inner(&STANDARD_NO_PAD, shift, bytes)));
        all.push((url_safe, inner(&URL_SAFE_NO_PAD, shift, bytes)));
    }
    all
}

/// The digits of `bytes` in base64 that stay the same whatever stands before and behind them, when
/// `shift` bytes stand before them in their group of three.
fn inner(engine: &GeneralPurpose, shift: usize, bytes: &[u8]) -> Vec<u8> {
    let text = engine.encode([&vec![0; shift][..], bytes].concat());
    let first = (shift * 8).div_ceil(6);
    let last = (shift + bytes.len()) * 8 / 6;
    text.as_bytes()[first..last].to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _never_fails = write!(text, "{byte:02x}");
        text
    })
}

/// As `application/x-www-form-urlencoded` writes it.
fn escaped(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        match byte {
            b'*' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            _ => {
                let _never_fails = write!(text, "%{byte:02X}");
            }
        }
        text
    })
}

#[test]
fn every_writing_is_found_at_every_place_and_nothing_else() {
    let secret = b"pass&word+%1".to_vec();
    let needles = Needles::of(&[("planted", secret.clone())]).unwrap();
    assert!(needles.find(b"pass&word+%2 cGFzcyZ3b3JkKyUy").is_empty());
    for before in 0..7 {
        let plain = [&b"xxxxxxx"[..before], &secret, b"y"].concat();
        for written in [
            plain.clone(),
            STANDARD_NO_PAD.encode(&plain).into_bytes(),
            URL_SAFE_NO_PAD.encode(&plain).into_bytes(),
            hexadecimal(&plain).into_bytes(),
            hexadecimal(&plain).to_uppercase().into_bytes(),
            escaped(&plain).into_bytes(),
            String::from_utf8(plain.clone())
                .unwrap()
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ] {
            assert!(!needles.find(&written).is_empty(), "{written:?}");
        }
    }
    let far = [vec![0; (1 << 20) - 3], secret].concat();
    assert!(!needles.find_in(&far[..]).unwrap().is_empty());
}
