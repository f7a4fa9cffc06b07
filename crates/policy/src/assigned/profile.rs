//! The account protection profile, in the words of the original's page.
//!
//! Its first choice is turned around: *Block Windows Hello for Business* set to *Disabled* is what offers
//! the PIN, and only then does the profile have anything else to choose. *Digits* and biometrics are not
//! in it; they are in the settings catalog.

use super::{BadPolicy, Given, check};
use crate::settings::{self, AccountProtection, Kind, Scope, Setting, Value};

/// The platform that the profile is for, as its page names it.
pub const PLATFORM: &str = "Windows 10 and later";

/// The name of the profile.
pub const NAME: &str = "Account protection";

/// The choice that decides whether there are others.
pub const BLOCK: &str = "Block Windows Hello for Business";

/// What stands for a choice that is not made.
pub const NOT_CONFIGURED: &str = "Not configured";

/// One choice of the profile.
#[derive(Debug, Clone, Copy)]
pub struct Choice {
    /// Its label.
    pub label: &'static str,
    /// What it sets.
    pub setting: &'static Setting,
}

const LABELS: [(&str, &str); 13] = [
    ("use-hello", BLOCK),
    (
        "require-security-device",
        "Enable to use a Trusted Platform Module (TPM)",
    ),
    (
        "certificate-trust",
        "Enable to certificate for on-premises resources",
    ),
    ("min-pin-length", "Minimum PIN length"),
    ("max-pin-length", "Maximum PIN length"),
    ("lowercase-letters", "Lowercase letters in PIN"),
    ("uppercase-letters", "Uppercase letters in PIN"),
    ("special-characters", "Special characters in PIN"),
    ("pin-history", "Remember PIN history"),
    ("pin-expiration", "PIN expiration (days)"),
    ("pin-recovery", "Enable PIN recovery"),
    ("anti-spoofing", "Enable enhanced anti-spoofing"),
    ("credential-guard", "Turn on Credential Guard"),
];

/// The choices of the profile for devices or for users, in the order of the page.
pub fn choices(scope: Scope) -> Vec<Choice> {
    let choice = |(id, label): &(&str, &'static str)| {
        let setting = settings::by_id(id).filter(|setting| has(setting, scope))?;
        Some(Choice { label, setting })
    };
    LABELS.iter().filter_map(choice).collect()
}

/// Is a setting in the profile, for devices or for users?
pub fn has(setting: &Setting, scope: Scope) -> bool {
    match setting.account_protection {
        AccountProtection::No => false,
        AccountProtection::Device => scope == Scope::Device,
        AccountProtection::DeviceAndUser => true,
    }
}

impl Choice {
    /// What may be chosen, in words; *Not configured* beside.
    pub fn range(&self) -> String {
        match self.setting.kind {
            Kind::Switch if self.is_turned_around() => "Disabled, Enabled".to_owned(),
            Kind::Switch => "Yes, No".to_owned(),
            Kind::Choice(options) => {
                let names = options.iter().map(|(_, name)| capital(name));
                names.collect::<Vec<_>>().join(", ")
            }
            _ => self.setting.range(),
        }
    }

    /// A value as the page shows it.
    pub fn show(&self, value: &Value) -> String {
        match (self.setting.kind, value) {
            (Kind::Switch, Value::Number(n)) => match (self.is_turned_around(), *n == 1) {
                (true, true) => "Disabled".to_owned(),
                (true, false) => "Enabled".to_owned(),
                (false, true) => "Yes".to_owned(),
                (false, false) => "No".to_owned(),
            },
            _ => capital(&self.setting.describe(value)),
        }
    }

    fn is_turned_around(&self) -> bool {
        self.label == BLOCK
    }

    /// What was chosen; nothing for *Not configured*.
    fn read(&self, chosen: &str) -> Result<Option<Value>, BadPolicy> {
        let is = |word: &str| chosen.trim().eq_ignore_ascii_case(word);
        if is(NOT_CONFIGURED) {
            return Ok(None);
        }
        if self.is_turned_around() {
            return match (is("Disabled"), is("Enabled")) {
                (true, _) => Ok(Some(Value::Number(1))),
                (_, true) => Ok(Some(Value::Number(0))),
                _ => Err(BadPolicy::new(format!(
                    "{BLOCK:?} may be Disabled, Enabled or {NOT_CONFIGURED}, and not {chosen:?}."
                ))),
            };
        }
        let value = self.setting.parse(chosen);
        value.map(Some).map_err(|_| {
            BadPolicy::new(format!(
                "{:?} may be {} or {NOT_CONFIGURED}, and not {chosen:?}.",
                self.label,
                self.range()
            ))
        })
    }
}

/// The values of a profile that was filled in: labels with what was chosen.
pub fn fill<'a>(
    scope: Scope,
    chosen: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Given>, BadPolicy> {
    let choices = choices(scope);
    let mut values = Vec::new();
    for (label, chosen) in chosen {
        let label = label.trim();
        let choice = choices
            .iter()
            .find(|choice| choice.label.eq_ignore_ascii_case(label));
        let choice = choice.ok_or_else(|| unknown(label, &choices))?;
        if let Some(value) = choice.read(chosen)? {
            values.push(Given::new(choice.setting, scope, value)?);
        }
    }
    check(&values)?;
    let offers = |given: &Given| given.setting.id == "use-hello" && given.value == Value::Number(1);
    let needs_it = |given: &&Given| !matches!(given.setting.id, "use-hello" | "credential-guard");
    if let (false, Some(other)) = (values.iter().any(offers), values.iter().find(needs_it)) {
        let label = choices
            .iter()
            .find(|choice| choice.setting.id == other.setting.id)
            .map_or(other.setting.name, |choice| choice.label);
        return Err(BadPolicy::new(format!(
            "{label:?} can be chosen only where {BLOCK:?} is Disabled."
        )));
    }
    Ok(values)
}

fn unknown(label: &str, choices: &[Choice]) -> BadPolicy {
    let is_elsewhere = settings::SETTINGS
        .iter()
        .any(|setting| setting.name.eq_ignore_ascii_case(label) || setting.id == label)
        || label.eq_ignore_ascii_case("digits");
    let known: Vec<_> = choices.iter().map(|choice| choice.label).collect();
    BadPolicy::new(match is_elsewhere {
        true => format!("{label:?} is not in this profile; set it by the settings catalog."),
        false => format!(
            "{label:?} is not in this profile, which has: {}.",
            known.join("; ")
        ),
    })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}
