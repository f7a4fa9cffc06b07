//! What keeps this device's keys: a TPM of the machine's, or a program that stands in for one.
//!
//! What must hold: the kind is chosen when the device makes its keys and stays until it leaves. A
//! machine whose TPM is not there one morning must not go on with something weaker by itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The kind in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStorage {
    /// A TPM that is not this daemon's child.
    #[default]
    Hardware,
    /// swtpm, started by this daemon, with its state on this machine's disk.
    Software,
}

impl KeyStorage {
    /// The word for `status`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Software => "software",
        }
    }
}

/// `tpm` in device.toml.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Hardware where `tcti` names something that is there, else software.
    #[default]
    Auto,
    /// Hardware or nothing.
    Hardware,
    /// Software, whatever the machine has.
    Software,
}

impl Choice {
    /// The kind for a device that has no keys yet.
    pub(crate) fn decide(self, tcti: &str) -> KeyStorage {
        match self {
            Self::Hardware => KeyStorage::Hardware,
            Self::Software => KeyStorage::Software,
            Self::Auto if is_missing(tcti) => KeyStorage::Software,
            Self::Auto => KeyStorage::Hardware,
        }
    }

    /// Why a device whose keys are kept so may not run under this choice.
    pub(crate) fn objection(self, kept: KeyStorage) -> Option<String> {
        let wanted = match (self, kept) {
            (Self::Hardware, KeyStorage::Software) => KeyStorage::Hardware,
            (Self::Software, KeyStorage::Hardware) => KeyStorage::Software,
            _ => return None,
        };
        let (kept, wanted) = (kept.word(), wanted.word());
        Some(format!(
            "the keys of this device are in {kept}, and device.toml says tpm = \"{wanted}\"; to \
             change over, say tpm = \"{kept}\" there, run `latchkey leave`, say tpm = \"{wanted}\", \
             and join again"
        ))
    }
}

/// Does `tcti` name a device file that is not there?
pub(crate) fn is_missing(tcti: &str) -> bool {
    let path = tcti.strip_prefix("device:");
    path.is_some_and(|path| !Path::new(path).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERE: &str = "device:/dev/null";
    const NOT_THERE: &str = "device:/dev/no-such-tpm";

    #[test]
    fn hardware_is_preferred_and_software_is_taken_where_nothing_says_otherwise() {
        for (choice, tcti, storage) in [
            (Choice::Auto, THERE, KeyStorage::Hardware),
            (Choice::Auto, NOT_THERE, KeyStorage::Software),
            (Choice::Auto, "swtpm:host=x,port=1", KeyStorage::Hardware),
            (Choice::Hardware, NOT_THERE, KeyStorage::Hardware),
            (Choice::Software, THERE, KeyStorage::Software),
        ] {
            assert_eq!(choice.decide(tcti), storage, "{choice:?} {tcti}");
        }
    }

    #[test]
    fn a_choice_objects_to_the_other_kind_and_says_the_way() {
        for kept in [KeyStorage::Hardware, KeyStorage::Software] {
            assert_eq!(Choice::Auto.objection(kept), None);
        }
        assert_eq!(Choice::Hardware.objection(KeyStorage::Hardware), None);
        assert_eq!(Choice::Software.objection(KeyStorage::Software), None);
        for (choice, kept) in [
            (Choice::Hardware, KeyStorage::Software),
            (Choice::Software, KeyStorage::Hardware),
        ] {
            let told = choice.objection(kept).unwrap();
            let first = format!("say tpm = \"{}\" there, run `latchkey leave`", kept.word());
            assert!(told.contains(&first), "{told}");
        }
    }
}
