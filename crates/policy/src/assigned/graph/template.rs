//! The template of account protection: for each of its settings, what an instance of it is.
//!
//! No choice of the profile is made in advance, so that no template has a default: what a policy does not
//! have is *Not configured*. The ids are made from the definitions' and stay the same for ever, because
//! clients keep them in their own copies of policies.

use model::{Guid, sha256};
use serde_json::{Map, Value as Json, json};

use super::{TYPE, collection_id, is_child};
use crate::{
    assigned::profile,
    settings::{Kind, SETTINGS, Scope, Setting},
};

/// The template of the account protection profile.
pub const ACCOUNT_PROTECTION: &str = "fcef01f2-439d-4c3f-9184-823fd6e97646_1";

/// Its setting templates; `id` of each is its place.
pub fn setting_templates() -> Vec<Json> {
    let mut instances = Vec::new();
    for scope in [Scope::Device, Scope::User] {
        let has = move |setting: &&Setting| profile::has(setting, scope);
        let settings = SETTINGS.iter().filter(has);
        let (below, alone): (Vec<_>, Vec<_>) = settings.partition(|setting| is_child(setting));
        let children: Vec<_> = below
            .iter()
            .map(|setting| instance(setting, scope))
            .collect();
        let id = collection_id(scope);
        let mut collection = head(id, "GroupSettingCollectionInstanceTemplate");
        collection.insert("allowUnmanagedValues".into(), json!(false));
        let value = json!([{ "settingValueTemplateId": value_id(id), "children": children }]);
        collection.insert("groupSettingCollectionValueTemplate".into(), value);
        instances.push(collection);
        instances.extend(alone.iter().map(|setting| instance(setting, scope)));
    }
    let rows = instances.into_iter().enumerate();
    rows.map(|(at, instance)| {
        json!({
            "id": at.to_string(),
            "settingInstanceTemplate": instance,
        })
    })
    .collect()
}

/// How an instance names its template.
pub(super) fn instance_reference(definition: &str) -> Json {
    json!({ "settingInstanceTemplateId": instance_id(definition) })
}

/// How an instance's value names its template.
pub(super) fn value_reference(definition: &str) -> Json {
    json!({
        "settingValueTemplateId": value_id(definition),
        "useTemplateDefault": false,
    })
}

fn instance(setting: &Setting, scope: Scope) -> Map<String, Json> {
    let id = setting.graph_id(scope).unwrap_or_default();
    let (kind, value_kind, property) = match setting.kind {
        Kind::Switch | Kind::Choice(_) => ("Choice", "Choice", "choiceSettingValueTemplate"),
        Kind::Number { .. } => ("Simple", "Integer", "simpleSettingValueTemplate"),
        Kind::Text => ("Simple", "String", "simpleSettingValueTemplate"),
    };
    let value = json!({
        "@odata.type": format!("{TYPE}{value_kind}SettingValueTemplate"),
        "settingValueTemplateId": value_id(&id),
        "defaultValue": null,
        "recommendedValueDefinition": null,
        "requiredValueDefinition": null,
    });
    let mut instance = head(&id, &format!("{kind}SettingInstanceTemplate"));
    instance.insert(property.into(), value);
    instance
}

fn head(definition: &str, kind: &str) -> Map<String, Json> {
    let mut head = Map::new();
    head.insert("@odata.type".into(), json!(format!("{TYPE}{kind}")));
    let id = json!(instance_id(definition));
    head.insert("settingInstanceTemplateId".into(), id);
    head.insert("settingDefinitionId".into(), json!(definition));
    head.insert("isRequired".into(), json!(false));
    head
}

fn instance_id(definition: &str) -> Guid {
    made_from("instance", definition)
}

fn value_id(definition: &str) -> Guid {
    made_from("value", definition)
}

fn made_from(what: &str, definition: &str) -> Guid {
    let hash = sha256(format!("{ACCOUNT_PROTECTION} {what} {definition}").as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    Guid::from_le_bytes(bytes)
}
