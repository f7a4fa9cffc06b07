//! Which users are the agent's: those below chosen organizational units, and where groups are named
//! too, only those of them who are in one of these, directly or by other groups.
//!
//! The units bound what the agent can touch at all, whatever becomes of the groups: whoever may
//! change a group's members can let somebody out of the agent's reach, and nobody into it.
//!
//! Names are compared part by part, never as text: a user may be called `x,OU=Staff` and its DN
//! then ends, as text, like one of the unit's.

use directory::{Directory, User};

/// A distinguished name as its parts, outermost first, in one case and without escapes.
#[derive(Debug, Clone)]
pub struct Dn {
    text: String,
    parts: Vec<Vec<u8>>,
}

/// Chosen organizational units.
#[derive(Debug, Clone)]
pub struct Scope {
    ous: Vec<Dn>,
    groups: Vec<String>,
}

impl Scope {
    /// Everything below `ous` that is in one of `groups`, where there are any.
    pub fn new(ous: Vec<Dn>, groups: Vec<Dn>) -> Self {
        let groups = groups.into_iter().map(|group| group.text).collect();
        Self { ous, groups }
    }

    /// The groups' DNs.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }

    /// Whether to be below a unit is not enough.
    pub fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether the directory has this user within the scope.
    pub async fn holds(
        &self,
        directory: &Directory,
        user: &User,
    ) -> Result<bool, directory::Error> {
        Ok(self.contains(&user.dn)
            && (!self.has_groups() || directory.is_within(user.guid, &self.groups).await?))
    }

    /// Whether an object with this DN is below one of the units.
    pub fn contains(&self, dn: &str) -> bool {
        Dn::parse(dn).is_some_and(|dn| {
            self.ous
                .iter()
                .any(|ou| dn.parts.len() > ou.parts.len() && dn.is_below(ou))
        })
    }

    /// Whether an object is one of the units, or below one.
    pub fn covers(&self, dn: &str) -> bool {
        let dn = Dn::parse(dn);
        dn.is_some_and(|dn| self.ous.iter().any(|ou| dn.is_below(ou)))
    }

    /// The units' DNs, without those that another one contains.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.ous
            .iter()
            .enumerate()
            .filter(|(at, ou)| {
                !self.ous.iter().enumerate().any(|(other_at, other)| {
                    let twin = other.parts == ou.parts;
                    if twin {
                        other_at < *at
                    } else {
                        ou.is_below(other)
                    }
                })
            })
            .map(|(_, ou)| ou.text.as_str())
    }
}

impl Dn {
    /// Reads the text form (RFC 4514), with the escapes that Active Directory writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let (mut part, mut named) = (Vec::new(), false);
        let mut bytes = text.bytes().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    let first = bytes.next()?;
                    match (hex(first), bytes.peek().copied().and_then(hex)) {
                        (Some(high), Some(low)) => {
                            bytes.next();
                            part.push(high << 4 | low);
                        }
                        _ => part.push(first),
                    }
                }
                b',' => {
                    if !named {
                        return None;
                    }
                    parts.push(std::mem::take(&mut part));
                    named = false;
                    while bytes.next_if_eq(&b' ').is_some() {}
                }
                b'=' if !named => {
                    named = !part.is_empty();
                    part.push(b'=');
                }
                byte => part.push(byte),
            }
        }
        if !named {
            return None;
        }
        parts.push(part);
        parts.reverse();
        let parts = parts.into_iter().map(folded).collect();
        Some(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// Whether it is `ancestor` or below it.
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.parts.starts_with(&ancestor.parts)
    }
}

/// The directory compares without regard to case.
fn folded(part: Vec<u8>) -> Vec<u8> {
    match String::from_utf8(part) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(ous: &[&str]) -> Scope {
        let ous = ous.iter().map(|ou| Dn::parse(ou).unwrap());
        Scope::new(ous.collect(), Vec::new())
    }

    #[test]
    fn users_below_a_unit_are_in_and_all_others_out() {
        let scope = scope(&["OU=Staff,DC=corp,DC=test"]);
        for (dn, inside) in [
            ("CN=Alice,OU=Staff,DC=corp,DC=test", true),
            ("CN=Alice,OU=Sub,OU=Staff,DC=corp,DC=test", true),
            ("cn=alice, ou=staff, dc=CORP, dc=test", true),
            ("CN=Alice\\, A.,OU=Staff,DC=corp,DC=test", true),
            ("CN=Dave,OU=Others,DC=corp,DC=test", false),
            ("CN=x\\,OU=Staff,DC=corp,DC=test", false),
            ("CN=x\\2COU=Staff,DC=corp,DC=test", false),
            ("CN=Alice,OU=Staff,DC=other,DC=test", false),
            ("CN=Alice,OU=My Staff,DC=corp,DC=test", false),
            ("OU=Staff,DC=corp,DC=test", false),
            ("", false),
            ("CN=Alice,OU=Staff,DC=corp,DC=test\\", false),
        ] {
            assert_eq!(scope.contains(dn), inside, "{dn}");
        }
    }

    #[test]
    fn a_unit_within_another_is_searched_once() {
        let scope = scope(&[
            "OU=A,OU=Staff,DC=t",
            "OU=Staff,DC=t",
            "ou=staff,dc=t",
            "OU=B,DC=t",
        ]);
        assert_eq!(
            scope.bases().collect::<Vec<_>>(),
            ["OU=Staff,DC=t", "OU=B,DC=t"]
        );
    }
}
