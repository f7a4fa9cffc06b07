//! Evaluation of copies: LDIF files of a directory and a folder with its SYSVOL.
//!
//! For questions of the kind "what if", and for what somebody sends who needs help. The copies may
//! have been made by an administrator, so what the computer account may read is judged by the
//! descriptors, as everything is. The only place of this crate that reads files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use model::{Guid, Malformed, Sid};
use serde::{Deserialize, Serialize};

use super::{
    Data, File, Files, Gpc, Half, HalfResult, Inputs, Loopback, Registry, Som, Target, braced, dn,
    evaluate,
    ldif::{self, Record},
};

/// Why copies cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("{}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}", path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Malformed,
    },
    /// Something that was asked for is not in the copies.
    #[error("{0}")]
    Missing(String),
}

/// The answer: who gets what, and why.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The person, as asked for.
    pub user: String,
    /// The computer, as asked for.
    pub computer: String,
    /// Does the computer change which user settings hold?
    pub loopback: Loopback,
    /// The GPOs of the user half.
    pub user_apply_order_last_wins: Vec<String>,
    /// The links that do not apply to the user half.
    pub user_skipped: Vec<Skipped>,
    /// The values of the user half.
    pub user_merged: Vec<Merged>,
    /// Is "Use Windows Hello for Business" on? None: no GPO says.
    pub use_whfb: Option<bool>,
    /// Which half and GPO says so.
    pub use_whfb_source: Option<String>,
    /// The computer half.
    pub computer_result: ComputerResult,
    /// What could not be understood. A device would keep what it had.
    pub failures: Vec<super::Failure>,
    /// What an administrator should know.
    pub notes: Vec<String>,
}

/// The computer half.
#[derive(Debug, Serialize)]
pub struct ComputerResult {
    /// The computer's name in the directory.
    pub dn: String,
    /// Its SIDs at an access check.
    pub token_sids: Vec<Sid>,
    /// The GPOs.
    pub apply_order_last_wins: Vec<Applied>,
    /// The links that do not apply.
    pub skipped: Vec<Skipped>,
    /// The values.
    pub merged: Vec<Merged>,
}

/// A link that applies.
#[derive(Debug, Serialize)]
pub struct Applied {
    /// The GPO.
    pub gpo: String,
    /// Its GUID in braces.
    pub guid: String,
    /// Where it is linked.
    pub som: String,
    /// Is the link enforced?
    pub enforced: bool,
}

/// A link that does not apply.
#[derive(Debug, Serialize)]
pub struct Skipped {
    /// The GPO.
    pub gpo: String,
    /// Where it is linked.
    pub som: String,
    /// Why it does not apply.
    pub reason: String,
}

/// A value.
#[derive(Debug, Serialize)]
pub struct Merged {
    /// The key.
    pub key: String,
    /// The value's name.
    pub value: String,
    /// Its data.
    pub data: Plain,
    /// Who set it.
    pub winning_gpo: String,
}

/// Data without its type.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Plain {
    /// A number of any size.
    Number(u64),
    /// A text, or bytes in hexadecimal.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// Evaluates what holds for `user` at `computer`. Every `.ldif` file of the folder is read; tokens
/// are taken from a `tokengroups.json` in or beside it, else worked out from the memberships.
/// `site` may be left out where there is only one.
pub fn evaluate_folder(
    ldif: &Path,
    sysvol: &Path,
    user: &str,
    computer: &str,
    site: Option<&str>,
) -> Result<Answer, Error> {
    let mut copy = Copy::read(ldif)?;
    let inputs = copy.inputs(user, computer, site)?;
    let mut files = BTreeMap::new();
    for wanted in inputs.wanted() {
        files.insert(wanted.guid, read_gpo(sysvol, &wanted.path, wanted.guid)?);
    }
    let mut answer = Answer::of(user, computer, &inputs, &files);
    answer.notes.append(&mut copy.notes);
    Ok(answer)
}

impl Answer {
    /// The answer for `user` at `computer`, who are the accounts of `inputs`.
    pub fn of(user: &str, computer: &str, inputs: &Inputs, files: &BTreeMap<Guid, Files>) -> Self {
        let evaluation = evaluate(inputs, files);
        let person = evaluation.user.unwrap_or_default();
        let machine = evaluation.computer;
        let halves = [(Half::User, &person), (Half::Computer, &machine)];
        let hello = halves.iter().find_map(|(half, result)| {
            let value = result.registry.get(HELLO_KEY, HELLO_VALUE)?;
            let source = format!("{half}: {}", value.winner.name);
            Some((value.data.number()? == 1, source))
        });
        Self {
            user: user.to_owned(),
            computer: computer.to_owned(),
            loopback: evaluation.loopback,
            user_apply_order_last_wins: person.applied().map(|l| l.gpo.name.clone()).collect(),
            user_skipped: skipped(&person),
            user_merged: merged(&person.registry),
            use_whfb: hello.as_ref().map(|(is_on, _)| *is_on),
            use_whfb_source: hello.map(|(_, source)| source),
            computer_result: ComputerResult {
                dn: inputs.computer.dn.clone(),
                token_sids: inputs.computer.token.clone(),
                apply_order_last_wins: machine
                    .applied()
                    .map(|link| Applied {
                        gpo: link.gpo.name.clone(),
                        guid: link.gpo.guid.map(braced).unwrap_or_default(),
                        som: link.som.clone(),
                        enforced: link.enforced,
                    })
                    .collect(),
                skipped: skipped(&machine),
                merged: merged(&machine.registry),
            },
            failures: evaluation.failures,
            notes: evaluation.notes,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hello = match (self.use_whfb, &self.use_whfb_source) {
            (Some(is_on), Some(source)) => {
                format!("{} ({source})", if is_on { "enabled" } else { "disabled" })
            }
            _ => "not configured".to_owned(),
        };
        writeln!(f, "{} at {}", self.user, self.computer)?;
        writeln!(f, "Use Windows Hello for Business: {hello}")?;
        let result = &self.computer_result;
        let applied = result.apply_order_last_wins.iter().map(|a| a.gpo.as_str());
        section(f, "computer", applied, &result.skipped, &result.merged)?;
        let applied = self.user_apply_order_last_wins.iter().map(String::as_str);
        section(f, "user", applied, &self.user_skipped, &self.user_merged)?;
        for failure in &self.failures {
            writeln!(f, "failed: {}: {}", failure.gpo, failure.reason)?;
        }
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

fn section<'a>(
    f: &mut fmt::Formatter<'_>,
    half: &str,
    applied: impl Iterator<Item = &'a str>,
    skipped: &[Skipped],
    merged: &[Merged],
) -> fmt::Result {
    writeln!(f, "\nApplied to the {half}, the last one wins:")?;
    for gpo in applied {
        writeln!(f, "  {gpo}")?;
    }
    writeln!(f, "Not applied to the {half}:")?;
    for link in skipped {
        writeln!(f, "  {}: {} ({})", link.gpo, link.reason, link.som)?;
    }
    writeln!(f, "Values of the {half}:")?;
    for value in merged {
        let Merged {
            key,
            value: name,
            data,
            winning_gpo,
        } = value;
        writeln!(f, "  {key}\\{name} = {data} ({winning_gpo})")?;
    }
    Ok(())
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::List(texts) => f.write_str(&texts.join("; ")),
        }
    }
}

fn skipped(half: &HalfResult) -> Vec<Skipped> {
    half.skipped()
        .map(|link| Skipped {
            gpo: link.gpo.name.clone(),
            som: link.som.clone(),
            reason: link.verdict.to_string(),
        })
        .collect()
}

fn merged(registry: &Registry) -> Vec<Merged> {
    registry
        .values
        .iter()
        .map(|value| Merged {
            key: value.key.clone(),
            value: value.value.clone(),
            data: match &value.data {
                Data::Dword(n) | Data::DwordBigEndian(n) => Plain::Number(u64::from(*n)),
                Data::Qword(number) => Plain::Number(*number),
                Data::Multi(texts) => Plain::List(texts.clone()),
                other => Plain::Text(other.to_string()),
            },
            winning_gpo: value.winner.name.clone(),
        })
        .collect()
}

/// What the LDIF files hold.
struct Copy {
    /// By name.
    records: BTreeMap<String, Record>,
    tokens: Vec<Token>,
    notes: Vec<String>,
}

/// An entry of `tokengroups.json`.
#[derive(Deserialize)]
struct Token {
    #[serde(rename = "sAMAccountName")]
    account: String,
    #[serde(rename = "tokenGroups")]
    groups: Vec<Sid>,
}

impl Copy {
    fn read(folder: &Path) -> Result<Self, Error> {
        let mut records: BTreeMap<String, Record> = BTreeMap::new();
        for path in listing(folder)? {
            if path
                .extension()
                .is_none_or(|e| !e.eq_ignore_ascii_case("ldif"))
            {
                continue;
            }
            let text = fs::read_to_string(&path).map_err(read_error(&path))?;
            let parsed = ldif::parse(&text).map_err(|source| Error::Malformed { path, source })?;
            for record in parsed {
                match records.get_mut(&dn::key(&record.dn)) {
                    Some(known) => known.complete(record),
                    None => drop(records.insert(dn::key(&record.dn), record)),
                }
            }
        }
        if records.is_empty() {
            let folder = folder.display();
            return Err(Error::Missing(format!(
                "{folder}: no object in any .ldif file"
            )));
        }
        let beside = folder.parent().map(|above| above.join(TOKENS));
        let places = [Some(folder.join(TOKENS)), beside];
        let tokens = match places.into_iter().flatten().find(|path| path.is_file()) {
            Some(path) => {
                let text = fs::read_to_string(&path).map_err(read_error(&path))?;
                serde_json::from_str(&text)
                    .map_err(|e| Error::Missing(format!("{}: {e}", path.display())))?
            }
            None => Vec::new(),
        };
        Ok(Self {
            records,
            tokens,
            notes: Vec::new(),
        })
    }

    fn inputs(&mut self, user: &str, computer: &str, site: Option<&str>) -> Result<Inputs, Error> {
        let computer = self.target(&format!("{}$", computer.trim_end_matches('$')))?;
        let user = self.target(user)?;
        let of_class = |class: &'static str| {
            let records = self.records.values();
            records.filter(move |r| {
                r.texts("objectClass")
                    .any(|c| c.eq_ignore_ascii_case(class))
            })
        };
        let mut sites = of_class("site").filter(|record| match site {
            Some(wanted) => dn::first(&record.dn).is_some_and(|(_, name)| name == wanted),
            None => true,
        });
        let site = match (sites.next(), sites.next(), site) {
            (Some(_), Some(_), None) => Err("several sites: say which by --site".to_owned()),
            (None, _, Some(wanted)) => Err(format!("no site {wanted}")),
            (first, ..) => Ok(first.map(|record| record.dn.clone())),
        };
        let soms = ["domainDNS", "organizationalUnit", "site"];
        Ok(Inputs {
            gpcs: of_class("groupPolicyContainer")
                .map(gpc)
                .collect::<Result<_, _>>()?,
            soms: soms
                .into_iter()
                .flat_map(of_class)
                .map(|record| Som {
                    dn: record.dn.clone(),
                    links: record.text("gPLink").unwrap_or_default().to_owned(),
                    options: record.number("gPOptions").unwrap_or_default(),
                })
                .collect(),
            site: site.map_err(Error::Missing)?,
            computer,
            user: Some(user),
        })
    }

    fn target(&mut self, account: &str) -> Result<Target, Error> {
        let is_it = |name: &str| name.eq_ignore_ascii_case(account);
        let record = self
            .records
            .values()
            .find(|record| record.text("sAMAccountName").is_some_and(is_it))
            .ok_or_else(|| Error::Missing(format!("no account {account}")))?;
        let sid = sid(record).ok_or_else(|| Error::Missing(format!("{account} has no SID")))?;
        let primary = record.number("primaryGroupID").and_then(|rid| {
            let domain = sid.domain()?;
            format!("{domain}-{rid}").parse::<Sid>().ok()
        });
        let dn = record.dn.clone();
        let mut groups = match self.tokens.iter().find(|token| is_it(&token.account)) {
            Some(token) => token.groups.clone(),
            None => self.memberships(&dn, primary.as_ref()),
        };
        groups.extend(primary);
        Ok(Target::new(dn, sid, groups))
    }

    /// The SIDs of the groups that an account is in, directly or not.
    fn memberships(&mut self, account: &str, primary: Option<&Sid>) -> Vec<Sid> {
        let primary = self
            .records
            .values()
            .find(|r| primary.is_some() && sid(r).as_ref() == primary);
        let mut reached = BTreeSet::new();
        let mut waiting = vec![account.to_owned()];
        waiting.extend(primary.map(|record| record.dn.clone()));
        let mut groups = Vec::new();
        while let Some(name) = waiting.pop() {
            let key = dn::key(&name);
            if !reached.insert(key.clone()) {
                continue;
            }
            let record = self.records.get(&key);
            if key != dn::key(account) {
                match record.and_then(sid) {
                    Some(sid) => groups.push(sid),
                    None => self
                        .notes
                        .push(format!("{name} is in no LDIF file: SID unknown")),
                }
            }
            waiting.extend(
                record
                    .iter()
                    .flat_map(|r| r.texts("memberOf"))
                    .map(str::to_owned),
            );
            let holders = self.records.values();
            waiting.extend(
                holders
                    .filter(|group| group.texts("member").any(|m| dn::key(m) == key))
                    .map(|group| group.dn.clone()),
            );
        }
        groups
    }
}

fn sid(record: &Record) -> Option<Sid> {
    let bytes = record.bytes("objectSid")?;
    let text = || std::str::from_utf8(bytes).ok()?.parse().ok();
    Sid::from_bytes(bytes).ok().or_else(text)
}

fn gpc(record: &Record) -> Result<Gpc, Error> {
    let text = |name| record.text(name).unwrap_or_default().to_owned();
    let guid = text("cn").parse().or_else(|e| match dn::first(&record.dn) {
        Some((_, name)) => name.parse(),
        None => Err(e),
    });
    Ok(Gpc {
        guid: guid.map_err(|e: Malformed| Error::Missing(format!("{}: {e}", record.dn)))?,
        dn: record.dn.clone(),
        display_name: record.text("displayName").map(str::to_owned),
        path: text("gPCFileSysPath"),
        version: record.number("versionNumber").unwrap_or_default(),
        flags: record.number("flags").unwrap_or_default(),
        functionality: record.number("gPCFunctionalityVersion").unwrap_or_default(),
        machine_extensions: text("gPCMachineExtensionNames"),
        user_extensions: text("gPCUserExtensionNames"),
        wql_filter: record.text("gPCWQLFilter").map(str::to_owned),
        descriptor: record.bytes("nTSecurityDescriptor").map(<[u8]>::to_vec),
    })
}

/// The files of one GPO, below a folder that is the share, or the domain's or the policies' in it.
fn read_gpo(sysvol: &Path, path: &str, guid: Guid) -> Result<Files, Error> {
    let domain = path.split('\\').nth(4).unwrap_or_default();
    let name = braced(guid);
    let ways: [&[&str]; 3] = [&[domain, "Policies", &name], &["Policies", &name], &[&name]];
    let mut folder = None;
    for way in ways {
        if folder.is_none() {
            folder = find(sysvol, way)?;
        }
    }
    let Some(folder) = folder else {
        return Ok(Files::default());
    };
    let file = |way: &[&str]| match find(&folder, way) {
        Ok(Some(path)) => fs::read(&path)
            .map(File::Bytes)
            .unwrap_or_else(|e| File::Failed(e.to_string())),
        Ok(None) => File::Absent,
        Err(error) => File::Failed(error.to_string()),
    };
    Ok(Files {
        gpt_ini: file(&["GPT.INI"]),
        machine: file(&[Half::Computer.folder(), "Registry.pol"]),
        user: file(&[Half::User.folder(), "Registry.pol"]),
    })
}

/// Follows names below a folder without regard to case, as the share does.
fn find(folder: &Path, way: &[&str]) -> Result<Option<PathBuf>, Error> {
    let mut at = folder.to_owned();
    for name in way {
        if !at.is_dir() {
            return Ok(None);
        }
        let is_it = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|n| n.eq_ignore_ascii_case(name))
        };
        let Some(next) = listing(&at)?.into_iter().find(is_it) else {
            return Ok(None);
        };
        at = next;
    }
    Ok(Some(at))
}

fn listing(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).and_then(|entries| {
        entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()
    });
    let mut paths = entries.map_err(read_error(folder))?;
    paths.sort();
    Ok(paths)
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

const TOKENS: &str = "tokengroups.json";
const HELLO_KEY: &str = "SOFTWARE\\Policies\\Microsoft\\PassportForWork";
const HELLO_VALUE: &str = "Enabled";
