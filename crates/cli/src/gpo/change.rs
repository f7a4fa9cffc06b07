//! What typed settings mean for the registry files of a policy.

use anyhow::Context;
use policy::{
    gpo::{
        Data, Half,
        registry_pol::{self, Entry},
    },
    settings::{self, Class, Gpo, Kind, SETTINGS, Setting, Value},
};

use super::arguments;

/// A setting's place in a policy and what becomes of it there.
pub(super) struct Change {
    pub(super) setting: &'static Setting,
    place: Gpo,
    pub(super) half: Half,
    /// None: not configured.
    pub(super) value: Option<Value>,
}

impl Change {
    /// Of `SETTING[=VALUE]`; without a value a switch is on.
    pub(super) fn set(text: &str, half: &arguments::Half) -> anyhow::Result<Self> {
        let (name, value) = text.split_once('=').unwrap_or((text, "on"));
        let mut change = Self::unset(name, half)?;
        change.value = Some(change.setting.parse(value)?);
        Ok(change)
    }

    /// Of a setting's name.
    pub(super) fn unset(name: &str, half: &arguments::Half) -> anyhow::Result<Self> {
        let name = name.trim();
        let setting = settings::by_id(name).with_context(|| {
            format!("there is no setting {name:?}; docs/reference/policies.md lists them")
        })?;
        let place = setting
            .gpo
            .with_context(|| format!("{} is not a setting of group policy", setting.id))?;
        // A setting of computers goes to the computer half whatever half was asked for: in the
        // other it would do nothing.
        let half = if place.class == Class::Machine || half.computer {
            Half::Computer
        } else {
            Half::User
        };
        Ok(Self {
            setting,
            place,
            half,
            value: None,
        })
    }

    /// Brings it into the entries of a file, as the editor of Windows would.
    pub(super) fn apply(&self, entries: &mut Vec<Entry>) {
        let Gpo { key, value, .. } = self.place;
        match &self.value {
            Some(to) => {
                registry_pol::set(entries, Entry::new(key, value, &data(to)));
            }
            None => {
                registry_pol::unset(entries, key, value);
            }
        }
        let Some(elements) = self.elements() else {
            return;
        };
        for (setting, element) in elements {
            let there = entries.iter().any(|entry| names(entry, element));
            match self.value {
                // A policy that is on writes its check boxes, unticked ones too.
                Some(Value::Number(1)) if !there && setting.kind == Kind::Switch => {
                    let off = Entry::new(element.key, element.value, &Data::Dword(0));
                    registry_pol::set(entries, off);
                }
                // One that is off sees to it that no weaker policy's values remain.
                Some(Value::Number(0)) => {
                    registry_pol::set(entries, Entry::delete(element.key, element.value));
                }
                None => {
                    registry_pol::unset(entries, element.key, element.value);
                }
                Some(_) => {}
            }
        }
    }

    /// The further values of the policy whose main value this is; `None` for any other value.
    fn elements(&self) -> Option<impl Iterator<Item = (&'static Setting, Gpo)>> {
        let policy = self.setting.admx?;
        let mut of_policy = SETTINGS.iter().filter(move |s| s.admx == Some(policy));
        let main = of_policy.next()?;
        let is_main = std::ptr::eq(main, self.setting) && main.kind == Kind::Switch;
        is_main.then(|| of_policy.filter_map(|setting| Some((setting, setting.gpo?))))
    }

    /// What was done, in words.
    pub(super) fn describe(&self) -> String {
        let (id, half) = (self.setting.id, self.half);
        match &self.value {
            Some(value) => format!("{id} = {} in the {half} half", self.setting.describe(value)),
            None => format!("{id} not configured in the {half} half"),
        }
    }
}

fn data(value: &Value) -> Data {
    match value {
        Value::Number(number) => Data::Dword(*number),
        Value::Text(text) => Data::Text(text.clone()),
    }
}

fn names(entry: &Entry, place: Gpo) -> bool {
    entry.key.eq_ignore_ascii_case(place.key) && entry.value.eq_ignore_ascii_case(place.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: arguments::Half = arguments::Half {
        user: false,
        computer: false,
    };

    fn after(steps: &[&str]) -> Vec<(String, Option<u32>)> {
        let mut entries = Vec::new();
        for step in steps {
            let change = match step.strip_prefix('-') {
                Some(name) => Change::unset(name, &USER).unwrap(),
                None => Change::set(step, &USER).unwrap(),
            };
            change.apply(&mut entries);
        }
        let number = |entry: &Entry| entry.data().ok().and_then(|data| data.number());
        entries
            .iter()
            .map(|entry| (entry.value.clone(), number(entry)))
            .collect()
    }

    fn values(list: &[(&str, Option<u32>)]) -> Vec<(String, Option<u32>)> {
        list.iter()
            .map(|(name, number)| ((*name).to_owned(), *number))
            .collect()
    }

    #[test]
    fn a_policy_that_is_on_writes_its_check_box_too() {
        let both = values(&[
            ("Enabled", Some(1)),
            ("DisablePostLogonProvisioning", Some(0)),
        ]);
        assert_eq!(after(&["use-hello"]), both);
        let ticked = values(&[
            ("DisablePostLogonProvisioning", Some(1)),
            ("Enabled", Some(1)),
        ]);
        assert_eq!(
            after(&["no-provisioning-after-sign-in", "use-hello=on"]),
            ticked
        );
    }

    #[test]
    fn a_policy_that_is_off_deletes_its_check_box() {
        let off = values(&[
            ("Enabled", Some(0)),
            ("**del.DisablePostLogonProvisioning", None),
        ]);
        assert_eq!(after(&["use-hello=off"]), off);
        assert_eq!(after(&["use-hello=on", "use-hello=off"]), off);
    }

    #[test]
    fn a_policy_that_is_not_configured_leaves_nothing() {
        assert_eq!(after(&["use-hello=off", "-use-hello"]), []);
        assert_eq!(after(&["use-hello=on", "-use-hello"]), []);
    }

    #[test]
    fn a_setting_of_computers_goes_to_their_half() {
        let asked = arguments::Half {
            user: true,
            computer: false,
        };
        let change = Change::set("require-security-device", &asked).unwrap();
        assert_eq!(change.half, Half::Computer);
    }

    #[test]
    fn what_is_no_setting_of_group_policy_is_refused() {
        for text in ["nothing=1", "min-pin-length=3", "use-hello=maybe"] {
            assert!(Change::set(text, &USER).is_err(), "{text}");
        }
    }
}
