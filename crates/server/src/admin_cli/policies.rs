//! Verbs for policies and for enrollment configurations.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::{
    call::{Call, Shown, listed, path, read_json},
    verbs::Some,
};

/// Which page a policy is made on.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Profile {
    /// Account protection, in the words of its page.
    AccountProtection,
    /// The settings catalog.
    Catalog,
}

/// Values of a policy.
#[derive(Args)]
pub(super) struct Values {
    /// A choice of the account protection page, as `LABEL=CHOICE`; *Not configured* takes it out.
    #[arg(long = "set", value_name = "LABEL=CHOICE")]
    chosen: Vec<String>,
    /// A setting by its name, as `NAME=VALUE`.
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Takes a setting out.
    #[arg(long = "unset", value_name = "NAME")]
    unset: Vec<String>,
    /// These are for users, and not for devices.
    #[arg(long)]
    user: bool,
}

/// Whom a policy is for.
#[derive(Args)]
pub(super) struct Targets {
    /// The members of a group.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// Not the members of this group.
    #[arg(long = "not-group")]
    not_groups: Vec<String>,
    /// Every user.
    #[arg(long)]
    all_users: bool,
    /// Every device.
    #[arg(long)]
    all_devices: bool,
    /// Nobody.
    #[arg(long, conflicts_with_all = ["groups", "not_groups", "all_users", "all_devices"])]
    nobody: bool,
}

#[derive(Subcommand)]
pub(super) enum PolicyVerb {
    /// Lists all.
    List(Some),
    /// Lists the settings catalog: what a policy can set, and to what.
    Settings,
    /// Shows one.
    Show {
        /// Its name or id.
        policy: String,
    },
    /// Makes one, for nobody yet.
    Create {
        /// Its name.
        name: String,
        /// For people.
        #[arg(long, default_value = "")]
        description: String,
        /// Where its settings come from.
        #[arg(long, value_enum, default_value = "catalog")]
        profile: Profile,
        #[command(flatten)]
        values: Values,
        /// Who administers it beside those who administer everything.
        #[arg(long = "scope-tag")]
        scope_tags: Vec<String>,
    },
    /// Changes one; what is not named stays.
    Set {
        /// Its name or id.
        policy: String,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
        /// For people.
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        values: Values,
        /// All its scope tags.
        #[arg(long = "scope-tag")]
        scope_tags: Vec<String>,
    },
    /// Says whom one is for; whoever is not named any more does not have it.
    Assign {
        /// Its name or id.
        policy: String,
        #[command(flatten)]
        targets: Targets,
    },
    /// Makes one with the same settings, for nobody yet.
    Copy {
        /// The name or id of the one that is there.
        policy: String,
        /// The name of the new one.
        name: String,
    },
    /// Deletes one; without `--yes` it only says what would be no more.
    Delete {
        /// Its name or id.
        policy: String,
        /// Really.
        #[arg(long)]
        yes: bool,
    },
    /// Prints one as a file for version control.
    Export {
        /// Its name or id.
        policy: String,
    },
    /// Makes the policy of a file, or makes the one of its name what the file says.
    Import {
        /// What `export` printed.
        file: PathBuf,
    },
    /// Lists where policies do not agree for a device, or for somebody at it.
    Conflicts,
    /// Lists what became of one on each device, and for each person there.
    Status {
        /// Its name or id.
        policy: String,
    },
    /// Lists its versions, the newest first.
    History {
        /// Its name or id.
        policy: String,
    },
}

#[derive(Subcommand)]
pub(super) enum EnrollmentVerb {
    /// Shows all configurations: what devices get when they join.
    Show,
    /// Changes one, for devices that join from now on.
    Set {
        /// `PROPERTY=VALUE`: `state=enabled`, `pinMinimumLength=8`.
        #[arg(required = true, value_name = "PROPERTY=VALUE")]
        properties: Vec<String>,
        /// Its name or id; else the default one.
        #[arg(long)]
        configuration: Option<String>,
    },
    /// Makes one for devices that join from now on, for nobody yet, and behind all others.
    Create {
        /// Its name.
        name: String,
        /// `PROPERTY=VALUE`, as with `set`.
        #[arg(value_name = "PROPERTY=VALUE")]
        properties: Vec<String>,
    },
    /// Says whom one is for; whoever is not named any more does not have it.
    Assign {
        /// Its name or id.
        configuration: String,
        #[command(flatten)]
        targets: Targets,
    },
    /// Gives one another place: of those that reach a device the lowest counts.
    Priority {
        /// Its name or id.
        configuration: String,
        /// From 1.
        place: u64,
    },
    /// Deletes one; devices that have joined keep what they got of it.
    Delete {
        /// Its name or id.
        configuration: String,
    },
    /// Lists the versions of one, the newest first.
    History {
        /// Its name or id; else the default one.
        #[arg(default_value = "default")]
        configuration: String,
    },
}

const STATUS: &[&str] = &[
    "device", "upn", "name", "user", "setting", "scope", "value", "state", "by", "current",
];

pub(super) fn policy(verb: &PolicyVerb) -> anyhow::Result<Call> {
    let shown = Shown::Fields(&[
        "policy",
        "name",
        "template",
        "settings",
        "assigned",
        "scope_tags",
        "version",
    ]);
    Ok(match verb {
        PolicyVerb::List(some) => Call::get(
            listed("/policies", &some.prefix),
            &["name", "template", "assigned", "version", "policy"],
        ),
        PolicyVerb::Settings => Call::get(
            "/policy-settings",
            &["setting", "scopes", "values", "default", "name"],
        ),
        PolicyVerb::Show { policy } => Call::all(path(&["policies", policy])),
        PolicyVerb::Create {
            name,
            description,
            profile,
            values,
            scope_tags,
        } => {
            let template = profile.to_possible_value();
            let template = template.map(|value| value.get_name().to_owned());
            let mut body = written(values)?;
            body.insert("name".to_owned(), json!(name));
            body.insert("description".to_owned(), json!(description));
            body.insert("template".to_owned(), json!(template));
            body.insert("scope_tags".to_owned(), json!(scope_tags));
            Call {
                shown,
                ..Call::post("/policies").with(&body)?
            }
        }
        PolicyVerb::Set {
            policy,
            name,
            description,
            values,
            scope_tags,
        } => {
            let mut body = written(values)?;
            for (field, text) in [("name", name), ("description", description)] {
                if let Some(text) = text {
                    body.insert(field.to_owned(), json!(text));
                }
            }
            if !scope_tags.is_empty() {
                body.insert("scope_tags".to_owned(), json!(scope_tags));
            }
            Call {
                shown,
                ..Call::put(path(&["policies", policy])).with(&body)?
            }
        }
        PolicyVerb::Assign { policy, targets } => {
            let body = json!({ "assignments": assignments(targets)? });
            Call {
                shown,
                ..Call::put(path(&["policies", policy])).with(&body)?
            }
        }
        PolicyVerb::Copy { policy, name } => Call {
            shown,
            ..Call::post(path(&["policies", policy, "copy"])).with(&json!({ "name": name }))?
        },
        PolicyVerb::Delete { policy, yes } => {
            let word = if *yes { "?yes=1" } else { "" };
            Call::delete(format!("{}{word}", path(&["policies", policy])))
        }
        PolicyVerb::Export { policy } => Call {
            shown: Shown::File,
            ..Call::all(path(&["policies", policy, "file"]))
        },
        PolicyVerb::Import { file } => Call {
            shown,
            ..Call::post("/policies/import").with(&read_json(file)?)?
        },
        PolicyVerb::Conflicts => Call::get(
            "/policy-conflicts",
            &["setting", "scope", "policies", "held"],
        ),
        PolicyVerb::Status { policy } => Call::get(path(&["policies", policy, "status"]), STATUS),
        PolicyVerb::History { policy } => Call::get(
            path(&["policies", policy, "history"]),
            &["version", "modified", "modified_by", "settings", "assigned"],
        ),
    })
}

/// What became of policies on a device.
pub(super) fn on_device(device: &str) -> Call {
    const SHOWN: &[&str] = &[
        "policy", "upn", "name", "user", "setting", "scope", "value", "state", "by", "current",
    ];
    Call::get(path(&["devices", device, "policies"]), SHOWN)
}

/// What became of policies for a user.
pub(super) fn for_user(user: &str) -> Call {
    const SHOWN: &[&str] = &[
        "policy", "device", "setting", "scope", "value", "state", "by", "current",
    ];
    Call::get(path(&["users", user, "policies"]), SHOWN)
}

const CONFIGURATION: &[&str] = &["name", "priority", "state", "assigned", "version"];

/// Properties by their names.
fn given(properties: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut body = Map::new();
    for property in properties {
        let (name, value) = halves(property, "PROPERTY=VALUE")?;
        // Numbers and truths are written as such; whatever else is a text.
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        body.insert(name.to_owned(), value);
    }
    Ok(body)
}

pub(super) fn enrollment(verb: &EnrollmentVerb) -> anyhow::Result<Call> {
    Ok(match verb {
        EnrollmentVerb::Show => Call::get("/enrollment", CONFIGURATION),
        EnrollmentVerb::Set {
            properties,
            configuration,
        } => {
            let body = given(properties)?;
            let named = configuration.as_deref().unwrap_or("default");
            Call::put(path(&["enrollment", named])).with(&body)?
        }
        EnrollmentVerb::Create { name, properties } => {
            let mut body = given(properties)?;
            body.insert("name".to_owned(), json!(name));
            Call {
                shown: Shown::Fields(CONFIGURATION),
                ..Call::post("/enrollment").with(&body)?
            }
        }
        EnrollmentVerb::Assign {
            configuration,
            targets,
        } => Call {
            shown: Shown::Fields(CONFIGURATION),
            ..Call::put(path(&["enrollment", configuration, "assignments"]))
                .with(&assignments(targets)?)?
        },
        EnrollmentVerb::Priority {
            configuration,
            place,
        } => Call::put(path(&["enrollment", configuration, "priority"])).with(place)?,
        EnrollmentVerb::Delete { configuration } => {
            Call::delete(path(&["enrollment", configuration]))
        }
        EnrollmentVerb::History { configuration } => Call::get(
            path(&["enrollment", configuration, "history"]),
            &[
                "version",
                "modified",
                "modified_by",
                "name",
                "state",
                "assigned",
            ],
        ),
    })
}

fn halves<'a>(text: &'a str, form: &str) -> anyhow::Result<(&'a str, &'a str)> {
    text.split_once('=')
        .with_context(|| format!("{text:?} is not of the form {form}"))
}

fn written(values: &Values) -> anyhow::Result<Map<String, Value>> {
    let scope = if values.user { "user" } else { "device" };
    let mut change = Vec::new();
    for setting in &values.settings {
        let (name, value) = halves(setting, "NAME=VALUE")?;
        change.push(json!({ "setting": name, "scope": scope, "value": value }));
    }
    for name in &values.unset {
        change.push(json!({ "setting": name, "scope": scope, "value": null }));
    }
    let mut chosen = BTreeMap::new();
    for choice in &values.chosen {
        let (label, value) = halves(choice, "LABEL=CHOICE")?;
        chosen.insert(label.to_owned(), value.to_owned());
    }
    let body = json!({ "change": change, "chosen": chosen, "chosen_for": scope });
    match body {
        Value::Object(body) => Ok(body),
        _ => bail!("this is a bug: a body is no object"),
    }
}

fn assignments(targets: &Targets) -> anyhow::Result<Vec<Value>> {
    let all = [
        (targets.all_users, "all-users"),
        (targets.all_devices, "all-devices"),
    ];
    let mut named: Vec<Value> = all
        .into_iter()
        .filter(|(is_named, _)| *is_named)
        .map(|(_, word)| json!(word))
        .collect();
    named.extend(targets.groups.iter().map(|group| json!({ "group": group })));
    let out = targets.not_groups.iter();
    named.extend(out.map(|group| json!({ "not-group": group })));
    if named.is_empty() && !targets.nobody {
        bail!("say for whom: --group, --all-users, --all-devices, or --nobody");
    }
    Ok(named)
}
