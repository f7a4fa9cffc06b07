//! Changes of a part of a resource (RFC 7644 3.5.2), made on the resource as it is shown; what comes
//! of it is read like a whole one.

use api::scim::{MAX_PATCHES, PATCH_SCHEMA};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::trouble::Trouble;

/// `PATCH`.
#[derive(Deserialize)]
pub(super) struct Patch {
    schemas: Vec<String>,
    #[serde(rename = "Operations")]
    operations: Vec<Operation>,
}

#[derive(Deserialize)]
struct Operation {
    op: String,
    path: Option<String>,
    value: Option<Value>,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Add,
    Replace,
    Remove,
}

/// Where: an attribute, or those of its values that have this one.
struct Place<'a> {
    attribute: &'a str,
    value: Option<String>,
}

fn bad_path() -> Trouble {
    let sentence = "the path is neither an attribute nor ATTRIBUTE[value eq \"…\"]";
    Trouble::bad("invalidPath", sentence)
}

/// Makes the changes, in order.
pub(super) fn apply(resource: &mut Value, patch: Patch) -> Result<(), Trouble> {
    if patch.schemas != [PATCH_SCHEMA] {
        let sentence = "this is not a PATCH of SCIM 2.0";
        return Err(Trouble::bad("invalidSyntax", sentence));
    }
    if patch.operations.len() > MAX_PATCHES {
        return Err(Trouble::bad("tooMany", "more than 100 operations"));
    }
    let fields = resource
        .as_object_mut()
        .ok_or_else(|| anyhow::anyhow!("a resource is an object: a bug"))?;
    for operation in patch.operations {
        let verb = match operation.op.to_ascii_lowercase().as_str() {
            "add" => Verb::Add,
            "replace" => Verb::Replace,
            "remove" => Verb::Remove,
            _ => {
                return Err(Trouble::bad(
                    "invalidSyntax",
                    "op is add, replace or remove",
                ));
            }
        };
        change(fields, verb, operation.path.as_deref(), operation.value)?;
    }
    Ok(())
}

fn change(
    fields: &mut Map<String, Value>,
    verb: Verb,
    path: Option<&str>,
    value: Option<Value>,
) -> Result<(), Trouble> {
    let Some(path) = path else {
        // Without a path the value is a part of the resource itself.
        let Some(Value::Object(parts)) = value else {
            let sentence = "without a path the value must be an object";
            return Err(Trouble::bad("noTarget", sentence));
        };
        return parts
            .into_iter()
            .try_for_each(|(name, value)| change(fields, verb, Some(&name), Some(value)));
    };
    let place = place(path)?;
    let name = known_name(fields, place.attribute);
    if let Some(wanted) = place.value {
        if verb != Verb::Remove {
            return Err(bad_path());
        }
        if let Some(Value::Array(values)) = fields.get_mut(&name) {
            values.retain(|value| !is_called(value, &wanted));
        }
        return Ok(());
    }
    match (verb, value) {
        (Verb::Remove, None) => {
            fields.remove(&name);
        }
        (Verb::Remove, Some(gone)) => {
            // Entra ID names the values to take out so.
            let gone = listed(gone);
            if let Some(Value::Array(values)) = fields.get_mut(&name) {
                values.retain(|value| !gone.iter().any(|gone| same(value, gone)));
            }
        }
        (_, None) => return Err(Trouble::bad("invalidValue", "the value is missing")),
        (Verb::Add, Some(value)) if is_list(&name) => {
            let values = fields
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                for new in listed(value) {
                    if !values.iter().any(|known| same(known, &new)) {
                        values.push(new);
                    }
                }
            }
        }
        (_, Some(value)) if is_list(&name) => {
            fields.insert(name, Value::Array(listed(value)));
        }
        (_, Some(value)) => {
            fields.insert(name, value);
        }
    }
    Ok(())
}

/// Attributes with many values.
fn is_list(name: &str) -> bool {
    matches!(name, "members" | "emails" | "userCertificates")
}

fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        one => vec![one],
    }
}

fn is_called(value: &Value, wanted: &str) -> bool {
    value.get("value").and_then(Value::as_str) == Some(wanted)
}

fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.get("value").is_some() && one.get("value") == other.get("value"))
}

/// The attribute as the resource has it: names have no case.
fn known_name(fields: &Map<String, Value>, named: &str) -> String {
    const LISTS: [&str; 2] = ["members", "emails"];
    let known = fields.keys().map(String::as_str).chain(LISTS);
    let mut same = known.filter(|known| known.eq_ignore_ascii_case(named));
    same.next().unwrap_or(named).to_owned()
}

fn place(path: &str) -> Result<Place<'_>, Trouble> {
    let is_name = |text: &str| {
        !text.is_empty()
            && text.len() <= 128
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ":._-".contains(c))
    };
    let Some((attribute, rest)) = path.split_once('[') else {
        return match is_name(path) {
            true => Ok(Place {
                attribute: path,
                value: None,
            }),
            false => Err(bad_path()),
        };
    };
    let filter = rest.strip_suffix(']').and_then(super::filter::read);
    let filter = filter.filter(|filter| filter.attribute == "value" && is_name(attribute));
    let filter = filter.ok_or_else(bad_path)?;
    Ok(Place {
        attribute,
        value: Some(filter.value),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(operations: Value) -> Option<Value> {
        let mut resource = json!({
            "displayName": "Old",
            "active": true,
            "members": [{ "value": "a" }, { "value": "b" }],
        });
        let patch = json!({ "schemas": [PATCH_SCHEMA], "Operations": operations });
        let patch: Patch = serde_json::from_value(patch).unwrap();
        apply(&mut resource, patch).ok().map(|()| resource)
    }

    #[test]
    fn a_part_is_changed_and_the_rest_stays() {
        for (operation, name, expected) in [
            (
                json!({ "op": "Replace", "path": "displayname", "value": "New" }),
                "displayName",
                json!("New"),
            ),
            (
                json!({ "op": "replace", "value": { "active": false } }),
                "active",
                json!(false),
            ),
            (
                json!({ "op": "add", "path": "members", "value": [{ "value": "b" }, { "value": "c" }] }),
                "members",
                json!([{ "value": "a" }, { "value": "b" }, { "value": "c" }]),
            ),
            (
                json!({ "op": "remove", "path": "members[value eq \"a\"]" }),
                "members",
                json!([{ "value": "b" }]),
            ),
            (
                json!({ "op": "remove", "path": "members", "value": [{ "value": "b" }] }),
                "members",
                json!([{ "value": "a" }]),
            ),
            (
                json!({ "op": "replace", "path": "members", "value": [{ "value": "z" }] }),
                "members",
                json!([{ "value": "z" }]),
            ),
            (
                json!({ "op": "remove", "path": "members" }),
                "members",
                Value::Null,
            ),
        ] {
            let resource = patched(json!([operation])).unwrap();
            assert_eq!(resource[name], expected, "{operation}");
        }
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for operation in [
            json!({ "op": "move", "path": "active", "value": true }),
            json!({ "op": "replace", "path": "active" }),
            json!({ "op": "replace", "value": "x" }),
            json!({ "op": "remove", "path": "members[type eq \"a\"]" }),
            json!({ "op": "replace", "path": "members[value eq \"a\"]", "value": 1 }),
            json!({ "op": "replace", "path": "", "value": 1 }),
        ] {
            assert!(patched(json!([operation])).is_none(), "{operation}");
        }
        let many: Vec<_> = (0..101)
            .map(|_| json!({ "op": "remove", "path": "x" }))
            .collect();
        assert!(patched(json!(many)).is_none());
    }
}
