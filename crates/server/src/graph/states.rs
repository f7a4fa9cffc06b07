//! `deviceManagement/managedDevices/{id}/deviceConfigurationStates`: what became of each policy on a
//! device, for the device itself and for each person at it, setting by setting.

use axum::{Json, extract::Path, routing::get};
use model::Guid;
use policy::settings;
use serde_json::{Value, json};

use super::{call::Call, query::Query};
use crate::{
    admin::{caller::needs, find::unknown},
    error::Refusal,
    policies::status::{self, Row},
    roles::Action,
    routing::Paths,
};

/// The original's words for a state, the worst first: a policy is as bad as its worst setting.
const STATES: [(&str, &str); 6] = [
    ("conflict", "conflict"),
    ("error", "error"),
    ("overridden", "nonCompliant"),
    ("pending", "unknown"),
    ("applied", "compliant"),
    ("not_applicable", "notApplicable"),
];

pub(super) fn routes() -> Paths {
    Paths::new().route(
        "/deviceManagement/managedDevices/{id}/deviceConfigurationStates",
        needs(Action::ReadPolicies, get(list)),
    )
}

async fn list(call: Call, query: Query, Path(id): Path<String>) -> Result<Json<Value>, Refusal> {
    query.expect_expands(&[])?;
    let no_such = || unknown("there is no device of that id");
    let id: Guid = id.parse().map_err(|_| no_such())?;
    let found = call.app.store.device(call.app.tenant.id, id).await?;
    let device = found.ok_or_else(no_such)?;
    let rows = status::seen_on(&call.app, &call.caller, &device).await?;
    let mut states: Vec<Vec<&Row>> = Vec::new();
    for row in &rows {
        let is_its = |state: &&mut Vec<&Row>| {
            let first = state.first();
            first.is_some_and(|first| first.policy_id == row.policy_id && first.user == row.user)
        };
        match states.iter_mut().find(is_its) {
            Some(state) => state.push(row),
            None => states.push(vec![row]),
        }
    }
    let told = states.iter().filter_map(|state| told(state)).collect();
    let path = format!("deviceManagement/managedDevices/{id}/deviceConfigurationStates");
    call.place(&path).list(&query, told)
}

/// One policy on the device, for one person or for the device itself.
fn told(rows: &[&Row]) -> Option<Value> {
    let first = rows.first()?;
    let worst = STATES
        .iter()
        .find(|(own, _)| rows.iter().any(|row| row.state == *own));
    let whose = match (&first.person, &first.user) {
        (Some(person), _) => person.user_id.to_string(),
        (None, Some(sid)) => sid.to_string(),
        (None, None) => "device".to_owned(),
    };
    let person = first.person.as_ref();
    Some(json!({
        "id": format!("{}_{whose}", first.policy_id),
        "displayName": first.policy,
        "platformType": "windows10AndLater",
        "state": worst.map(|(_, told)| *told),
        "settingCount": rows.len(),
        "userId": person.map(|person| person.user_id),
        "userPrincipalName": person.map(|person| &person.upn),
        "settingStates": rows.iter().map(|row| setting(row)).collect::<Vec<_>>(),
    }))
}

fn setting(row: &Row) -> Value {
    let known = settings::by_id(row.setting);
    let state = STATES.iter().find(|(own, _)| *own == row.state);
    let person = row.person.as_ref();
    json!({
        "setting": known.and_then(|setting| setting.graph_id(row.scope)),
        "settingName": known.map(|setting| setting.name),
        "state": state.map(|(_, told)| *told),
        "errorCode": 0,
        "errorDescription": row.by,
        "currentValue": (row.state == "applied").then_some(&row.value),
        "userId": person.map(|person| person.user_id),
        "userName": person.map(|person| &person.name),
        "userPrincipalName": person.map(|person| &person.upn),
        "sources": [{
            "id": row.policy_id,
            "displayName": row.policy,
            "sourceType": "deviceConfiguration",
        }],
    })
}
