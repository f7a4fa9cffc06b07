//! Settings as they come in.

use serde_json::{Map, Value as Json};

use super::{ACCOUNT_PROTECTION, MOST, TYPE, collection_id, is_child};
use crate::{
    assigned::{BadPolicy, Given, check, profile},
    settings::{Kind, SETTINGS, Scope, Setting, Value},
};

/// Reads `settings` of a policy made from `template`, if from one.
pub fn settings(body: &Json, template: Option<&str>) -> Result<Vec<Given>, BadPolicy> {
    let rows = list(body, "settings")?;
    let mut values = Vec::new();
    let mut collections = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let path = format!("settings[{at}].settingInstance");
        let instance = object(row.get("settingInstance").unwrap_or(&Json::Null), &path)?;
        let id = text(instance, "settingDefinitionId", &path)?;
        match [Scope::Device, Scope::User]
            .into_iter()
            .find(|scope| collection_id(*scope) == id)
        {
            Some(scope) if collections.contains(&scope) => {
                return Err(BadPolicy::new(format!("{path}: {id} is there twice.")));
            }
            Some(scope) => {
                collections.push(scope);
                collection(instance, &path, scope, &mut values)?;
            }
            None => values.push(single(instance, &path, id, None)?),
        }
    }
    for given in &values {
        let has = |scope| profile::has(given.setting, scope);
        if template == Some(ACCOUNT_PROTECTION) && !has(given.scope) {
            return Err(BadPolicy::new(format!(
                "{} is not a setting of the template {ACCOUNT_PROTECTION}.",
                given.setting.graph_id(given.scope).unwrap_or_default()
            )));
        }
    }
    check(&values)?;
    Ok(values)
}

fn collection(
    instance: &Map<String, Json>,
    path: &str,
    scope: Scope,
    values: &mut Vec<Given>,
) -> Result<(), BadPolicy> {
    expect_type(instance, path, "GroupSettingCollectionInstance")?;
    let path = format!("{path}.groupSettingCollectionValue");
    let none = Json::Null;
    let groups = list(
        instance.get("groupSettingCollectionValue").unwrap_or(&none),
        &path,
    )?;
    if groups.len() > 1 {
        return Err(BadPolicy::new(format!("{path}: at most one is allowed.")));
    }
    for group in groups {
        let path = format!("{path}[0].children");
        for (at, child) in list(group.get("children").unwrap_or(&none), &path)?
            .iter()
            .enumerate()
        {
            let path = format!("{path}[{at}]");
            let child = object(child, &path)?;
            let id = text(child, "settingDefinitionId", &path)?;
            let given = single(child, &path, id, Some(scope))?;
            if values.contains(&given) {
                return Err(BadPolicy::new(format!("{path}: {id} is there twice.")));
            }
            values.push(given);
        }
    }
    Ok(())
}

/// One setting, below a collection or by itself.
fn single(
    instance: &Map<String, Json>,
    path: &str,
    id: &str,
    parent: Option<Scope>,
) -> Result<Given, BadPolicy> {
    let (setting, scope) = by_definition(id)
        .ok_or_else(|| BadPolicy::new(format!("{path}: there is no setting {id:?}.")))?;
    let place = is_child(setting).then_some(scope);
    if place != parent {
        let sentence = match place {
            Some(scope) => format!("{path}: {id} belongs below {}.", collection_id(scope)),
            None => format!("{path}: {id} does not belong below a collection."),
        };
        return Err(BadPolicy::new(sentence));
    }
    let value = match setting.kind {
        Kind::Switch | Kind::Choice(_) => {
            expect_type(instance, path, "ChoiceSettingInstance")?;
            let path = format!("{path}.choiceSettingValue");
            let none = Json::Null;
            let chosen = object(instance.get("choiceSettingValue").unwrap_or(&none), &path)?;
            match chosen.get("children") {
                None | Some(Json::Null) => {}
                Some(children) if children.as_array().is_some_and(Vec::is_empty) => {}
                Some(_) => return Err(BadPolicy::new(format!("{path}: {id} has no children."))),
            }
            let chosen = text(chosen, "value", &path)?;
            let options = setting.graph_options(scope);
            let option = options.iter().find(|(option, _)| option == chosen);
            let (_, number) = option
                .ok_or_else(|| BadPolicy::new(format!("{path}: {id} has no option {chosen:?}.")))?;
            Value::Number(*number)
        }
        Kind::Number { min, max } => {
            let (value, path) = simple(instance, path, "IntegerSettingValue")?;
            let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
            let number = number.filter(|number| (min..=max).contains(number));
            Value::Number(number.ok_or_else(|| {
                BadPolicy::new(format!(
                    "{path}: {id} may be {min} to {max}, and not {value}."
                ))
            })?)
        }
        Kind::Text => {
            let (value, path) = simple(instance, path, "StringSettingValue")?;
            let text = value.as_str().filter(|text| text.len() <= MOST_TEXT);
            Value::Text(
                text.ok_or_else(|| {
                    BadPolicy::new(format!(
                        "{path}: {id} is a text of at most {MOST_TEXT} bytes."
                    ))
                })?
                .to_owned(),
            )
        }
    };
    Given::new(setting, scope, value).map_err(|bad| BadPolicy::new(format!("{path}: {bad}")))
}

/// The longest text that a setting may have.
const MOST_TEXT: usize = 4096;

/// The value of a simple setting, and where it stands.
fn simple<'a>(
    instance: &'a Map<String, Json>,
    path: &str,
    kind: &str,
) -> Result<(&'a Json, String), BadPolicy> {
    expect_type(instance, path, "SimpleSettingInstance")?;
    let path = format!("{path}.simpleSettingValue");
    let holder = instance.get("simpleSettingValue").unwrap_or(&Json::Null);
    let holder = object(holder, &path)?;
    expect_type(holder, &path, kind)?;
    Ok((holder.get("value").unwrap_or(&Json::Null), path))
}

/// The setting of a definition's id, and in whose tree.
pub(super) fn by_definition(id: &str) -> Option<(&'static Setting, Scope)> {
    SETTINGS.iter().find_map(|setting| {
        let scope = [Scope::Device, Scope::User]
            .into_iter()
            .find(|scope| setting.graph_id(*scope).as_deref() == Some(id))?;
        Some((setting, scope))
    })
}

fn expect_type(object: &Map<String, Json>, path: &str, kind: &str) -> Result<(), BadPolicy> {
    let wanted = format!("{TYPE}{kind}");
    match object.get("@odata.type").and_then(Json::as_str) {
        Some(found) if found == wanted => Ok(()),
        found => Err(BadPolicy::new(format!(
            "{path}: @odata.type is {:?} here, and not {:?}.",
            wanted,
            found.unwrap_or_default()
        ))),
    }
}

fn list<'a>(value: &'a Json, path: &str) -> Result<&'a [Json], BadPolicy> {
    let list = value
        .as_array()
        .ok_or_else(|| BadPolicy::new(format!("{path}: a list is wanted.")))?;
    if list.len() > MOST {
        return Err(BadPolicy::new(format!(
            "{path}: at most {MOST} are allowed, and there are {}.",
            list.len()
        )));
    }
    Ok(list)
}

fn object<'a>(value: &'a Json, path: &str) -> Result<&'a Map<String, Json>, BadPolicy> {
    let object = value.as_object();
    object.ok_or_else(|| BadPolicy::new(format!("{path}: an object is wanted.")))
}

fn text<'a>(object: &'a Map<String, Json>, name: &str, path: &str) -> Result<&'a str, BadPolicy> {
    let text = object.get(name).and_then(Json::as_str);
    let text = text.filter(|text| text.len() <= MOST_TEXT);
    text.ok_or_else(|| BadPolicy::new(format!("{path}.{name}: a text is wanted.")))
}
