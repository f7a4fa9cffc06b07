//! The tenant-wide enrollment configuration: which one is a device's that joins.
//!
//! It counts once, at the join: what it gives is kept with the device, and whatever is changed
//! afterwards is for devices that join afterwards.

use std::collections::BTreeSet;

use model::Guid;
use policy::assigned::{Reach, Subject, reach};
use store::{Device, DeviceEnrollment, EnrollmentConfiguration, EnrollmentContent};

use super::edit::shortened;
use crate::{
    admin::{caller::Caller, stored},
    app::App,
    error::Refusal,
};

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

/// The versions of a configuration, the newest first.
pub(crate) async fn history(
    app: &App,
    one: EnrollmentConfiguration,
) -> Result<Vec<EnrollmentConfiguration>, store::Error> {
    let former = app
        .store
        .former_enrollment_configurations(app.tenant.id, one.id);
    let mut versions = vec![one];
    versions.extend(former.await?);
    // What the default one was before anybody changed it was never stored.
    let is_changed_default =
        |last: &EnrollmentConfiguration| last.priority == 0 && last.version > 1;
    if versions.last().is_some_and(is_changed_default) {
        versions.push(default(app));
    }
    Ok(versions)
}

/// Stores the next version of a configuration as the caller has changed it, and of others with it; as it
/// is now. One that is new has version 0.
pub(crate) async fn put(
    app: &App,
    caller: &Caller,
    action: &'static str,
    (changed, others): (EnrollmentConfiguration, Vec<EnrollmentConfiguration>),
) -> Result<EnrollmentConfiguration, Refusal> {
    let properties = serde_json::Value::Object(changed.content.enrollment.properties());
    let account = shortened(&format!("{}: {properties}", changed.content.name));
    let audit = caller.audit(app, action, &account);
    let next = |one: EnrollmentConfiguration| EnrollmentConfiguration {
        version: one.version.saturating_add(1),
        modified: audit.at,
        modified_by: audit.actor.clone(),
        ..one
    };
    let changed = next(changed);
    let all = [changed.clone()].into_iter();
    let all = all.chain(others.into_iter().map(next)).collect();
    let put = app
        .store
        .put_enrollment_configurations(app.tenant.id, all, audit);
    stored(put.await)?;
    Ok(changed)
}
