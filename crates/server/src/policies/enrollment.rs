//! Tenant-wide enrollment configurations: how they are made and changed, and which one is a device's
//! that joins.
//!
//! Each has a place in an order: 0 is the default one, which is there always, reaches everybody whom no
//! other does, and neither moves nor goes.
//!
//! It counts once, at the join: what it gives is kept with the device, and whatever is changed
//! afterwards is for devices that join afterwards.

use std::collections::BTreeSet;

use model::Guid;
use policy::assigned::{Reach, Subject, Target, reach};
use store::{Device, DeviceEnrollment, EnrollmentConfiguration, EnrollmentContent};

use super::edit::{self, bad, shortened};
use crate::{
    admin::{caller::Caller, stored},
    app::App,
    error::Refusal,
    random,
};

/// The most configurations: each join looks through all.
const MOST: usize = 200;

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

/// Makes one, for nobody yet, behind all others.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    mut content: EnrollmentContent,
) -> Result<EnrollmentConfiguration, Refusal> {
    edit::check_texts(&mut content.name, &content.description)?;
    content.scope_tags = edit::checked_tags(app, caller, content.scope_tags, &[]).await?;
    let all = all(app).await?;
    if all.len() >= MOST {
        return Err(bad(
            "there are as many enrollment configurations as there may be",
        ));
    }
    let last = all.iter().map(|one| one.priority).max().unwrap_or(0);
    let now = app.clock.now();
    let new = EnrollmentConfiguration {
        id: random::guid()?,
        priority: last.saturating_add(1),
        content,
        version: 0,
        created: now,
        modified: now,
        modified_by: String::new(),
    };
    put(app, caller, "enrollment.create", (new, Vec::new())).await
}

/// Replaces what stands in one that the caller may edit, but for whom it is assigned to; what comes of it.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    former: EnrollmentConfiguration,
    mut content: EnrollmentContent,
) -> Result<EnrollmentConfiguration, Refusal> {
    edit::check_texts(&mut content.name, &content.description)?;
    let before = &former.content.scope_tags;
    content.scope_tags = edit::checked_tags(app, caller, content.scope_tags, before).await?;
    if content == former.content {
        return Ok(former);
    }
    let changed = EnrollmentConfiguration { content, ..former };
    put(app, caller, "enrollment.change", (changed, Vec::new())).await
}

/// Says whom one is for.
pub(crate) async fn assign(
    app: &App,
    caller: &Caller,
    mut one: EnrollmentConfiguration,
    targets: Vec<Target>,
) -> Result<EnrollmentConfiguration, Refusal> {
    expect_other(&one)?;
    edit::check_targets(app, caller, &targets, &one.content.assignments).await?;
    if targets == one.content.assignments {
        return Ok(one);
    }
    one.content.assignments = targets;
    put(app, caller, "enrollment.assign", (one, Vec::new())).await
}

/// Gives one another place; those behind it move on. The order is of the whole tenant, and so is the role
/// that the caller must hold.
pub(crate) async fn set_priority(
    app: &App,
    caller: &Caller,
    one: EnrollmentConfiguration,
    wanted: Option<u64>,
) -> Result<(), Refusal> {
    expect_other(&one)?;
    let mut others = all(app).await?;
    others.retain(|other| other.priority != 0 && other.id != one.id);
    let place = wanted
        .and_then(|wanted| usize::try_from(wanted).ok())
        .and_then(|wanted| wanted.checked_sub(1))
        .filter(|place| *place <= others.len())
        .ok_or_else(|| bad(&format!("priority is 1 to {}", others.len() + 1)))?;
    let id = one.id;
    others.insert(place, one);
    let mut moved: Vec<_> = (1..)
        .zip(others)
        .filter(|(priority, one)| one.priority != *priority)
        .map(|(priority, one)| EnrollmentConfiguration { priority, ..one })
        .collect();
    // Whatever moves, it does: those beside it have moved because of it.
    if let Some(at) = moved.iter().position(|one| one.id == id) {
        let one = moved.remove(at);
        put(app, caller, "enrollment.priority", (one, moved)).await?;
    }
    Ok(())
}

/// Deletes one.
pub(crate) async fn delete(
    app: &App,
    caller: &Caller,
    one: &EnrollmentConfiguration,
) -> Result<(), Refusal> {
    expect_other(one)?;
    let audit = caller.audit(app, "enrollment.delete", &one.content.name);
    app.store
        .delete_enrollment_configuration(app.tenant.id, one.id, audit)
        .await?;
    Ok(())
}

fn expect_other(one: &EnrollmentConfiguration) -> Result<(), Refusal> {
    match one.priority {
        0 => Err(bad(
            "the default configuration is for everybody, last, and for good",
        )),
        _ => Ok(()),
    }
}

/// Stores the next version of a configuration as the caller has changed it, and of others with it; as it
/// is now. One that is new has version 0.
async fn put(
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
