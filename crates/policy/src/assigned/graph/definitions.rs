//! The catalog: each setting's definition, made from its row in the table.

use serde_json::{Value as Json, json};

use super::{TYPE, collection_id, is_child, read::by_definition};
use crate::{
    assigned::Given,
    settings::{Format, Kind, SETTINGS, Scope, Setting},
};

/// *Windows Hello For Business*, as the original has it.
const HELLO: &str = "e7ae2b99-0479-475f-af5c-96457121fcd0";

/// Our own settings.
const LATCHKEY: &str = "5b0c1c1e-6a0e-4b0b-9d63-0d8d3d0a7f11";

/// What is neither.
const DEVICE_GUARD: &str = "8a0f9a52-7f43-4a0e-9b8e-6a4e8a5f2c3d";

/// The categories.
pub fn categories() -> Vec<Json> {
    [
        (HELLO, "Windows Hello For Business"),
        (DEVICE_GUARD, "Device Guard"),
        (LATCHKEY, "Latchkey"),
    ]
    .into_iter()
    .map(|(id, name)| {
        json!({
            "id": id,
            "name": name,
            "displayName": name,
            "description": "",
            "platforms": "windows10",
            "technologies": "mdm",
            "rootCategoryId": id,
            "parentCategoryId": "00000000-0000-0000-0000-000000000000",
            "childCategoryIds": [],
        })
    })
    .collect()
}

/// Every definition, the collections before their children.
pub fn definitions() -> Vec<Json> {
    let mut all = Vec::new();
    for scope in [Scope::Device, Scope::User] {
        all.push(collection(scope));
        all.extend(SETTINGS.iter().filter_map(|setting| single(setting, scope)));
    }
    all
}

/// One definition by its id.
pub fn definition(id: &str) -> Option<Json> {
    let scope = [Scope::Device, Scope::User]
        .into_iter()
        .find(|scope| collection_id(*scope) == id);
    match scope {
        Some(scope) => Some(collection(scope)),
        None => by_definition(id).and_then(|(setting, scope)| single(setting, scope)),
    }
}

/// The ids that a value's instance names: its own, and its collection's if it is in one.
pub fn definition_ids(given: &Given) -> Vec<String> {
    let parent = is_child(given.setting).then(|| collection_id(given.scope).to_owned());
    let own = given.setting.graph_id(given.scope);
    parent.into_iter().chain(own).collect()
}

fn collection(scope: Scope) -> Json {
    let (label, tree) = match scope {
        Scope::Device => ("Device-scoped settings", "./Device"),
        Scope::User => ("User-scoped settings", "./User"),
    };
    let children: Vec<_> = SETTINGS
        .iter()
        .filter(|setting| is_child(setting))
        .filter_map(|setting| setting.graph_id(scope))
        .collect();
    json!({
        "@odata.type": format!("{TYPE}SettingGroupCollectionDefinition"),
        "id": collection_id(scope),
        "name": "{TenantId}",
        "displayName": label,
        "description": "",
        "categoryId": HELLO,
        "baseUri": format!("{tree}/Vendor/MSFT/PassportForWork"),
        "offsetUri": "/{0}",
        "rootDefinitionId": collection_id(scope),
        "minimumCount": 0,
        "maximumCount": 1,
        "childIds": children,
        "applicability": applicability(),
    })
}

fn single(setting: &Setting, scope: Scope) -> Option<Json> {
    let (id, csp) = (setting.graph_id(scope)?, setting.csp?);
    let (tree, suffix) = match scope {
        Scope::Device => ("./Device", ""),
        Scope::User => ("./User", " (User)"),
    };
    let (base, offset) = csp.path.rsplit_once('/')?;
    let (parent, category) = match csp.path {
        _ if is_child(setting) => (Some(collection_id(scope)), HELLO),
        path if path.starts_with("Vendor/MSFT/PassportForWork/") => (None, HELLO),
        path if path.starts_with("Vendor/Latchkey/") => (None, LATCHKEY),
        _ => (None, DEVICE_GUARD),
    };
    let mut definition = json!({
        "id": id,
        "name": offset,
        "displayName": format!("{}{suffix}", label(setting)),
        "description": setting.meaning,
        "categoryId": category,
        "baseUri": format!("{tree}/{base}"),
        "offsetUri": format!("/{offset}"),
        "rootDefinitionId": parent.unwrap_or(&id),
        "applicability": applicability(),
    });
    let fields = definition.as_object_mut()?;
    if let Some(parent) = parent {
        let on = json!([{ "dependentOn": parent, "parentSettingId": parent }]);
        fields.insert("dependentOn".into(), on);
    }
    let kind = match setting.kind {
        Kind::Switch | Kind::Choice(_) => {
            let options = setting.graph_options(scope);
            let default = options.iter().find(|(_, value)| {
                let as_text = match csp.format {
                    Format::Bool => (*value == 1).to_string(),
                    _ => value.to_string(),
                };
                as_text == csp.default
            });
            fields.insert("defaultOptionId".into(), json!(default.map(|(id, _)| id)));
            let options: Vec<_> = options
                .iter()
                .map(|(option, value)| option_of(setting, csp.format, option, *value))
                .collect();
            fields.insert("options".into(), json!(options));
            "ChoiceSettingDefinition"
        }
        Kind::Number { min, max } => {
            let default = csp.default.parse::<u32>().ok();
            let default = json!({
                "@odata.type": format!("{TYPE}IntegerSettingValue"),
                "value": default,
            });
            let bounds = json!({
                "@odata.type": format!("{TYPE}IntegerSettingValueDefinition"),
                "minimumValue": min,
                "maximumValue": max,
            });
            fields.insert("defaultValue".into(), default);
            fields.insert("valueDefinition".into(), bounds);
            "SimpleSettingDefinition"
        }
        Kind::Text => {
            let bounds = json!({
                "@odata.type": format!("{TYPE}StringSettingValueDefinition"),
                "minimumLength": 0,
                "maximumLength": 4096,
            });
            fields.insert("valueDefinition".into(), bounds);
            "SimpleSettingDefinition"
        }
    };
    fields.insert("@odata.type".into(), json!(format!("{TYPE}{kind}")));
    Some(definition)
}

fn option_of(setting: &Setting, format: Format, option: &str, value: u32) -> Json {
    let (kind, given) = match format {
        Format::Bool => ("StringSettingValue", json!((value == 1).to_string())),
        _ => ("IntegerSettingValue", json!(value)),
    };
    let shown = setting.describe(&crate::settings::Value::Number(value));
    json!({
        "itemId": option,
        "name": shown,
        "displayName": shown,
        "optionValue": { "@odata.type": format!("{TYPE}{kind}"), "value": given },
    })
}

/// The label in the catalog, where it is not the policy's name in group policy.
fn label(setting: &Setting) -> &'static str {
    match setting.id {
        "use-hello" => "Use Windows Hello For Business",
        "require-security-device" => "Require Security Device",
        "exclude-tpm12" => "Restrict use of TPM 1.2",
        "pin-recovery" => "Enable Pin Recovery",
        "no-provisioning-after-sign-in" => "Disable Post Logon Provisioning",
        "certificate-trust" => "Use Certificate For On Prem Auth",
        "cloud-trust" => "Use Cloud Trust For On Prem Auth",
        "min-pin-length" => "Minimum PIN Length",
        "max-pin-length" => "Maximum PIN Length",
        "uppercase-letters" => "Uppercase Letters",
        "lowercase-letters" => "Lowercase Letters",
        "special-characters" => "Special Characters",
        "digits" => "Digits",
        "pin-history" => "PIN History",
        "pin-expiration" => "Expiration",
        "phone-sign-in" => "Use Remote Passport",
        "hello-certificates-as-smart-cards" => "Use Hello Certificates As Smart Card Certificates",
        _ => setting.name,
    }
}

fn applicability() -> Json {
    json!({
        "@odata.type": format!("{TYPE}WindowsSettingApplicability"),
        "platform": "windows10",
        "deviceMode": "none",
        "technologies": "mdm",
        "minimumSupportedVersion": "10.0.10586",
        "requiresAzureAd": false,
    })
}
