//! Which of several sources wins, and what follows.
//!
//! For each setting the strongest source that sets it counts: the user half of group policy, its
//! computer half, a server's policy for the user, one for the device, the tenant-wide
//! configuration. Where group policy configures use-hello at all, the server is out of the game as
//! a whole: two authorities that each decide half of who gets a credential are worse than one.
//! Every source that lost is kept with the reason, since "why not" is what administrators ask.

mod consequences;
mod outcome;

use serde::{Deserialize, Serialize};

pub use consequences::{Attestation, Provision};
pub use outcome::{Outcome, State};

use crate::gpo::{Data, Half, Origin, Registry};
use crate::settings::{self, Class, Kind, SETTINGS, Scope, Setting, Value};

/// What there is to merge. The halves of group policy are those of one evaluation, loopback
/// included; a server's values are empty where no server gives any.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The computer half of group policy.
    pub computer_gpo: &'a Registry,
    /// The user half; nothing where the question is about the computer alone.
    pub user_gpo: Option<&'a Registry>,
    /// What a server assigns to the user.
    pub user_policy: &'a [ServerValue],
    /// What a server assigns to the device.
    pub device_policy: &'a [ServerValue],
    /// What a server gives to everything that enrolls.
    pub tenant: &'a [ServerValue],
    /// Why what a server gives is not known, as a sentence; its values are empty then.
    pub server_unknown: Option<&'a str>,
}

/// One value that a server gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerValue {
    /// The name of the policy that it stands in.
    pub policy: String,
    /// The names of others that say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Its node.
    pub loc_uri: String,
    /// What the node is set to, as text.
    pub value: String,
}

/// Where a value may come from, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// Group policy, user half.
    UserGpo,
    /// Group policy, computer half.
    ComputerGpo,
    /// A server's policy for the user.
    UserPolicy,
    /// A server's policy for the device.
    DevicePolicy,
    /// A server's tenant-wide configuration.
    Tenant,
}

/// A source by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its layer.
    pub layer: Layer,
    /// The group policy object, or the policy on the server.
    pub name: String,
    /// Other policies on the server that say the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The object's GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guid: Option<String>,
}

/// A source that set a setting and did not win.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loser {
    /// Which.
    pub source: Source,
    /// What it wanted, in words.
    pub value: String,
    /// Why it did not get it.
    pub why: String,
}

/// What became of one setting.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The setting.
    pub setting: &'static Setting,
    /// The value that counts and who set it; nothing where the default holds.
    pub winner: Option<(Value, Source)>,
    /// Everybody else who set it, strongest first.
    pub losers: Vec<Loser>,
    /// What else is to be said of it.
    pub notes: Vec<String>,
}

/// What counts for one user on one device.
#[derive(Debug, Clone)]
pub struct Effective {
    resolved: Vec<Resolved>,
    governed_by: Option<Source>,
    server_unknown: Option<String>,
    notes: Vec<String>,
}

impl<'a> Sources<'a> {
    /// Group policy alone.
    pub fn gpo(computer: &'a Registry, user: Option<&'a Registry>) -> Self {
        Self {
            computer_gpo: computer,
            user_gpo: user,
            user_policy: &[],
            device_policy: &[],
            tenant: &[],
            server_unknown: None,
        }
    }
}

impl Layer {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::UserGpo => "group policy, user half",
            Self::ComputerGpo => "group policy, computer half",
            Self::UserPolicy => "server policy for the user",
            Self::DevicePolicy => "server policy for the device",
            Self::Tenant => "tenant-wide configuration",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"", self.name)?;
        for other in &self.also {
            write!(f, " and \"{other}\"")?;
        }
        write!(f, " ({})", self.layer.name())
    }
}

/// Merges the sources.
pub fn merge(sources: &Sources<'_>) -> Effective {
    let mut effective = Effective {
        resolved: Vec::new(),
        governed_by: None,
        server_unknown: sources.server_unknown.map(str::to_owned),
        notes: Vec::new(),
    };
    if let Some(why) = sources.server_unknown {
        let note = format!("Policies of the server are left out: {why}");
        effective.notes.push(note);
    }
    let server = ServerSide::read(sources, &mut effective.notes);
    for name in ["enable-on-linux", "use-hello"] {
        if let Some(setting) = settings::by_id(name) {
            let by_group_policy = resolve(setting, sources, &ServerSide::default(), None);
            let source = by_group_policy.winner.map(|(_, source)| source);
            effective.governed_by = effective.governed_by.take().or(source);
        }
    }
    effective.resolved = SETTINGS
        .iter()
        .map(|setting| resolve(setting, sources, &server, effective.governed_by.as_ref()))
        .collect();
    if let (Some(source), false) = (&effective.governed_by, server.wants.is_empty()) {
        effective.notes.push(format!(
            "Policies of the server are ignored as a whole, because {source} configures the use of \
             Windows Hello for Business by group policy."
        ));
    }
    let halves = [
        (Half::Computer, Some(sources.computer_gpo)),
        (Half::User, sources.user_gpo),
    ];
    for (half, registry) in halves {
        note_strange_values(half, registry, &mut effective.notes);
    }
    consequences::note(&mut effective);
    effective
}

impl Effective {
    /// What became of each setting, in the order of the table.
    pub fn settings(&self) -> &[Resolved] {
        &self.resolved
    }

    /// What became of one setting.
    pub fn resolved(&self, id: &str) -> Option<&Resolved> {
        let setting = settings::by_id(id)?;
        self.resolved.iter().find(|r| r.setting.id == setting.id)
    }

    /// The group policy object that configures use-hello, so that server policies are ignored.
    pub fn governed_by(&self) -> Option<&Source> {
        self.governed_by.as_ref()
    }

    /// What is to be said about the whole.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// One source's wish for a setting.
struct Wish {
    source: Source,
    wants: Result<Value, String>,
    shown: String,
}

/// What servers want, by setting, strongest first.
#[derive(Default)]
struct ServerSide {
    wants: Vec<(&'static str, Wish)>,
}

impl ServerSide {
    fn read(sources: &Sources<'_>, notes: &mut Vec<String>) -> Self {
        let mut wants: Vec<(&'static str, Wish)> = Vec::new();
        for (layer, values, tree) in [
            (Layer::UserPolicy, sources.user_policy, Scope::User),
            (Layer::DevicePolicy, sources.device_policy, Scope::Device),
            (Layer::Tenant, sources.tenant, Scope::Device),
        ] {
            for given in values {
                let source = Source {
                    layer,
                    name: given.policy.clone(),
                    also: given.also.clone(),
                    guid: None,
                };
                let found = settings::by_loc_uri(&given.loc_uri);
                let Some((setting, _)) = found.filter(|(_, scope)| *scope == tree) else {
                    notes.push(format!(
                        "{source} sets {}, which is no setting there.",
                        given.loc_uri
                    ));
                    continue;
                };
                let value = setting.parse(&given.value);
                let shown = match &value {
                    Ok(value) => setting.describe(value),
                    Err(_) => given.value.clone(),
                };
                let wish = Wish {
                    source,
                    wants: value.map_err(|bad| bad.to_string()),
                    shown,
                };
                wants.push((setting.id, wish));
            }
        }
        Self { wants }
    }
}

fn resolve(
    setting: &'static Setting,
    sources: &Sources<'_>,
    server: &ServerSide,
    governed_by: Option<&Source>,
) -> Resolved {
    let mut resolved = Resolved {
        setting,
        winner: None,
        losers: Vec::new(),
        notes: Vec::new(),
    };
    let user = sources.user_gpo.map(|registry| (Half::User, registry));
    let halves = user
        .into_iter()
        .chain([(Half::Computer, sources.computer_gpo)]);
    for (half, registry) in halves {
        resolve_half(&mut resolved, half, registry);
    }
    for (at, (_, wish)) in server
        .wants
        .iter()
        .enumerate()
        .filter(|(_, (id, _))| *id == setting.id)
    {
        let layer = wish.source.layer;
        let rival = server
            .wants
            .iter()
            .enumerate()
            .find(|(other, (id, rival))| {
                *other != at
                    && *id == setting.id
                    && rival.source.layer == layer
                    && rival.wants != wish.wants
            });
        let why = match (governed_by, rival) {
            (Some(by), _) => Some(format!("ignored, because {by} governs by group policy")),
            (None, Some((_, (_, rival)))) => Some(format!(
                "in conflict with {}, so that neither counts",
                rival.source
            )),
            (None, None) => None,
        };
        offer(&mut resolved, wish, why);
    }
    resolved
}

/// Takes up what one half of group policy says.
fn resolve_half(resolved: &mut Resolved, half: Half, registry: &Registry) {
    let setting = resolved.setting;
    let Some(place) = setting.gpo else { return };
    let layer = layer(half);
    let misplaced = !place.class.counts_in(scope(half));
    let in_wrong_half =
        || "ignored: it is a setting of the computer and does nothing in the user half".to_owned();
    let present = registry.get(place.key, place.value);
    let removed = registry.removed.iter().find(|removed| {
        removed.key.eq_ignore_ascii_case(place.key)
            && removed.value.eq_ignore_ascii_case(place.value)
    });
    let stronger = match (present, removed) {
        (Some(value), _) => {
            let why = misplaced.then(in_wrong_half);
            offer(
                resolved,
                &wish(setting, layer, &value.winner, &value.data),
                why,
            );
            format!("a stronger object, \"{}\", sets it", value.winner.name)
        }
        (None, Some(removed)) => format!("a stronger object, \"{}\", removes it", removed.by.name),
        (None, None) => return,
    };
    let overridden = match (present, removed) {
        (Some(value), _) => value.overridden.as_slice(),
        (None, Some(removed)) => removed.overridden.as_slice(),
        (None, None) => &[],
    };
    for weaker in overridden {
        let Some(data) = &weaker.data else { continue };
        let why = if misplaced {
            in_wrong_half()
        } else {
            stronger.clone()
        };
        offer(
            resolved,
            &wish(setting, layer, &weaker.gpo, data),
            Some(why),
        );
    }
}

/// A wish that wins if nobody won before and nothing speaks against it.
fn offer(resolved: &mut Resolved, wish: &Wish, against: Option<String>) {
    let why = match (&wish.wants, against, &resolved.winner) {
        (_, Some(why), _) => why,
        (Err(bad), None, _) => format!("ignored: {bad}"),
        (Ok(_), None, Some((_, winner))) => format!("{winner} is stronger"),
        (Ok(value), None, None) => {
            resolved.winner = Some((value.clone(), wish.source.clone()));
            return;
        }
    };
    resolved.losers.push(Loser {
        source: wish.source.clone(),
        value: wish.shown.clone(),
        why,
    });
}

fn wish(setting: &Setting, layer: Layer, gpo: &Origin, data: &Data) -> Wish {
    let value = match setting.kind {
        Kind::Text => data.text().map(|text| Value::Text(text.to_owned())),
        _ => data.number().map(Value::Number),
    };
    let value = value.filter(|value| setting.accepts(value));
    let shown = match &value {
        Some(value) => setting.describe(value),
        None => data.to_string(),
    };
    Wish {
        source: source(layer, gpo),
        wants: value.ok_or_else(|| format!("it is not {}.", setting.range())),
        shown,
    }
}

fn source(layer: Layer, gpo: &Origin) -> Source {
    Source {
        layer,
        name: gpo.name.clone(),
        also: Vec::new(),
        guid: gpo.guid.as_ref().map(ToString::to_string),
    }
}

/// Values that look like ours and are none, and values in the half where they do nothing. The latter
/// are easy to write and silent, so they are said once more for the whole.
fn note_strange_values(half: Half, registry: Option<&Registry>, notes: &mut Vec<String>) {
    let ours = [
        r"software\policies\microsoft\passportforwork",
        r"software\policies\latchkey",
    ];
    for value in registry.into_iter().flat_map(|registry| &registry.values) {
        let by = source(layer(half), &value.winner);
        let key = value.key.to_ascii_lowercase();
        match settings::by_registry(&value.key, &value.value) {
            Some(setting) => {
                let class = setting.gpo.map(|gpo| gpo.class);
                if class == Some(Class::Machine) && scope(half) == Scope::User {
                    notes.push(format!(
                        "{by} sets {}, which is a setting of the computer and does nothing in the \
                         user half.",
                        setting.id
                    ));
                }
            }
            None if ours.iter().any(|ours| key.starts_with(ours)) => notes.push(format!(
                "{by} sets {}\\{}, which is no setting that Latchkey knows.",
                value.key, value.value
            )),
            None => {}
        }
    }
}

fn layer(half: Half) -> Layer {
    match half {
        Half::User => Layer::UserGpo,
        Half::Computer => Layer::ComputerGpo,
    }
}

fn scope(half: Half) -> Scope {
    match half {
        Half::User => Scope::User,
        Half::Computer => Scope::Device,
    }
}

#[cfg(test)]
mod tests;
