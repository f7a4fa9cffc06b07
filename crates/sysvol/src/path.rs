//! Paths inside the share.

use crate::Error;

/// The share.
pub(crate) const SHARE: &str = "sysvol";

/// The folder of a policy inside the share, of a `gPCFileSysPath` as
/// `\\domain\sysvol\domain\Policies\{GUID}`: its host is not looked at, its share must be SYSVOL.
pub fn folder(path: &str) -> Result<String, Error> {
    let bad = || Error::BadPath(path.to_owned());
    let rest = path.strip_prefix(r"\\").ok_or_else(bad)?;
    let mut parts = rest.split('\\');
    let (host, share) = (parts.next(), parts.next());
    if host.is_none_or(str::is_empty) || !share.is_some_and(|s| s.eq_ignore_ascii_case(SHARE)) {
        return Err(bad());
    }
    let parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        return Err(bad());
    }
    checked(&parts.join("/")).map(str::to_owned)
}

/// A file or folder inside another.
pub fn child(folder: &str, name: &str) -> String {
    format!("{folder}/{name}")
}

/// A path whose parts are plain names, with `/` between them.
pub(crate) fn checked(path: &str) -> Result<&str, Error> {
    let plain = |part: &str| {
        let odd = |c: char| c.is_control() || matches!(c, '\\' | ':' | '*' | '?' | '"' | '|');
        !part.is_empty() && part != "." && part != ".." && !part.contains(odd)
    };
    if path.split('/').all(plain) {
        Ok(path)
    } else {
        Err(Error::BadPath(path.to_owned()))
    }
}
