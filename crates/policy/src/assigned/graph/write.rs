//! Settings as they go out: what [`super::read`] takes, with everything spelled out.

use serde_json::{Value as Json, json};

use super::{TYPE, collection_id, is_child};
use crate::{
    assigned::Given,
    settings::{Kind, Scope, Value},
};

/// `settings` of a policy; `id` of each is its place.
pub fn settings(values: &[Given]) -> Vec<Json> {
    let mut instances = Vec::new();
    for scope in [Scope::Device, Scope::User] {
        let children: Vec<_> = values
            .iter()
            .filter(|given| given.scope == scope && is_child(given.setting))
            .map(instance)
            .collect();
        if !children.is_empty() {
            instances.push(json!({
                "@odata.type": format!("{TYPE}GroupSettingCollectionInstance"),
                "settingDefinitionId": collection_id(scope),
                "settingInstanceTemplateReference": null,
                "groupSettingCollectionValue": [{
                    "settingValueTemplateReference": null,
                    "children": children,
                }],
            }));
        }
    }
    let alone = values.iter().filter(|given| !is_child(given.setting));
    instances.extend(alone.map(instance));
    let rows = instances.into_iter().enumerate();
    rows.map(|(at, instance)| {
        json!({
            "id": at.to_string(),
            "settingInstance": instance,
        })
    })
    .collect()
}

fn instance(given: &Given) -> Json {
    let id = given.setting.graph_id(given.scope);
    match (given.setting.kind, &given.value) {
        (Kind::Switch | Kind::Choice(_), Value::Number(number)) => {
            let options = given.setting.graph_options(given.scope);
            let option = options.iter().find(|(_, value)| value == number);
            json!({
                "@odata.type": format!("{TYPE}ChoiceSettingInstance"),
                "settingDefinitionId": id,
                "settingInstanceTemplateReference": null,
                "choiceSettingValue": {
                    "settingValueTemplateReference": null,
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
                "settingInstanceTemplateReference": null,
                "simpleSettingValue": {
                    "@odata.type": format!("{TYPE}{kind}SettingValue"),
                    "settingValueTemplateReference": null,
                    "value": value,
                },
            })
        }
    }
}
