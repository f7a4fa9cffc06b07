//! The registry values of one half, and how they came about.
//!
//! Built from nothing at every evaluation, so nothing that a GPO once set can outlive it. Each
//! value keeps all that happened to it, in order; the last event decides, the others explain.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Data, Origin, registry_pol::Entry};

/// The values that hold, sorted by key and name without case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// The values.
    pub values: Vec<RegistryValue>,
    /// Values that a GPO set or might have set, and a stronger one took away.
    pub removed: Vec<Removed>,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryValue {
    /// The key, without a hive.
    pub key: String,
    /// The value's name.
    pub value: String,
    /// Its data.
    pub data: Data,
    /// Who set it.
    pub winner: Origin,
    /// Who would have, the strongest first.
    pub overridden: Vec<Overridden>,
}

/// A GPO that did not get its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// The GPO.
    pub gpo: Origin,
    /// What it set; none if it removed the value.
    pub data: Option<Data>,
}

/// A value that was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The key, without a hive.
    pub key: String,
    /// The value's name.
    pub value: String,
    /// Who took it away.
    pub by: Origin,
    /// Who would have had it otherwise, the strongest first.
    pub overridden: Vec<Overridden>,
}

impl Registry {
    /// The value, by names in any case.
    pub fn get(&self, key: &str, value: &str) -> Option<&RegistryValue> {
        let wanted = (key.to_lowercase(), value.to_lowercase());
        self.values
            .iter()
            .find(|v| v.key.to_lowercase() == wanted.0 && v.value.to_lowercase() == wanted.1)
    }

    /// The value, if it is a DWORD.
    pub fn number(&self, key: &str, value: &str) -> Option<u32> {
        self.get(key, value)?.data.number()
    }

    /// The value, if it is a text.
    pub fn text(&self, key: &str, value: &str) -> Option<&str> {
        self.get(key, value)?.data.text()
    }

    /// The registry of a single GPO called `gpo` that sets `values`.
    pub fn from_values<'a>(
        gpo: &str,
        values: impl IntoIterator<Item = (&'a str, &'a str, Data)>,
    ) -> Self {
        let origin = Origin {
            name: gpo.to_owned(),
            guid: None,
        };
        let mut builder = Builder::default();
        for (key, value, data) in values {
            builder.push(key, value, Some(data), &origin);
        }
        builder.finish()
    }
}

/// A registry while entries are applied to it, weakest first.
#[derive(Default)]
pub(super) struct Builder {
    /// By key and value name in lower case.
    keys: BTreeMap<String, BTreeMap<String, Slot>>,
}

struct Slot {
    key: String,
    value: String,
    events: Vec<Overridden>,
}

impl Slot {
    fn is_set(&self) -> bool {
        self.events.last().is_some_and(|event| event.data.is_some())
    }

    fn clear(&mut self, gpo: &Origin) {
        if self.is_set() {
            self.events.push(Overridden {
                gpo: gpo.clone(),
                data: None,
            });
        }
    }
}

impl Builder {
    /// Applies one entry of `gpo`'s file. What is odd about it is said, and the entry left out.
    pub(super) fn apply(&mut self, entry: &Entry, gpo: &Origin) -> Result<(), String> {
        let Entry { key, value, .. } = entry;
        let Some(instruction) = value.strip_prefix("**") else {
            // No name and no content: the key is created, which means nothing here.
            if value.is_empty() && entry.kind == 0 {
                return Ok(());
            }
            let data = entry.data().map_err(|e| format!("{key}\\{value}: {e}"))?;
            self.push(key, value, Some(data), gpo);
            return Ok(());
        };
        let lower = instruction.to_ascii_lowercase();
        match lower.as_str() {
            "delvals." | "delvals" => self.clear_key(&key.to_lowercase(), gpo),
            "deletevalues" => {
                for name in names(entry)? {
                    self.push(key, &name, None, gpo);
                }
            }
            "deletekeys" => {
                for name in names(entry)? {
                    self.clear_tree(&format!("{key}\\{name}").to_lowercase(), gpo);
                }
            }
            // It is about access to the key, and there is no key.
            "securekey" => {}
            _ => match instruction.split_once('.') {
                Some((_, name)) if lower.starts_with("del.") => self.push(key, name, None, gpo),
                Some((_, name)) if lower.starts_with("soft.") => {
                    let data = entry.data().map_err(|e| format!("{key}\\{name}: {e}"))?;
                    self.push_soft(key, name, data, gpo);
                }
                _ => return Err(format!("{key}: unknown instruction **{instruction}")),
            },
        }
        Ok(())
    }

    /// Sets a value, or takes it away.
    fn push(&mut self, key: &str, value: &str, data: Option<Data>, gpo: &Origin) {
        let gpo = gpo.clone();
        self.slot(key, value).events.push(Overridden { gpo, data });
    }

    /// Sets a value unless it is set.
    fn push_soft(&mut self, key: &str, value: &str, data: Data, gpo: &Origin) {
        let slot = self.slot(key, value);
        let event = Overridden {
            gpo: gpo.clone(),
            data: Some(data),
        };
        let at = slot.events.len() - usize::from(slot.is_set());
        slot.events.insert(at, event);
    }

    /// Takes away every value of one key.
    fn clear_key(&mut self, key: &str, gpo: &Origin) {
        let slots = self.keys.get_mut(key).map(BTreeMap::values_mut);
        slots.into_iter().flatten().for_each(|slot| slot.clear(gpo));
    }

    /// Takes away every value of one key and of those below it.
    fn clear_tree(&mut self, key: &str, gpo: &Origin) {
        self.clear_key(key, gpo);
        let below = format!("{key}\\");
        self.keys
            .range_mut(below.clone()..)
            .take_while(|(name, _)| name.starts_with(&below))
            .flat_map(|(_, slots)| slots.values_mut())
            .for_each(|slot| slot.clear(gpo));
    }

    fn slot(&mut self, key: &str, value: &str) -> &mut Slot {
        self.keys
            .entry(key.to_lowercase())
            .or_default()
            .entry(value.to_lowercase())
            .or_insert_with(|| Slot {
                key: key.to_owned(),
                value: value.to_owned(),
                events: Vec::new(),
            })
    }

    pub(super) fn finish(self) -> Registry {
        let mut registry = Registry::default();
        for slot in self.keys.into_values().flat_map(BTreeMap::into_values) {
            let Slot {
                key,
                value,
                mut events,
            } = slot;
            let Some(last) = events.pop() else {
                continue;
            };
            events.reverse();
            match last.data {
                Some(data) => registry.values.push(RegistryValue {
                    key,
                    value,
                    data,
                    winner: last.gpo,
                    overridden: events,
                }),
                None => registry.removed.push(Removed {
                    key,
                    value,
                    by: last.gpo,
                    overridden: events,
                }),
            }
        }
        registry
    }
}

/// The names that an instruction lists, with semicolons between them.
fn names(entry: &Entry) -> Result<Vec<String>, String> {
    let data = entry
        .data()
        .map_err(|e| format!("{}\\{}: {e}", entry.key, entry.value))?;
    let names = data.text().unwrap_or_default().split(';').map(str::trim);
    Ok(names.filter(|n| !n.is_empty()).map(str::to_owned).collect())
}
