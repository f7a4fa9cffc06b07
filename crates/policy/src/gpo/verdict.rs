//! What came of an evaluation: a verdict for every link, and the values that hold.

use std::fmt;

use model::{Guid, Sid};
use serde::{Deserialize, Serialize};

use super::{Half, Registry};

/// A GPO, as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Its display name, else its GUID in braces, else its distinguished name.
    pub name: String,
    /// Its GUID.
    pub guid: Option<Guid>,
}

/// Everything that group policy says about one computer and, if asked, one person at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The computer half.
    pub computer: HalfResult,
    /// The user half.
    pub user: Option<HalfResult>,
    /// Does the computer change which user settings hold?
    pub loopback: Loopback,
    /// What could not be understood. With any, nothing of this may replace an earlier evaluation.
    pub failures: Vec<Failure>,
    /// What an administrator should know.
    pub notes: Vec<String>,
}

/// Loopback processing: user settings that depend on the computer (MS-GPOL 3.2.5.1.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Loopback {
    /// The person's own.
    #[default]
    None,
    /// Those of the computer's place after the person's own.
    Merge,
    /// Those of the computer's place alone.
    Replace,
}

/// Something that applies, or decides what applies, and cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The GPO, or the place whose links are broken.
    pub gpo: String,
    /// For which half.
    pub half: Half,
    /// What is wrong.
    pub reason: String,
}

/// One half.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfResult {
    /// Every link: first those that never took part, then the others in the order of application.
    pub links: Vec<LinkResult>,
    /// The values.
    pub registry: Registry,
}

impl HalfResult {
    /// The links that apply; the last one wins.
    pub fn applied(&self) -> impl Iterator<Item = &LinkResult> {
        self.links.iter().filter(|link| link.verdict.is_applied())
    }

    /// The others.
    pub fn skipped(&self) -> impl Iterator<Item = &LinkResult> {
        self.links.iter().filter(|link| !link.verdict.is_applied())
    }
}

/// What became of one link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkResult {
    /// The GPO.
    pub gpo: Origin,
    /// The place where it is linked.
    pub som: String,
    /// Is the link enforced?
    pub enforced: bool,
    /// Does it apply, or why not?
    pub verdict: Verdict,
    /// Its place in the order of application, from 1.
    pub order: Option<u32>,
    /// What was odd about it.
    pub notes: Vec<String>,
}

/// Why a link does or does not apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It applies.
    Applied,
    /// The link is off.
    LinkDisabled,
    /// A place nearer to the account blocks inheritance, and the link is not enforced.
    InheritanceBlocked,
    /// The computer cannot see or read the GPO, or it does not exist.
    Unreadable,
    /// `gPCFunctionalityVersion` is one that nobody knows.
    FunctionalityVersion,
    /// This half is off.
    HalfDisabled(Half),
    /// The access check failed.
    NotAllowed {
        /// Who is denied; none if nobody in the token is allowed.
        denied_by: Option<Sid>,
        /// The right that is missing.
        right: u32,
    },
    /// Nothing was ever set in this half.
    Empty(Half),
    /// No registry values are announced for this half.
    NoExtension(Half),
    /// It depends on a WMI query, which cannot be answered here.
    WmiFilter,
}

impl Verdict {
    /// Does the link apply?
    pub fn is_applied(&self) -> bool {
        *self == Self::Applied
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied => f.write_str("applied"),
            Self::LinkDisabled => f.write_str("link disabled"),
            Self::InheritanceBlocked => f.write_str("inheritance blocked"),
            Self::Unreadable => f.write_str("not readable by the computer account"),
            Self::FunctionalityVersion => f.write_str("gPCFunctionalityVersion is not 2"),
            Self::HalfDisabled(half) => write!(f, "flags: {half} half disabled"),
            Self::NotAllowed { denied_by, right } => {
                let name = match *right {
                    super::descriptor::READ_PROPERTY => "Read",
                    _ => "Apply-Group-Policy",
                };
                write!(f, "security filtering: no {name} (")?;
                match denied_by {
                    Some(sid) => write!(f, "denied by {sid})"),
                    None => write!(f, "missing {right:#x})"),
                }
            }
            Self::Empty(half) => write!(f, "empty: {half} version is 0"),
            Self::NoExtension(half) => write!(f, "no extension list for {half}"),
            Self::WmiFilter => f.write_str("WMI filter present: unsupported"),
        }
    }
}
