//! Every setting there is, in one table.
//!
//! A row says where the setting lives in group policy, which node a server sets it by, what it may
//! be, what holds when nobody sets it, and whether Latchkey acts on it. The writer and the reader of
//! group policy, the reference page and the administrative templates are made from these rows, so
//! that a setting cannot mean one thing in one place and something else in another.

mod table;

pub use table::SETTINGS;

/// One value that an administrator may set.
#[derive(Debug)]
pub struct Setting {
    /// The name in commands and reports.
    pub id: &'static str,
    /// The name that people read.
    pub name: &'static str,
    /// The policy in the administrative template that the value belongs to. An element of a policy
    /// carries the name of its policy.
    pub admx: Option<&'static str>,
    /// Where group policy keeps it; nothing where only a server can set it.
    pub gpo: Option<Gpo>,
    /// The node by which a server sets it.
    pub csp: Option<Csp>,
    /// The field of the tenant-wide enrollment configuration.
    pub tenant: Option<Tenant>,
    /// Which half of the account protection profile has it.
    pub account_protection: AccountProtection,
    /// What it may be.
    pub kind: Kind,
    /// What holds where nobody sets it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What becomes of it here.
    pub effect: Effect,
    /// Is acting on it still to come? Until then it is merged and reported, and the report says that
    /// nothing follows from it.
    pub pending: bool,
    /// Which of two values of a server's policies counts where they differ.
    pub stricter: Stricter,
}

/// Which of two values is the stricter one, where one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stricter {
    /// Neither: two that differ are in conflict.
    Neither,
    /// The greater one; on, of a switch.
    Greater,
    /// The smaller one; off, of a switch.
    Smaller,
    /// The smaller one, but 0 is no limit at all.
    SmallerButZero,
    /// Of classes of characters: allowed gives way, required and forbidden contradict each other.
    Characters,
}

/// A place in the registry half of a group policy object.
#[derive(Debug, Clone, Copy)]
pub struct Gpo {
    /// The halves in which it counts.
    pub class: Class,
    /// The key, without the hive.
    pub key: &'static str,
    /// The name of the value.
    pub value: &'static str,
}

/// The halves of a group policy object in which a setting counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The user half and the computer half.
    Both,
    /// The computer half alone; in a user half it does nothing.
    Machine,
}

/// A node of a configuration service provider.
#[derive(Debug, Clone, Copy)]
pub struct Csp {
    /// The path below `./Device/` or `./User/`.
    pub path: &'static str,
    /// Is it in the user's tree as well as in the device's?
    pub user: bool,
    /// The type that the node carries.
    pub format: Format,
    /// The default that the node declares, which is not always what holds when it is unset.
    pub default: &'static str,
}

/// The type of a node's value, named as SyncML names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `bool`: `true` or `false`.
    Bool,
    /// `int`.
    Int,
    /// `chr`: text.
    Chr,
}

/// A property of the tenant-wide enrollment configuration.
#[derive(Debug, Clone, Copy)]
pub struct Tenant {
    /// Its name.
    pub property: &'static str,
    /// What the configuration starts with.
    pub default: &'static str,
}

/// The halves of the account protection profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountProtection {
    /// It is not in the profile.
    No,
    /// Among the device's settings only.
    Device,
    /// Among the device's and the user's settings.
    DeviceAndUser,
}

/// What a setting may be. Text is REG_SZ in group policy, everything else REG_DWORD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Switch,
    /// One of a few numbers, each with a name.
    Choice(&'static [(u32, &'static str)]),
    /// A number in a range, both ends included.
    Number {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
    },
    /// Text as it is.
    Text,
}

/// What becomes of a setting on a Linux device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Latchkey acts on it.
    Acts,
    /// It has no counterpart on Linux; it is reported and nothing else.
    NotOnLinux,
    /// It asks for something that Latchkey does not do, so that nothing is enrolled under it.
    Refused,
}

/// Whose tree of nodes, or whose half of a group policy object.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// The user's.
    User,
    /// The device's, which a group policy object calls the computer's.
    Device,
}

/// What a setting is set to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number: 1 and 0 for on and off.
    Number(u32),
    /// Text.
    Text(String),
}

/// Why a text is not a value of a setting, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue(String);

impl std::fmt::Display for BadValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadValue {}

impl Class {
    /// Does a value in this half count?
    pub fn counts_in(self, half: Scope) -> bool {
        self == Self::Both || half == Scope::Device
    }
}

impl Setting {
    /// Reads what an administrator typed, or what a server sent.
    pub fn parse(&self, text: &str) -> Result<Value, BadValue> {
        let text = text.trim();
        let number = || text.parse::<u32>().ok();
        let value = match self.kind {
            Kind::Switch => match text.to_ascii_lowercase().as_str() {
                "on" | "enabled" | "true" | "yes" | "1" => Some(Value::Number(1)),
                "off" | "disabled" | "false" | "no" | "0" => Some(Value::Number(0)),
                _ => None,
            },
            Kind::Choice(choices) => choices
                .iter()
                .find(|(code, name)| name.eq_ignore_ascii_case(text) || number() == Some(*code))
                .map(|(code, _)| Value::Number(*code)),
            Kind::Number { min, max } => number()
                .filter(|n| (min..=max).contains(n))
                .map(Value::Number),
            Kind::Text => Some(Value::Text(text.to_owned())),
        };
        value.ok_or_else(|| {
            BadValue(format!(
                "{} cannot be set to {text:?}: {}.",
                self.id,
                self.range()
            ))
        })
    }

    /// What it may be, in words.
    pub fn range(&self) -> String {
        match self.kind {
            Kind::Switch => "on or off".to_owned(),
            Kind::Choice(choices) => choices
                .iter()
                .map(|(code, name)| format!("{name} ({code})"))
                .collect::<Vec<_>>()
                .join(", "),
            Kind::Number { min, max } => format!("{min} to {max}"),
            Kind::Text => "text".to_owned(),
        }
    }

    /// May it be set to `value`? Registry values come from files that anybody may have written.
    pub fn accepts(&self, value: &Value) -> bool {
        match (self.kind, value) {
            (Kind::Switch, Value::Number(n)) => *n <= 1,
            (Kind::Choice(choices), Value::Number(n)) => choices.iter().any(|(code, _)| code == n),
            (Kind::Number { min, max }, Value::Number(n)) => (min..=max).contains(n),
            (Kind::Text, Value::Text(_)) => true,
            _ => false,
        }
    }

    /// A value in words: `on`, `required`, `12`.
    pub fn describe(&self, value: &Value) -> String {
        match (self.kind, value) {
            (Kind::Switch, Value::Number(1)) => "on".to_owned(),
            (Kind::Switch, Value::Number(0)) => "off".to_owned(),
            (Kind::Choice(choices), Value::Number(n)) => choices
                .iter()
                .find(|(code, _)| code == n)
                .map_or_else(|| n.to_string(), |(_, name)| (*name).to_owned()),
            (_, Value::Number(n)) => n.to_string(),
            (_, Value::Text(text)) => text.clone(),
        }
    }

    /// The stricter of two values that differ; none where neither is.
    pub fn stricter_of(&self, a: &Value, b: &Value) -> Option<Value> {
        let (Value::Number(a), Value::Number(b)) = (a, b) else {
            return None;
        };
        let chosen = match (self.stricter, *a, *b) {
            (Stricter::Neither, ..) => None,
            (Stricter::Greater, a, b) => Some(a.max(b)),
            (Stricter::Smaller, a, b) => Some(a.min(b)),
            // Both are "no limit is weakest" and "allowed is weakest".
            (Stricter::SmallerButZero | Stricter::Characters, 0, other)
            | (Stricter::SmallerButZero | Stricter::Characters, other, 0) => Some(other),
            (Stricter::SmallerButZero, a, b) => Some(a.min(b)),
            (Stricter::Characters, a, b) => (a == b).then_some(a),
        };
        chosen.map(Value::Number)
    }

    /// The LocURI of its node; the tenant's id stands in braces in it.
    pub fn loc_uri(&self, scope: Scope) -> Option<String> {
        let csp = self.csp.filter(|csp| csp.user || scope == Scope::Device)?;
        let tree = match scope {
            Scope::User => "User",
            Scope::Device => "Device",
        };
        Some(format!("./{tree}/{}", csp.path))
    }

    /// Its definition id in the settings catalog.
    pub fn graph_id(&self, scope: Scope) -> Option<String> {
        let uri = self.loc_uri(scope)?;
        Some(
            uri.trim_start_matches("./")
                .replace('/', "_")
                .to_lowercase(),
        )
    }

    /// The catalog's option ids with the values they stand for; a number or a text has none.
    pub fn graph_options(&self, scope: Scope) -> Vec<(String, u32)> {
        let (Some(id), Some(csp)) = (self.graph_id(scope), self.csp) else {
            return Vec::new();
        };
        let option = |suffix: &str, value| (format!("{id}_{suffix}"), value);
        match (self.kind, csp.format) {
            (Kind::Switch, Format::Bool) => vec![option("true", 1), option("false", 0)],
            (Kind::Switch, _) => vec![option("0", 0), option("1", 1)],
            (Kind::Choice(choices), _) => choices
                .iter()
                .map(|(code, _)| option(&code.to_string(), *code))
                .collect(),
            (Kind::Number { .. } | Kind::Text, _) => Vec::new(),
        }
    }
}

/// The setting of that name. Case does not matter; the name of its registry value is taken too where
/// only one setting has it.
pub fn by_id(name: &str) -> Option<&'static Setting> {
    let exact = SETTINGS.iter().find(|s| s.id.eq_ignore_ascii_case(name));
    exact.or_else(|| {
        let mut by_value = SETTINGS.iter().filter(|s| {
            s.gpo
                .is_some_and(|gpo| gpo.value.eq_ignore_ascii_case(name))
        });
        let only = by_value.next();
        only.filter(|_| by_value.next().is_none())
    })
}

/// The setting that group policy keeps at that key and value name.
pub fn by_registry(key: &str, value: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| {
        setting.gpo.is_some_and(|gpo| {
            gpo.key.eq_ignore_ascii_case(key) && gpo.value.eq_ignore_ascii_case(value)
        })
    })
}

/// The setting of a node, and whose tree the node is in. `./Vendor` is the device's, and any tenant
/// is taken, with its id in braces or without.
pub fn by_loc_uri(uri: &str) -> Option<(&'static Setting, Scope)> {
    let rest = uri.strip_prefix("./")?;
    let (scope, path) = match rest.split_once('/')? {
        ("User", path) => (Scope::User, path),
        ("Device", path) => (Scope::Device, path),
        _ => (Scope::Device, rest),
    };
    let same = |pattern: &str| {
        let (mut theirs, mut ours) = (path.split('/'), pattern.split('/'));
        loop {
            match (theirs.next(), ours.next()) {
                (None, None) => return true,
                (Some(id), Some("{TenantId}")) if is_guid(id) => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    };
    let setting = SETTINGS.iter().find(|setting| {
        let csp = setting.csp.filter(|csp| csp.user || scope == Scope::Device);
        csp.is_some_and(|csp| same(csp.path))
    })?;
    Some((setting, scope))
}

fn is_guid(text: &str) -> bool {
    let bare = text
        .strip_prefix('{')
        .and_then(|text| text.strip_suffix('}'))
        .unwrap_or(text);
    bare.len() == 36
        && bare.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod documents;
#[cfg(test)]
mod tests;
