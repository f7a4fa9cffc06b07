//! Group policy: what the directory and SYSVOL say, and which of it holds for an account.
//!
//! Pure: descriptions of objects and bytes of files in, an evaluation out ([`evaluate`]). Who
//! fetches them is no matter of this module; [`som_dns`], [`linked`] and [`Inputs::wanted`] say
//! what to fetch, in that order. What must hold: nothing applies that the directory does not
//! clearly let apply, every link gets a verdict, and input that cannot be understood is a failure
//! of the whole evaluation, never a policy less. The rules are those of MS-GPOL and MS-GPREG; where
//! their pseudo-code and Windows differ (the order inside one gPLink), Windows is followed.

pub mod descriptor;
pub mod dn;
pub mod extensions;
pub mod gplink;
pub mod gpt_ini;
pub mod offline;
pub mod registry_pol;

mod data;
mod evaluate;
mod ldif;
mod registry;
mod sddl;
mod utf16;
mod verdict;

pub use data::Data;
pub use evaluate::{Inputs, Wanted, evaluate, linked, som_dns};
pub use registry::{Overridden, Registry, RegistryValue, Removed};
pub use verdict::{Evaluation, Failure, HalfResult, LinkResult, Loopback, Origin, Verdict};

use model::{Guid, Sid};
use serde::{Deserialize, Serialize};

/// Which half of a GPO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// Settings of the machine.
    Computer,
    /// Settings of the person.
    User,
}

impl Half {
    /// The half's folder in the GPO's SYSVOL folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Computer => "Machine",
            Self::User => "User",
        }
    }
}

impl std::fmt::Display for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Computer => "computer",
            Self::User => "user",
        })
    }
}

/// A GPO's object in the directory (groupPolicyContainer, MS-GPOL 2.2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpc {
    /// Its name.
    pub dn: String,
    /// The GUID of its `cn`, which also names the SYSVOL folder.
    pub guid: Guid,
    /// `displayName`; a half-replicated object may have none.
    pub display_name: Option<String>,
    /// `gPCFileSysPath`: where its files are, a domain path and not a host's.
    pub path: String,
    /// `versionNumber`: the user half's in the high 16 bits, the computer half's in the low.
    pub version: u32,
    /// `flags`: bit 0 turns the user half off, bit 1 the computer half.
    pub flags: u32,
    /// `gPCFunctionalityVersion`; 0 where absent.
    pub functionality: u32,
    /// `gPCMachineExtensionNames`; empty where absent.
    pub machine_extensions: String,
    /// `gPCUserExtensionNames`; empty where absent.
    pub user_extensions: String,
    /// `gPCWQLFilter`.
    pub wql_filter: Option<String>,
    /// `nTSecurityDescriptor`, if the directory gave it.
    pub descriptor: Option<Vec<u8>>,
}

impl Gpc {
    /// What people call it: its display name, else its GUID in braces.
    pub fn name(&self) -> String {
        match &self.display_name {
            Some(name) if !name.is_empty() => name.clone(),
            _ => braced(self.guid),
        }
    }

    /// The version of one half; 0 says that nothing was ever set in it.
    pub fn half_version(&self, half: Half) -> u16 {
        half_of(self.version, half)
    }

    /// The version number after a change of one half. A half that overflows becomes 1, since 0
    /// would say that it is empty.
    pub fn bumped(&self, half: Half) -> u32 {
        let next = self.half_version(half).checked_add(1).unwrap_or(1);
        match half {
            Half::Computer => self.version & 0xffff_0000 | u32::from(next),
            Half::User => self.version & 0xffff | u32::from(next) << 16,
        }
    }

    /// The extension list of one half.
    pub fn extensions(&self, half: Half) -> &str {
        match half {
            Half::Computer => &self.machine_extensions,
            Half::User => &self.user_extensions,
        }
    }

    fn is_disabled(&self, half: Half) -> bool {
        let bit = match half {
            Half::User => 1,
            Half::Computer => 2,
        };
        self.flags & bit != 0
    }
}

/// One half of a `versionNumber`.
fn half_of(version: u32, half: Half) -> u16 {
    match half {
        Half::Computer => version as u16,
        Half::User => (version >> 16) as u16,
    }
}

/// A GUID as group policy writes it: in braces and in upper case.
pub fn braced(guid: Guid) -> String {
    format!("{{{}}}", guid.to_string().to_ascii_uppercase())
}

/// A scope of management: a domain, an OU or a site, with what is linked to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Som {
    /// Its name.
    pub dn: String,
    /// `gPLink`; empty where absent.
    pub links: String,
    /// `gPOptions`; 0 where absent.
    pub options: u32,
}

/// An account that policy is evaluated for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, whose parents are its OUs and its domain.
    pub dn: String,
    /// Its SID.
    pub sid: Sid,
    /// Every SID it has at an access check.
    pub token: Vec<Sid>,
}

impl Target {
    /// An account of a domain with `groups`, which are its transitive ones and the primary group.
    /// Its own SID and those of everyone who signs in are added.
    pub fn new(dn: String, sid: Sid, groups: impl IntoIterator<Item = Sid>) -> Self {
        let mut token: Vec<Sid> = groups.into_iter().collect();
        token.push(sid.clone());
        // Everyone, Authenticated Users, This Organization.
        token.extend(
            ["S-1-1-0", "S-1-5-11", "S-1-5-15"]
                .iter()
                .filter_map(|text| text.parse().ok()),
        );
        token.sort();
        token.dedup();
        Self { dn, sid, token }
    }
}

/// The files of one GPO. What [`Inputs::wanted`] did not ask for stays [`File::Absent`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// `GPT.INI`.
    pub gpt_ini: File,
    /// `Machine/Registry.pol`.
    pub machine: File,
    /// `User/Registry.pol`.
    pub user: File,
}

impl Files {
    /// The `Registry.pol` of one half.
    pub fn half(&self, half: Half) -> &File {
        match half {
            Half::Computer => &self.machine,
            Half::User => &self.user,
        }
    }
}

/// What came of reading a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum File {
    /// There is no such file.
    #[default]
    Absent,
    /// Its content.
    Bytes(Vec<u8>),
    /// It could not be read, and why.
    Failed(String),
}

impl From<Option<Vec<u8>>> for File {
    fn from(content: Option<Vec<u8>>) -> Self {
        content.map_or(Self::Absent, Self::Bytes)
    }
}

#[cfg(test)]
mod tests;
