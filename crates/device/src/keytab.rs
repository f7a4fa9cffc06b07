//! The machine account's name, out of the keytab that joined this machine to its domain.
//!
//! MIT's format, version 2: after `05 02` come entries, each with a signed 32-bit size in front
//! (negative: a hole). An entry begins with the number of name components, the realm and the
//! components, each text with a 16-bit length in front.

use std::path::Path;

use crate::{Error, error::refused};

/// The machine account's principal, `WS1$@REALM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// `WS1$`.
    pub account: String,
    /// In capitals.
    pub realm: String,
}

impl Machine {
    /// Finds it in the keytab at `path`.
    pub(crate) fn of_keytab(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|error| {
            refused(
                "not_in_domain",
                format!(
                    "This machine has no machine account: {} cannot be read ({error}). \
                     Join it to the domain first, e.g. with adcli.",
                    path.display()
                ),
            )
        })?;
        find(&bytes).ok_or_else(|| {
            refused(
                "not_in_domain",
                format!("{} holds no key of a machine account.", path.display()),
            )
        })
    }

    /// As Kerberos writes it.
    pub(crate) fn principal(&self) -> String {
        format!("{}@{}", self.account, self.realm)
    }
}

fn find(bytes: &[u8]) -> Option<Machine> {
    let mut rest = bytes.strip_prefix(&[5, 2])?;
    while let Some((size, tail)) = rest.split_first_chunk::<4>() {
        let size = i32::from_be_bytes(*size);
        let (entry, next) = tail.split_at_checked(size.unsigned_abs() as usize)?;
        rest = next;
        if size > 0
            && let Some(machine) = machine(entry)
        {
            return Some(machine);
        }
    }
    None
}

/// The entry's principal, if it is a machine account's.
fn machine(entry: &[u8]) -> Option<Machine> {
    let (count, rest) = entry.split_first_chunk::<2>()?;
    let (realm, rest) = text(rest)?;
    let (account, _) = text(rest)?;
    let is_machine = u16::from_be_bytes(*count) == 1 && account.ends_with('$');
    is_machine.then(|| Machine {
        account: account.to_owned(),
        realm: realm.to_owned(),
    })
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(components: &[&str]) -> Vec<u8> {
        let mut entry = (components.len() as u16).to_be_bytes().to_vec();
        for text in [&["R.TEST"], components].concat() {
            entry.extend((text.len() as u16).to_be_bytes());
            entry.extend(text.as_bytes());
        }
        entry.extend([0; 20]);
        entry
    }

    #[test]
    fn the_machine_account_is_found_among_services_and_holes() {
        let mut keytab = vec![5, 2];
        keytab.extend((-6_i32).to_be_bytes());
        keytab.extend([1; 6]);
        for entry in [entry(&["host", "ws1"]), entry(&["WS1$"])] {
            keytab.extend((entry.len() as i32).to_be_bytes());
            keytab.extend(entry);
        }
        assert_eq!(find(&keytab).unwrap().principal(), "WS1$@R.TEST");
        for length in 0..keytab.len() {
            assert_eq!(find(&keytab[..length]), None, "{length}");
        }
    }

    #[test]
    fn a_keytab_of_services_alone_names_no_machine() {
        let mut keytab = vec![5, 2];
        let service = entry(&["host", "ws1"]);
        keytab.extend((service.len() as i32).to_be_bytes());
        keytab.extend(service);
        assert_eq!(find(&keytab), None);
    }
}
