//! The tenant-wide enrollment configuration: what a device gets once, when it joins.
//!
//! *Not configured* leaves everything to the device's own defaults, and *Disabled* turns enrollment off,
//! whatever else stands in it. Later changes do not reach devices that have joined: the server keeps
//! with each device what was in force when it did.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::{BadPolicy, Given, check};
use crate::settings::{self, Kind, SETTINGS, Scope, Setting, Value};

/// Whether devices that join are to enroll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The device's own default.
    NotConfigured,
    /// Yes, with the fields of the configuration.
    Enabled,
    /// No.
    Disabled,
}

/// One configuration, without its name and whom it is assigned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrollment {
    /// Whether devices enroll.
    pub state: State,
    /// The other fields; one that is not configured is not among them.
    pub fields: Vec<Given>,
}

const STATES: [(State, &str); 3] = [
    (State::NotConfigured, "notConfigured"),
    (State::Enabled, "enabled"),
    (State::Disabled, "disabled"),
];

impl Default for Enrollment {
    /// What a new tenant has: nothing configured, and the fields as the original's page shows them.
    fn default() -> Self {
        let fields = fields().filter_map(|(setting, property)| {
            let default = setting.tenant?.default;
            let value = read(setting, property, &text_or_number(default)).ok()??;
            Given::new(setting, Scope::Device, value).ok()
        });
        Self {
            state: State::NotConfigured,
            fields: fields.collect(),
        }
    }
}

impl Enrollment {
    /// Its type, as the original's management interface names it.
    pub const TYPE: &str = "#microsoft.graph.deviceEnrollmentWindowsHelloForBusinessConfiguration";

    /// Reads the properties that are there over `self`: one that is absent stays. Anything that is no
    /// property of the type is for the caller.
    pub fn patched(&self, body: &Map<String, Json>) -> Result<Self, BadPolicy> {
        let mut changed = self.clone();
        if let Some(state) = body.get("state") {
            let found = STATES.iter().find(|(_, name)| state == name);
            let (state, _) = found.ok_or_else(|| {
                BadPolicy::new("state may be notConfigured, enabled or disabled.")
            })?;
            changed.state = *state;
        }
        for (setting, property) in fields() {
            let Some(given) = body.get(property) else {
                continue;
            };
            let value = read(setting, property, given)?;
            changed
                .fields
                .retain(|field| field.setting.id != setting.id);
            if let Some(value) = value {
                changed
                    .fields
                    .push(Given::new(setting, Scope::Device, value)?);
            }
        }
        check(&changed.fields)?;
        Ok(changed)
    }

    /// Is this a property of the type?
    pub fn has_property(name: &str) -> bool {
        name == "state" || fields().any(|(_, property)| property == name)
    }

    /// Its properties.
    pub fn properties(&self) -> Map<String, Json> {
        let mut properties = Map::new();
        let state = STATES.iter().find(|(state, _)| *state == self.state);
        properties.insert("state".into(), json!(state.map(|(_, name)| *name)));
        for (setting, property) in fields() {
            let field = self
                .fields
                .iter()
                .find(|field| field.setting.id == setting.id);
            let value = show(setting, field.map(|field| &field.value));
            properties.insert(property.into(), value);
        }
        properties
    }

    /// What a device that joins gets.
    pub fn values(&self) -> Vec<Given> {
        let hello = |on: u32| {
            let setting = settings::by_id("use-hello")?;
            Given::new(setting, Scope::Device, Value::Number(on)).ok()
        };
        match self.state {
            State::NotConfigured => Vec::new(),
            State::Disabled => hello(0).into_iter().collect(),
            State::Enabled => hello(1)
                .into_iter()
                .chain(self.fields.iter().cloned())
                .collect(),
        }
    }
}

/// The settings with their properties, but for the state.
fn fields() -> impl Iterator<Item = (&'static Setting, &'static str)> {
    SETTINGS.iter().filter_map(|setting| {
        let property = setting.tenant?.property;
        (property != "state").then_some((setting, property))
    })
}

/// Switches whose property has a third state.
fn is_three_way(property: &str) -> bool {
    matches!(property, "enhancedBiometricsState" | "securityKeyForSignIn")
}

const USAGES: [(u32, &str); 3] = [(0, "allowed"), (1, "required"), (2, "disallowed")];

fn text_or_number(text: &str) -> Json {
    match (text, text.parse::<u32>()) {
        ("true", _) => json!(true),
        ("false", _) => json!(false),
        (_, Ok(number)) => json!(number),
        _ => json!(text),
    }
}

fn read(setting: &Setting, property: &str, given: &Json) -> Result<Option<Value>, BadPolicy> {
    let bad =
        |may_be: &str| BadPolicy::new(format!("{property} may be {may_be}, and not {given}."));
    let number = || given.as_u64().and_then(|number| u32::try_from(number).ok());
    match (setting.kind, given) {
        (_, Json::Null) => Ok(None),
        // A number of its own in the original: 0 is unset, 1 on.
        (Kind::Switch, _) if property == "enhancedSignInSecurity" => match (given, number()) {
            (Json::String(text), _) if text == "notConfigured" => Ok(None),
            (_, Some(0)) => Ok(None),
            (_, Some(1)) => Ok(Some(Value::Number(1))),
            (_, Some(2)) => Ok(Some(Value::Number(0))),
            _ => Err(bad("0, 1 or 2")),
        },
        (Kind::Switch, _) if is_three_way(property) => match given.as_str() {
            Some("notConfigured") => Ok(None),
            Some("enabled") => Ok(Some(Value::Number(1))),
            Some("disabled") => Ok(Some(Value::Number(0))),
            _ => Err(bad("notConfigured, enabled or disabled")),
        },
        (Kind::Switch, Json::Bool(on)) => Ok(Some(Value::Number(u32::from(*on)))),
        (Kind::Switch, _) => Err(bad("true or false")),
        (Kind::Choice(_), _) => {
            let usage = USAGES.iter().find(|(_, name)| given == name);
            let usage = usage.ok_or_else(|| bad("allowed, required or disallowed"))?;
            Ok(Some(Value::Number(usage.0)))
        }
        (Kind::Number { min, max }, _) => {
            let number = number().filter(|number| (min..=max).contains(number));
            let number = number.ok_or_else(|| bad(&format!("{min} to {max}")))?;
            Ok(Some(Value::Number(number)))
        }
        (Kind::Text, _) => Err(bad("nothing")),
    }
}

fn show(setting: &Setting, value: Option<&Value>) -> Json {
    let property = setting.tenant.map_or("", |tenant| tenant.property);
    let number = match value {
        Some(Value::Number(number)) => Some(*number),
        _ => None,
    };
    match (setting.kind, number) {
        (Kind::Switch, number) if property == "enhancedSignInSecurity" => match number {
            None => json!(0),
            Some(0) => json!(2),
            Some(_) => json!(1),
        },
        (Kind::Switch, number) if is_three_way(property) => match number {
            None => json!("notConfigured"),
            Some(0) => json!("disabled"),
            Some(_) => json!("enabled"),
        },
        (Kind::Switch, Some(number)) => json!(number == 1),
        (Kind::Choice(_), Some(number)) => {
            let usage = USAGES.iter().find(|(code, _)| *code == number);
            json!(usage.map(|(_, name)| *name))
        }
        (_, number) => json!(number),
    }
}
