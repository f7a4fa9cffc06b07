//! Assignments in Graph's form.

use model::Guid;
use policy::assigned::Target;
use serde_json::{Value, json};

use crate::{error::Refusal, policies::edit::bad};

const ALL_USERS: &str = "#microsoft.graph.allLicensedUsersAssignmentTarget";
const ALL_DEVICES: &str = "#microsoft.graph.allDevicesAssignmentTarget";
const GROUP: &str = "#microsoft.graph.groupAssignmentTarget";
const NOT_GROUP: &str = "#microsoft.graph.exclusionGroupAssignmentTarget";

/// Reads the list `name` of the body of an `assign`: it takes the place of all assignments.
pub(super) fn read(body: &Value, name: &str) -> Result<Vec<Target>, Refusal> {
    let rows = body.get(name).and_then(Value::as_array);
    let rows = rows.ok_or_else(|| bad(&format!("{name}: a list is wanted.")))?;
    let read = |(at, row): (usize, &Value)| {
        let place = format!("{name}[{at}].target");
        let target = row.get("target").filter(|target| target.is_object());
        let target = target.ok_or_else(|| bad(&format!("{place}: an object is wanted.")))?;
        one(target).map_err(|why| bad(&format!("{place}: {why}")))
    };
    rows.iter().enumerate().map(read).collect()
}

fn one(target: &Value) -> Result<Target, String> {
    let word = |name: &str| target.get(name).and_then(Value::as_str);
    let filter = word("deviceAndAppManagementAssignmentFilterType");
    if word("deviceAndAppManagementAssignmentFilterId").is_some_and(|id| !id.is_empty())
        || !matches!(filter, None | Some("none"))
    {
        return Err("assignment filters are not offered; assign to a group.".to_owned());
    }
    let group = || {
        let id = word("groupId").unwrap_or_default();
        let group = id.parse::<Guid>();
        group.map_err(|_| format!("groupId is a group's id, and not {id:?}."))
    };
    match word("@odata.type") {
        Some(ALL_USERS) => Ok(Target::AllUsers),
        Some(ALL_DEVICES) => Ok(Target::AllDevices),
        Some(GROUP) => group().map(Target::Group),
        Some(NOT_GROUP) => group().map(Target::NotGroup),
        other => Err(format!(
            "@odata.type {:?} is no kind of target.",
            other.unwrap_or_default()
        )),
    }
}

/// The assignments of what has that id.
pub(super) fn written(of: &str, targets: &[Target]) -> Vec<Value> {
    let written = |target: &Target| {
        let (kind, group) = match target {
            Target::AllUsers => (ALL_USERS, None),
            Target::AllDevices => (ALL_DEVICES, None),
            Target::Group(group) => (GROUP, Some(group)),
            Target::NotGroup(group) => (NOT_GROUP, Some(group)),
        };
        let place = match group {
            Some(group) => group.to_string(),
            // As the original names them.
            None if kind == ALL_USERS => "acacacac-9df4-4c7d-9d50-4ef0226f57a9".to_owned(),
            None => "adadadad-808e-44e2-905a-0b7873a8a531".to_owned(),
        };
        let mut told = json!({
            "@odata.type": kind,
            "deviceAndAppManagementAssignmentFilterId": null,
            "deviceAndAppManagementAssignmentFilterType": "none",
        });
        if let (Some(group), Some(fields)) = (group, told.as_object_mut()) {
            fields.insert("groupId".to_owned(), json!(group));
        }
        json!({
            "id": format!("{of}_{place}"),
            "source": "direct",
            "sourceId": of,
            "target": told,
        })
    };
    targets.iter().map(written).collect()
}
