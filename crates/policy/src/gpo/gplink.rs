//! `gPLink`: which GPOs are linked to a domain, an OU or a site (MS-GPOL 2.2.2).
//!
//! `[LDAP://<name>;<options>]`, repeated without anything between. The last one is link order 1,
//! the strongest; the same GPO may be there more than once, and each counts.

use model::Malformed;

/// One link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The GPO's distinguished name.
    pub dn: String,
    /// Bit 0: the link is off. Bit 1: it is enforced.
    pub options: u32,
}

impl Link {
    /// Does the link count?
    pub fn is_enabled(&self) -> bool {
        self.options & 1 == 0
    }

    /// Is it enforced? A link that is off is not.
    pub fn is_enforced(&self) -> bool {
        self.options & 3 == 2
    }
}

/// Reads the attribute's value. Blank text and `[ ]` are ways to write that nothing is linked.
pub fn parse(text: &str) -> Result<Vec<Link>, Malformed> {
    let bad = |reason| Malformed {
        noun: "gPLink",
        reason,
    };
    let mut links = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let inner = rest
            .strip_prefix('[')
            .ok_or(bad("a link does not begin with a bracket"))?;
        let (inner, tail) = split_link(inner).ok_or(bad("a link does not end"))?;
        rest = tail.trim_start();
        if inner.trim().is_empty() {
            continue;
        }
        let (path, options) = inner.rsplit_once(';').ok_or(bad("a link has no options"))?;
        let dn = path
            .split_at_checked(PREFIX.len())
            .filter(|(prefix, _)| prefix.eq_ignore_ascii_case(PREFIX))
            .map(|(_, dn)| dn)
            .filter(|dn| !dn.is_empty())
            .ok_or(bad("a link does not begin with LDAP:// and a name"))?;
        links.push(Link {
            dn: dn.to_owned(),
            options: options
                .trim()
                .parse()
                .map_err(|_| bad("the options of a link are not a number"))?,
        });
    }
    Ok(links)
}

/// The attribute's value for `links`, weakest first.
pub fn write(links: &[Link]) -> String {
    links
        .iter()
        .map(|link| format!("[{PREFIX}{};{}]", link.dn, link.options))
        .collect()
}

/// Splits after the bracket that ends a link: one that follows `;` and digits, since a bracket may
/// be part of the name.
fn split_link(text: &str) -> Option<(&str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.find(']')?;
        let (inner, tail) = (text.get(..at)?, text.get(at + 1..)?);
        let before = inner
            .trim_end()
            .trim_end_matches(|c: char| c.is_ascii_digit());
        let ends = before.trim().is_empty() || before.trim_end().ends_with(';');
        if ends {
            return Some((inner, tail));
        }
        from = at + 1;
    }
}

const PREFIX: &str = "LDAP://";
