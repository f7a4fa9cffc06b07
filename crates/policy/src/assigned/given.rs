//! One value of a policy, and what a list of them must hold.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BadPolicy;
use crate::settings::{self, Scope, Setting, Value};

/// One setting that a policy sets, in one tree.
#[derive(Debug, Clone)]
pub struct Given {
    /// Which.
    pub setting: &'static Setting,
    /// In whose tree.
    pub scope: Scope,
    /// To what.
    pub value: Value,
}

impl Given {
    /// A value for a setting that has a node in that tree.
    pub fn new(setting: &'static Setting, scope: Scope, value: Value) -> Result<Self, BadPolicy> {
        if setting.loc_uri(scope).is_none() {
            let whose = match scope {
                Scope::User => "for users",
                Scope::Device => "for devices",
            };
            let id = setting.id;
            return Err(BadPolicy::new(format!("{id} cannot be set {whose}.")));
        }
        if !setting.accepts(&value) {
            return Err(BadPolicy::new(format!(
                "{} cannot be set to {}: {}.",
                setting.id,
                setting.describe(&value),
                setting.range()
            )));
        }
        Ok(Self {
            setting,
            scope,
            value,
        })
    }

    /// The node, with the tenant's id in it.
    pub fn loc_uri(&self, tenant: &str) -> String {
        let uri = self.setting.loc_uri(self.scope).unwrap_or_default();
        uri.replace("{TenantId}", tenant)
    }

    /// The value as text that [`Setting::parse`] reads: numbers by their digits.
    pub fn text(&self) -> String {
        match (&self.value, self.setting.csp.map(|csp| csp.format)) {
            (Value::Number(n), Some(settings::Format::Bool)) => (*n == 1).to_string(),
            (Value::Number(n), _) => n.to_string(),
            (Value::Text(text), _) => text.clone(),
        }
    }

    /// Is it of the same node?
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        self.setting.id == other.setting.id && self.scope == other.scope
    }
}

impl PartialEq for Given {
    fn eq(&self, other: &Self) -> bool {
        self.is_beside(other) && self.value == other.value
    }
}

impl Eq for Given {}

/// How a value is kept: the setting by its name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept<'a> {
    setting: std::borrow::Cow<'a, str>,
    scope: Scope,
    value: Value,
}

impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Kept {
            setting: self.setting.id.into(),
            scope: self.scope,
            value: self.value.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Kept {
            setting,
            scope,
            value,
        } = Kept::deserialize(deserializer)?;
        let found = settings::SETTINGS.iter().find(|known| known.id == setting);
        let found = found.ok_or_else(|| {
            serde::de::Error::custom(format!("{setting:?} is no setting that Latchkey knows."))
        })?;
        Self::new(found, scope, value).map_err(serde::de::Error::custom)
    }
}

/// What a policy as a whole must hold: no node twice, and a minimum below its maximum.
pub fn check(values: &[Given]) -> Result<(), BadPolicy> {
    for (at, given) in values.iter().enumerate() {
        if values.iter().take(at).any(|other| other.is_beside(given)) {
            let id = given.setting.id;
            return Err(BadPolicy::new(format!("{id} is set twice in one tree.")));
        }
    }
    for scope in [Scope::Device, Scope::User] {
        let length = |id: &str| {
            let of = |given: &&Given| given.setting.id == id && given.scope == scope;
            match values.iter().find(of)?.value {
                Value::Number(length) => Some(length),
                Value::Text(_) => None,
            }
        };
        if let (Some(min), Some(max)) = (length("min-pin-length"), length("max-pin-length"))
            && min >= max
        {
            return Err(BadPolicy::new(format!(
                "The minimum PIN length, {min}, must be below the maximum, {max}: devices would take \
                 neither."
            )));
        }
    }
    Ok(())
}
