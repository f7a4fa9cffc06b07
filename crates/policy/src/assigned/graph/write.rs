//! Settings as they go out: what [`super::read`] takes, with everything spelled out.

use serde_json::{Value as Json, json};

use super::{TYPE, collection_id, is_child, template};
use crate::{
    assigned::Given,
    settings::{Kind, Scope, Value},
};

/// `settings` of a policy made from a template, if from one; `id` of each is its place.
pub fn settings(values: &[Given], template: Option<&str>) -> Vec<Json> {
    let references = References(template == Some(template::ACCOUNT_PROTECTION));
    let mut instances = Vec::new();
    for scope in [Scope::Device, Scope::User] {
        let children: Vec<_> = values
            .iter()
            .filter(|given| given.scope == scope && is_child(given.setting))
            .map(|given| instance(given, references))
            .collect();
        let id = collection_id(scope);
        if !children.is_empty() {
            instances.push(json!({
                "@odata.type": format!("{TYPE}GroupSettingCollectionInstance"),
                "settingDefinitionId": id,
                "settingInstanceTemplateReference": references.instance(id),
                "groupSettingCollectionValue": [{
                    "settingValueTemplateReference": references.value(id),
                    "children": children,
                }],
            }));
        }
    }
    let alone = values.iter().filter(|given| !is_child(given.setting));
    instances.extend(alone.map(|given| instance(given, references)));
    let rows = instances.into_iter().enumerate();
    rows.map(|(at, instance)| {
        json!({
            "id": at.to_string(),
            "settingInstance": instance,
        })
    })
    .collect()
}

/// Whether instances name the templates that they are of.
#[derive(Clone, Copy)]
struct References(bool);

impl References {
    fn instance(self, id: &str) -> Option<Json> {
        self.0.then(|| template::instance_reference(id))
    }

    fn value(self, id: &str) -> Option<Json> {
        self.0.then(|| template::value_reference(id))
    }
}

fn instance(given: &Given, references: References) -> Json {
    let id = given.setting.graph_id(given.scope).unwrap_or_default();
    let reference = references.instance(&id);
    let value_reference = references.value(&id);
    match (given.setting.kind, &given.value) {
        (Kind::Switch | Kind::Choice(_), Value::Number(number)) => {
            let options = given.setting.graph_options(given.scope);
            let option = options.iter().find(|(_, value)| value == number);
            json!({
                "@odata.type": format!("{TYPE}ChoiceSettingInstance"),
                "settingDefinitionId": id,
                "settingInstanceTemplateReference": reference,
                "choiceSettingValue": {
                    "settingValueTemplateReference": value_reference,
                    "value": option.map(|(option, _)| option),
                    "children": [],
                },
            })
        }
        (_, value) => {
            let kind = match value {
                Value::Number(_) => "Integer",
                Value::Text(_) => "String",
            };
            json!({
                "@odata.type": format!("{TYPE}SimpleSettingInstance"),
                "settingDefinitionId": id,
                "settingInstanceTemplateReference": reference,
                "simpleSettingValue": {
                    "@odata.type": format!("{TYPE}{kind}SettingValue"),
                    "settingValueTemplateReference": value_reference,
                    "value": value,
                },
            })
        }
    }
}
