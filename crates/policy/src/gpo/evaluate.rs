//! Which GPOs hold for an account, in which order, and what they say together (MS-GPOL 3.2.5.1).

use std::collections::{BTreeMap, BTreeSet};

use model::{Guid, Malformed};
use serde::{Deserialize, Serialize};

use super::{
    Evaluation, Failure, File, Files, Gpc, Half, HalfResult, LinkResult, Loopback, Origin, Som,
    Target, Verdict,
    descriptor::{self, CONTROL_ACCESS, Descriptor, READ_PROPERTY},
    dn, extensions, gplink, gpt_ini, half_of, registry, registry_pol,
};

/// What the directory says about a computer and, if asked, a person at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Every GPO that a link names and that the computer can see.
    pub gpcs: Vec<Gpc>,
    /// Every place that [`som_dns`] names for both accounts, as far as the computer can see it.
    pub soms: Vec<Som>,
    /// The site of the computer, which counts for the person too.
    pub site: Option<String>,
    /// The computer.
    pub computer: Target,
    /// The person.
    pub user: Option<Target>,
}

/// A GPO whose files are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub guid: Guid,
    /// Where they are.
    pub path: String,
    /// Their version, by the directory.
    pub version: u32,
    /// Is `Machine/Registry.pol` wanted?
    pub machine: bool,
    /// Is `User/Registry.pol` wanted?
    pub user: bool,
}

/// The places whose links reach an account: its OUs from the nearest up, its domain, the site.
/// Containers carry no links, and the domains above are not inherited from.
pub fn som_dns(account: &str, site: Option<&str>) -> Vec<String> {
    let mut soms = Vec::new();
    let mut at = dn::parent(account);
    while let Some(name) = at {
        match dn::first(name).unwrap_or_default().0.as_str() {
            "OU" => soms.push(name.to_owned()),
            "DC" => {
                soms.push(name.to_owned());
                break;
            }
            _ => {}
        }
        at = dn::parent(name);
    }
    soms.extend(site.map(str::to_owned));
    soms
}

/// The names of the GPOs that are linked anywhere, each once.
pub fn linked(soms: &[Som]) -> Result<Vec<String>, Malformed> {
    let mut seen = BTreeSet::new();
    let mut names = Vec::new();
    for som in soms {
        for link in gplink::parse(&som.links)? {
            if seen.insert(dn::key(&link.dn)) {
                names.push(link.dn);
            }
        }
    }
    Ok(names)
}

impl Inputs {
    /// The files that [`evaluate`] looks at. The user half of GPOs that hold only by loopback is
    /// among them, since what the computer half says is not known yet.
    pub fn wanted(&self) -> Vec<Wanted> {
        let directory = Directory::new(self);
        let mut wanted = BTreeMap::new();
        let mut lists = vec![(
            Half::Computer,
            directory.list(Half::Computer, Place::Computer),
        )];
        if self.user.is_some() {
            lists.push((Half::User, directory.list(Half::User, Place::User)));
            lists.push((Half::User, directory.list(Half::User, Place::Computer)));
        }
        for (half, list) in lists {
            for gpc in list.links.iter().filter_map(|link| link.applies()) {
                let files = wanted.entry(gpc.guid).or_insert_with(|| Wanted {
                    guid: gpc.guid,
                    path: gpc.path.clone(),
                    version: gpc.version,
                    machine: false,
                    user: false,
                });
                match half {
                    Half::Computer => files.machine = true,
                    Half::User => files.user = true,
                }
            }
        }
        wanted.into_values().collect()
    }
}

/// Evaluates both halves. `files` holds what [`Inputs::wanted`] asked for.
pub fn evaluate(inputs: &Inputs, files: &BTreeMap<Guid, Files>) -> Evaluation {
    let directory = Directory::new(inputs);
    let mut findings = Findings::default();
    let lists = vec![directory.list(Half::Computer, Place::Computer)];
    let computer = result(Half::Computer, lists, files, &mut findings);
    let loopback = match computer.registry.number(LOOPBACK_KEY, LOOPBACK_VALUE) {
        Some(1) => Loopback::Merge,
        Some(2) => Loopback::Replace,
        _ => Loopback::None,
    };
    let user = inputs.user.as_ref().map(|_| {
        let places: &[Place] = match loopback {
            Loopback::None => &[Place::User],
            Loopback::Merge => &[Place::User, Place::Computer],
            Loopback::Replace => &[Place::Computer],
        };
        let lists = places.iter().map(|p| directory.list(Half::User, *p));
        result(Half::User, lists.collect(), files, &mut findings)
    });
    findings.notes.sort();
    findings.notes.dedup();
    Evaluation {
        computer,
        user,
        loopback,
        failures: findings.failures,
        notes: findings.notes,
    }
}

/// Whose OUs and domain are walked.
#[derive(Clone, Copy)]
enum Place {
    Computer,
    User,
}

/// What is said beside the results.
#[derive(Default)]
struct Findings {
    failures: Vec<Failure>,
    notes: Vec<String>,
}

/// One link on the way from an account up.
struct Candidate<'a> {
    dn: String,
    gpc: Option<&'a Gpc>,
    som: &'a str,
    enforced: bool,
    verdict: Verdict,
}

impl<'a> Candidate<'a> {
    fn applies(&self) -> Option<&'a Gpc> {
        self.gpc.filter(|_| self.verdict.is_applied())
    }

    fn origin(&self) -> Origin {
        let name = dn::first(&self.dn).map_or_else(|| self.dn.clone(), |(_, name)| name);
        Origin {
            guid: self.gpc.map(|gpc| gpc.guid).or_else(|| name.parse().ok()),
            name: self.gpc.map_or(name, Gpc::name),
        }
    }
}

/// The judged links of one walk.
#[derive(Default)]
struct List<'a> {
    links: Vec<Candidate<'a>>,
    failures: Vec<(String, String)>,
    notes: Vec<String>,
}

/// The inputs, found by name: places, and the GPOs that the computer can read.
struct Directory<'a> {
    inputs: &'a Inputs,
    soms: BTreeMap<String, &'a Som>,
    gpcs: BTreeMap<String, (&'a Gpc, Result<Descriptor, String>)>,
}

impl<'a> Directory<'a> {
    fn new(inputs: &'a Inputs) -> Self {
        let parsed = |gpc: &Gpc| match &gpc.descriptor {
            Some(bytes) => descriptor::parse(bytes).map_err(|e| e.to_string()),
            None => Err("the directory did not show its security descriptor".to_owned()),
        };
        // What the computer cannot read does not exist for it, not even by name.
        let computer = &inputs.computer.token;
        let is_readable = |descriptor: &Result<Descriptor, String>| match descriptor {
            Ok(found) => descriptor::allows(found, computer, READ_PROPERTY, None).is_ok(),
            Err(_) => true,
        };
        let gpcs = inputs.gpcs.iter().map(|gpc| (gpc, parsed(gpc)));
        let gpcs = gpcs.filter(|(_, descriptor)| is_readable(descriptor));
        Self {
            inputs,
            soms: inputs.soms.iter().map(|s| (dn::key(&s.dn), s)).collect(),
            gpcs: gpcs.map(|found| (dn::key(&found.0.dn), found)).collect(),
        }
    }

    /// Walks up from one account and judges every link for one half.
    fn list(&self, half: Half, place: Place) -> List<'a> {
        let account = match place {
            Place::Computer => &self.inputs.computer,
            Place::User => self.inputs.user.as_ref().unwrap_or(&self.inputs.computer),
        };
        // With loopback too, it is the person whom a user half is filtered for.
        let target = match half {
            Half::Computer => &self.inputs.computer,
            Half::User => self.inputs.user.as_ref().unwrap_or(&self.inputs.computer),
        };
        let mut list = List::default();
        let (mut normal, mut enforced) = (Vec::new(), Vec::new());
        let mut is_blocked = false;
        for name in som_dns(&account.dn, self.inputs.site.as_deref()) {
            let Some(som) = self.soms.get(&dn::key(&name)) else {
                list.notes
                    .push(format!("{name} is not visible to the computer account"));
                continue;
            };
            let links = gplink::parse(&som.links).unwrap_or_else(|error| {
                list.failures.push((som.dn.clone(), error.to_string()));
                Vec::new()
            });
            let (mut kept_normal, mut kept_enforced) = (Vec::new(), Vec::new());
            for link in links {
                let mut candidate = Candidate {
                    gpc: self.gpcs.get(&dn::key(&link.dn)).map(|(gpc, _)| *gpc),
                    som: &som.dn,
                    enforced: link.is_enforced(),
                    verdict: Verdict::Applied,
                    dn: link.dn.clone(),
                };
                if !link.is_enabled() {
                    candidate.verdict = Verdict::LinkDisabled;
                    list.links.push(candidate);
                } else if link.is_enforced() {
                    kept_enforced.push(candidate);
                } else if is_blocked {
                    candidate.verdict = Verdict::InheritanceBlocked;
                    list.links.push(candidate);
                } else {
                    kept_normal.push(candidate);
                }
            }
            // Farther means weaker, but an enforced link is stronger the farther it is.
            kept_normal.append(&mut normal);
            normal = kept_normal;
            enforced.append(&mut kept_enforced);
            is_blocked |= som.options & 1 != 0;
        }
        for mut candidate in normal.into_iter().chain(enforced) {
            candidate.verdict = self.judge(&candidate, half, target, &mut list);
            list.links.push(candidate);
        }
        list
    }

    fn judge(
        &self,
        candidate: &Candidate<'a>,
        half: Half,
        target: &Target,
        list: &mut List<'a>,
    ) -> Verdict {
        let Some((gpc, descriptor)) = self.gpcs.get(&dn::key(&candidate.dn)) else {
            return Verdict::Unreadable;
        };
        let descriptor = match descriptor {
            Ok(descriptor) => descriptor,
            Err(reason) => {
                list.failures.push((gpc.name(), reason.clone()));
                return Verdict::Unreadable;
            }
        };
        if gpc.functionality != 2 {
            return Verdict::FunctionalityVersion;
        }
        if gpc.is_disabled(half) {
            return Verdict::HalfDisabled(half);
        }
        let apply = descriptor::apply_right();
        for (right, object) in [(CONTROL_ACCESS, apply), (READ_PROPERTY, None)] {
            if let Err(refused) = descriptor::allows(descriptor, &target.token, right, object) {
                return Verdict::NotAllowed {
                    denied_by: refused.denied_by,
                    right,
                };
            }
        }
        if gpc.half_version(half) == 0 {
            return Verdict::Empty(half);
        }
        if !extensions::contains(gpc.extensions(half), extensions::REGISTRY) {
            return Verdict::NoExtension(half);
        }
        if gpc
            .wql_filter
            .as_ref()
            .is_some_and(|f| !f.trim().is_empty())
        {
            list.notes.push(format!(
                "{} is not applied: it has a WMI filter, and WMI filters are not supported. \
                 Filter it by group instead.",
                gpc.name()
            ));
            return Verdict::WmiFilter;
        }
        Verdict::Applied
    }
}

/// Reads the values of everything that applies.
fn result(
    half: Half,
    lists: Vec<List<'_>>,
    files: &BTreeMap<Guid, Files>,
    findings: &mut Findings,
) -> HalfResult {
    let mut builder = registry::Builder::default();
    let mut links = Vec::new();
    let mut count = 0;
    for list in lists {
        findings.notes.extend(list.notes);
        let failures = list.failures.into_iter();
        findings
            .failures
            .extend(failures.map(|(gpo, reason)| Failure { gpo, half, reason }));
        for candidate in list.links {
            let gpo = candidate.origin();
            let mut notes = Vec::new();
            let order = candidate.applies().map(|gpc| {
                match entries(gpc, half, files.get(&gpc.guid), &mut notes) {
                    Ok(entries) => {
                        notes.extend(entries.iter().filter_map(|e| builder.apply(e, &gpo).err()))
                    }
                    Err(reason) => findings.failures.push(Failure {
                        gpo: gpo.name.clone(),
                        half,
                        reason,
                    }),
                }
                count += 1;
                count
            });
            links.push(LinkResult {
                gpo,
                som: candidate.som.to_owned(),
                enforced: candidate.enforced,
                verdict: candidate.verdict,
                order,
                notes,
            });
        }
    }
    HalfResult {
        links,
        registry: builder.finish(),
    }
}

/// The entries of one half's file. A file that is not there is empty, as long as the GPO's folder
/// is there and knows of no more than the directory does.
fn entries(
    gpc: &Gpc,
    half: Half,
    files: Option<&Files>,
    notes: &mut Vec<String>,
) -> Result<Vec<registry_pol::Entry>, String> {
    let files = files.ok_or("its files were not read")?;
    let version = match &files.gpt_ini {
        File::Absent => return Err("GPT.INI is not in SYSVOL".to_owned()),
        File::Failed(reason) => return Err(format!("GPT.INI: {reason}")),
        File::Bytes(bytes) => gpt_ini::parse(bytes).map_err(|e| e.to_string())?.version,
    };
    let version = version.unwrap_or_default();
    if version != gpc.version {
        notes.push(format!(
            "version {} in the directory, {version} in SYSVOL: one of them has not replicated",
            gpc.version
        ));
    }
    match files.half(half) {
        File::Bytes(bytes) => registry_pol::parse(bytes).map_err(|e| e.to_string()),
        File::Failed(reason) => Err(format!("{}/Registry.pol: {reason}", half.folder())),
        File::Absent if half_of(version, half) == 0 => Err(format!(
            "{}/Registry.pol is not in SYSVOL yet",
            half.folder()
        )),
        File::Absent => {
            notes.push(format!("has no {}/Registry.pol", half.folder()));
            Ok(Vec::new())
        }
    }
}

const LOOPBACK_KEY: &str = "Software\\Policies\\Microsoft\\Windows\\System";
const LOOPBACK_VALUE: &str = "UserPolicyMode";
