//! The tenant-wide enrollment configuration: which one is a device's that joins.
//!
//! It counts once, at the join: what it gives is kept with the device, and whatever is changed
//! afterwards is for devices that join afterwards.

use std::collections::BTreeSet;

use model::Guid;
use policy::assigned::{Reach, Subject, reach};
use store::{Device, DeviceEnrollment, EnrollmentConfiguration, EnrollmentContent};

use super::edit::shortened;
use crate::{admin::caller::Caller, app::App};

/// What the default configuration is called, as in the original.
const DEFAULT_NAME: &str = "All users and all devices";

/// What is said of it there.
const DEFAULT_DESCRIPTION: &str = "This is the default Windows Hello for Business configuration \
     applied with the lowest priority to all users regardless of group membership.";

/// Every configuration, by priority; the default one, whose priority is 0, is the first.
pub(crate) async fn all(app: &App) -> Result<Vec<EnrollmentConfiguration>, store::Error> {
    let mut all = app.store.enrollment_configurations(app.tenant.id).await?;
    if all.first().is_none_or(|first| first.priority != 0) {
        all.insert(0, default(app));
    }
    Ok(all)
}

/// The default configuration as it is before anybody changes it.
fn default(app: &App) -> EnrollmentConfiguration {
    EnrollmentConfiguration {
        id: app.tenant.id,
        priority: 0,
        content: EnrollmentContent {
            name: DEFAULT_NAME.to_owned(),
            description: DEFAULT_DESCRIPTION.to_owned(),
            scope_tags: vec![Guid::from_le_bytes([0; 16])],
            ..EnrollmentContent::default()
        },
        version: 1,
        created: app.tenant.created,
        modified: app.tenant.created,
        modified_by: "admin".to_owned(),
    }
}

/// The one that counts for a device in these groups, and for the person who joins it.
fn chosen<'a>(
    all: &'a [EnrollmentConfiguration],
    device: &BTreeSet<Guid>,
    user: Option<&BTreeSet<Guid>>,
) -> Option<&'a EnrollmentConfiguration> {
    let subject = Subject { device, user };
    let reaches = |one: &&EnrollmentConfiguration| {
        one.priority != 0 && reach(&one.content.assignments, subject) != Reach::Not
    };
    // They come by priority, the default one before all.
    all.iter().find(reaches).or(all.first())
}

/// Keeps what a device gets that joins now.
pub(crate) async fn keep(app: &App, device: &Device) -> Result<(), store::Error> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let all = all(app).await?;
    let groups = async |principal| -> Result<BTreeSet<Guid>, store::Error> {
        Ok(store
            .groups_of(tenant, principal)
            .await?
            .into_iter()
            .collect())
    };
    let own = groups(device.id).await?;
    let owner = match device.owner {
        None => None,
        Some(owner) => Some(groups(owner).await?),
    };
    let Some(chosen) = chosen(&all, &own, owner.as_ref()) else {
        return Ok(());
    };
    let enrollment = DeviceEnrollment {
        configuration: chosen.content.name.clone(),
        given: chosen.content.enrollment.values(),
        at: app.clock.now(),
    };
    store
        .keep_device_enrollment(tenant, device.id, enrollment)
        .await
}

/// Stores configurations as the caller has changed them, the one that it is about first; as they are now.
pub(crate) async fn put(
    app: &App,
    caller: &Caller,
    action: &'static str,
    mut changed: Vec<EnrollmentConfiguration>,
) -> Result<Vec<EnrollmentConfiguration>, store::Error> {
    let account = changed.first().map(|one| {
        let properties = one.content.enrollment.properties();
        let properties = serde_json::Value::Object(properties);
        shortened(&format!("{}: {properties}", one.content.name))
    });
    let audit = caller.audit(app, action, &account.unwrap_or_default());
    for one in &mut changed {
        one.modified = audit.at;
        one.modified_by.clone_from(&audit.actor);
    }
    app.store
        .put_enrollment_configurations(app.tenant.id, changed.clone(), audit)
        .await?;
    Ok(changed)
}
