//! `GPT.INI`: the version that a GPO's files say they have (MS-GPOL 2.2.4).
//!
//! Everybody writes it differently (case, blanks, line ends, a byte order mark, other keys), so it
//! is read leniently; it is only compared, nothing depends on its finer points.

use model::Malformed;

use super::utf16;

/// What a `GPT.INI` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GptIni {
    /// `Version`, laid out as the directory's `versionNumber`.
    pub version: Option<u32>,
    /// `displayName`.
    pub display_name: Option<String>,
}

/// Reads the file.
pub fn parse(bytes: &[u8]) -> Result<GptIni, Malformed> {
    let mut ini = GptIni::default();
    let text = text(bytes)?;
    for (key, value) in entries(&text) {
        if key.eq_ignore_ascii_case("version") {
            ini.version = ini.version.or_else(|| value.parse().ok());
        } else if key.eq_ignore_ascii_case("displayname") && !value.is_empty() {
            ini.display_name.get_or_insert_with(|| value.to_owned());
        }
    }
    Ok(ini)
}

/// A new file, as Windows' editor writes it.
pub fn write(version: u32) -> Vec<u8> {
    format!("[General]\r\nVersion={version}\r\n").into_bytes()
}

/// The file with another version; what else is in it stays.
pub fn with_version(existing: &[u8], version: u32) -> Result<Vec<u8>, Malformed> {
    let text = text(existing)?;
    let mut out = String::from("[General]\r\n");
    out.push_str(&format!("Version={version}\r\n"));
    for (key, value) in entries(&text) {
        if !key.eq_ignore_ascii_case("version") {
            out.push_str(&format!("{key}={value}\r\n"));
        }
    }
    Ok(out.into_bytes())
}

/// The keys and values of the section `[General]`.
fn entries(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_general = false;
    text.split(['\r', '\n']).filter_map(move |line| {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            let name = section.trim_end_matches(']').trim();
            is_general = name.eq_ignore_ascii_case("general");
        }
        let (key, value) = line.split_once('=')?;
        (is_general && !line.starts_with(['[', ';'])).then(|| (key.trim(), value.trim()))
    })
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let bad = |reason| Malformed {
        noun: "GPT.INI",
        reason,
    };
    if bytes.len() > MAX {
        return Err(bad("longer than 64 KiB"));
    }
    if let Some(wide) = bytes.strip_prefix(&[0xff, 0xfe]) {
        return utf16::decode(wide).ok_or(bad("not UTF-16, which its byte order mark promises"));
    }
    let bare = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // A display name may be in any code page; the rest is ASCII.
    Ok(String::from_utf8_lossy(bare).into_owned())
}

const MAX: usize = 64 << 10;
