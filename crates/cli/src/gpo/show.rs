//! What a policy is: its settings, links and audience, and what in it would silently do nothing.

use std::fmt::Write;

use model::{Guid, Sid};
use policy::{
    gpo::{
        Gpc, Half,
        descriptor::{self, APPLY_GROUP_POLICY, CONTROL_ACCESS, Descriptor, READ_PROPERTY},
        dn, gplink,
        registry_pol::Entry,
    },
    settings::{self, Class, Effect, Setting, Value},
};
use serde::Serialize;
use sysvol::{child, folder};

use super::{
    Domain,
    edit::{entries, read_descriptor},
    who::{self, AUTHENTICATED_USERS},
};
use crate::output::Output;

#[derive(Serialize)]
struct Listed {
    name: String,
    guid: Guid,
    computer_version: u16,
    user_version: u16,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    listed: Listed,
    status: &'static str,
    settings: Vec<Setted>,
    applies_to: Vec<String>,
    links: Vec<Place>,
    warnings: Vec<String>,
}

/// One entry of a registry file.
#[derive(Serialize)]
struct Setted {
    half: Half,
    /// The setting's name, where it is one of ours.
    setting: Option<&'static str>,
    key: String,
    value: String,
    /// The data in words.
    data: String,
    #[serde(skip)]
    known: Option<&'static Setting>,
}

#[derive(Serialize)]
struct Place {
    place: String,
    order: usize,
    enabled: bool,
    enforced: bool,
}

/// Domain Computers and Domain Controllers (MS-DTYP 2.4.2.4).
const COMPUTERS: [u32; 2] = [515, 516];
const EVERYONE: &str = "S-1-1-0";

pub(super) async fn show(
    domain: &mut Domain,
    name: Option<&str>,
    output: &Output,
) -> anyhow::Result<()> {
    if let Some(name) = name {
        let gpc = domain.policy(name).await?;
        let shown = Shown::read(domain, &gpc).await?;
        return output.result(&shown, || shown.describe(false));
    }
    let mut all: Vec<Listed> = domain.directory.gpos().await?.iter().map(listed).collect();
    all.sort_by_key(|gpo| gpo.name.to_lowercase());
    output.result(&all, || {
        let line = |gpo: &Listed| {
            let (computer, user) = (gpo.computer_version, gpo.user_version);
            format!(
                "{} {}  (computer {computer}, user {user})",
                gpo.guid, gpo.name
            )
        };
        all.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

pub(super) async fn report(
    domain: &mut Domain,
    name: Option<&str>,
    output: &Output,
) -> anyhow::Result<()> {
    let of = match name {
        Some(name) => vec![domain.policy(name).await?],
        None => domain.directory.gpos().await?,
    };
    let mut all = Vec::new();
    for gpc in &of {
        let shown = Shown::read(domain, gpc).await?;
        if name.is_some() || shown.settings.iter().any(|set| set.known.is_some()) {
            all.push(shown);
        }
    }
    output.result(&all, || {
        let texts: Vec<String> = all.iter().map(|shown| shown.describe(true)).collect();
        match texts.is_empty() {
            true => "No group policy sets anything about sign-in with a PIN.".to_owned(),
            false => texts.join("\n"),
        }
    })
}

/// What of a policy would silently not work.
pub(super) async fn warnings(domain: &mut Domain, gpc: &Gpc) -> anyhow::Result<Vec<String>> {
    Ok(Shown::read(domain, gpc).await?.warnings)
}

/// The registry file of a half.
pub(super) fn pol_path(folder: &str, half: Half) -> String {
    child(&child(folder, half.folder()), "Registry.pol")
}

impl Shown {
    async fn read(domain: &mut Domain, gpc: &Gpc) -> anyhow::Result<Self> {
        let rights = read_descriptor(gpc)?;
        let audience = audience(&rights);
        let mut applies_to = Vec::new();
        for sid in &audience {
            applies_to.push(who::name(domain, sid).await?);
        }
        let mut settings = Vec::new();
        for half in [Half::Computer, Half::User] {
            let path = pol_path(&folder(&gpc.path)?, half);
            let of_half = entries(domain, &path).await?;
            settings.extend(of_half.iter().map(|entry| setted(half, entry)));
        }
        let mut links = Vec::new();
        for place in domain.directory.places_of(&gpc.dn).await? {
            let all = gplink::parse(&place.links)?;
            let ours = all.iter().rev().enumerate();
            links.extend(
                ours.filter(|(_, link)| dn::same(&link.dn, &gpc.dn))
                    .map(|(at, link)| Place {
                        place: place.dn.clone(),
                        order: at + 1,
                        enabled: link.is_enabled(),
                        enforced: link.is_enforced(),
                    }),
            );
        }
        let mut warnings = Vec::new();
        let computers = reaches_computers(domain, &audience).await?;
        for set in &settings {
            let Some(setting) = set.known else { continue };
            let machine = setting.gpo.is_some_and(|gpo| gpo.class == Class::Machine);
            if machine && set.half == Half::User {
                warnings.push(format!(
                    "{}: {} does nothing in the user half.",
                    gpc.name(),
                    setting.id
                ));
            }
        }
        if !computers && settings.iter().any(|set| set.half == Half::Computer) {
            warnings.push(format!(
                "{}: it has settings of computers but applies to no computer, so they do nothing; \
                 put them into a policy that applies to computers.",
                gpc.name()
            ));
        }
        if !computers_can_read(&rights, domain) {
            warnings.push(format!(
                "{}: computers cannot read it, so it applies to nobody; give Authenticated Users \
                 or Domain Computers the right to read.",
                gpc.name()
            ));
        }
        if gpc.wql_filter.is_some() {
            warnings.push(format!(
                "{}: it has a WMI filter, so no Linux device applies it.",
                gpc.name()
            ));
        }
        Ok(Self {
            listed: listed(gpc),
            status: match gpc.flags & 3 {
                0 => "on",
                1 => "user settings off",
                2 => "computer settings off",
                _ => "off",
            },
            settings,
            applies_to,
            links,
            warnings,
        })
    }

    fn describe(&self, explain: bool) -> String {
        let mut text = String::new();
        let gpo = &self.listed;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {{{}}}", gpo.name, gpo.guid);
        let _ = writeln!(text, "  status:     {}", self.status);
        let (computer, user) = (gpo.computer_version, gpo.user_version);
        let _ = writeln!(text, "  versions:   computer {computer}, user {user}");
        let _ = writeln!(text, "  applies to: {}", self.applies_to.join(", "));
        for link in &self.links {
            let mut notes = format!("order {}", link.order);
            if link.enforced {
                notes.push_str(", enforced");
            }
            if !link.enabled {
                notes.push_str(", disabled");
            }
            let _ = writeln!(text, "  linked to:  {} ({notes})", link.place);
        }
        for set in &self.settings {
            let name = match set.setting {
                Some(id) => id.to_owned(),
                None => format!("{}\\{}", set.key, set.value),
            };
            let _ = writeln!(
                text,
                "  {:10}  {name} = {}",
                format!("{}:", set.half),
                set.data
            );
            let Some(setting) = set.known.filter(|_| explain) else {
                continue;
            };
            let _ = writeln!(text, "      {}", setting.meaning);
            match setting.effect {
                Effect::Acts => {}
                Effect::NotOnLinux => {
                    let _ = writeln!(text, "      Not on Linux: it does nothing there.");
                }
                Effect::Refused => {
                    let _ = writeln!(text, "      Latchkey does not do this: no enrollment.");
                }
            }
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  Warning: {warning}");
        }
        text
    }
}

fn listed(gpc: &Gpc) -> Listed {
    Listed {
        name: gpc.name(),
        guid: gpc.guid,
        computer_version: gpc.half_version(Half::Computer),
        user_version: gpc.half_version(Half::User),
    }
}

fn setted(half: Half, entry: &Entry) -> Setted {
    let known = settings::by_registry(&entry.key, &entry.value);
    let data = entry.data();
    let value = data.as_ref().ok().and_then(|data| {
        let number = data.number().map(Value::Number);
        number.or_else(|| data.text().map(|text| Value::Text(text.to_owned())))
    });
    let words = match (known, value, data) {
        (Some(setting), Some(value), _) => setting.describe(&value),
        (_, _, Ok(data)) => data.to_string(),
        (_, _, Err(_)) => "not understood".to_owned(),
    };
    Setted {
        half,
        setting: known.map(|setting| setting.id),
        key: entry.key.clone(),
        value: entry.value.clone(),
        data: words,
        known,
    }
}

/// Who alone, as the only member of a token, may apply the policy.
fn audience(rights: &Descriptor) -> Vec<Sid> {
    let apply = APPLY_GROUP_POLICY.parse().ok();
    let mut found: Vec<Sid> = Vec::new();
    for ace in rights.dacl.iter().flat_map(|dacl| &dacl.aces) {
        let token = [ace.sid.clone()];
        let may = descriptor::allows(rights, &token, CONTROL_ACCESS, apply).is_ok();
        if may && !found.contains(&ace.sid) {
            found.push(ace.sid.clone());
        }
    }
    found
}

/// Whether anybody of the audience can be a computer.
async fn reaches_computers(domain: &Domain, audience: &[Sid]) -> anyhow::Result<bool> {
    for sid in audience {
        let text = sid.to_string();
        let all = [AUTHENTICATED_USERS, EVERYONE].contains(&text.as_str());
        let rid = sid.rid().unwrap_or_default();
        if all
            || (sid.domain().as_ref() == Some(&domain.directory.domain().sid)
                && COMPUTERS.contains(&rid))
        {
            return Ok(true);
        }
        if domain.directory.has_computers(sid).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether computers in general can read the policy's object, as they must to apply it to anybody.
fn computers_can_read(rights: &Descriptor, domain: &Domain) -> bool {
    let group = |rid: u32| format!("{}-{rid}", domain.directory.domain().sid);
    let [computers, _] = COMPUTERS;
    let token: Vec<Sid> = [
        EVERYONE.to_owned(),
        AUTHENTICATED_USERS.to_owned(),
        group(computers),
    ]
    .iter()
    .filter_map(|sid| sid.parse().ok())
    .collect();
    descriptor::allows(rights, &token, READ_PROPERTY, None).is_ok()
}
