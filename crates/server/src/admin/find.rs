//! What an administrator names: users, groups and devices, by name or by id.

use axum::http::StatusCode;
use model::Guid;
use store::{Device, Group, Page, User};

use crate::{accounts, app::App, error::Refusal};

/// Devices of one name that are looked at: more are ambiguous anyway.
const SAME_NAME: u32 = 50;

pub(crate) fn unknown(sentence: &str) -> Refusal {
    Refusal::own(StatusCode::NOT_FOUND, "not_found", sentence)
}

/// A user, by id or by any form of the name.
pub(crate) async fn user(app: &App, named: &str) -> Result<User, Refusal> {
    let found = match named.parse() {
        Ok(guid) => app.store.user(app.tenant.id, guid).await?,
        Err(_) => accounts::resolve(app, named).await?,
    };
    found.ok_or_else(|| unknown("there is no user of that name, or two are called so"))
}

/// A group, by id or by name; where one of the server's own and one of a directory are called so, it
/// is neither.
pub(crate) async fn group(app: &App, named: &str) -> Result<Group, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let found = match named.parse() {
        Ok(guid) => store.group(tenant, guid).await?,
        Err(_) => only(store.groups_named(tenant, named).await?),
    };
    found.ok_or_else(|| unknown("there is no group of that name, or two are called so"))
}

/// A device, by id or by name.
pub(crate) async fn device(app: &App, named: &str) -> Result<Device, Refusal> {
    let (store, tenant) = (&app.store, app.tenant.id);
    if let Ok(id) = named.parse() {
        let found = store.device(tenant, id).await?;
        return found.ok_or_else(|| unknown("there is no device of that id"));
    }
    let page = Page {
        prefix: named.to_owned(),
        ..Page::first(SAME_NAME)
    };
    let mut found = store.devices(tenant, page).await?.rows;
    found.retain(|device| device.display_name.to_lowercase() == named.to_lowercase());
    only(found).ok_or_else(|| unknown("there is no device of that name, or two are called so"))
}

/// A user, group or device by id, or by a name that only one of them has.
pub(crate) async fn principal(app: &App, named: &str) -> Result<(Guid, String), Refusal> {
    let user = user(app, named).await.map(|user| (user.guid, user.upn));
    let group = group(app, named)
        .await
        .map(|group| (group.guid, group.name));
    let device = device(app, named)
        .await
        .map(|device| (device.id, device.display_name));
    let mut found = Vec::new();
    for one in [user, group, device] {
        match one {
            Ok(principal) => found.push(principal),
            Err(failed @ Refusal::Internal(_)) => return Err(failed),
            Err(_) => {}
        }
    }
    // The object of a computer is one thing, whatever it is looked up as.
    found.dedup_by_key(|(guid, _)| *guid);
    only(found).ok_or_else(|| {
        unknown("there is no user, group or device of that name, or two are called so: use the id")
    })
}

/// The name of a user, group or device, for people.
pub(crate) async fn name_of(app: &App, guid: Guid) -> Result<String, store::Error> {
    let (store, tenant) = (&app.store, app.tenant.id);
    if let Some(user) = store.user(tenant, guid).await? {
        return Ok(user.upn);
    }
    if let Some(group) = store.group(tenant, guid).await? {
        return Ok(group.name);
    }
    let device = store.device(tenant, guid).await?;
    Ok(device.map_or_else(|| guid.to_string(), |device| device.display_name))
}

fn only<T>(mut found: Vec<T>) -> Option<T> {
    let first = found.pop();
    first.filter(|_| found.is_empty())
}
