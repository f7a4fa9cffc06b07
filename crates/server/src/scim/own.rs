//! What an application makes and changes: users and groups of the server's own.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use model::{Guid, Secret};
use serde::Deserialize;
use serde_json::Value;
use store::{Audit, Group, GroupKind, Password, User, UserKind};

use super::{show, trouble::Trouble};
use crate::{accounts, app::App, error::Refusal, random};

/// The most members of one request.
const MAX_MEMBERS: usize = 1000;

/// A user as a provisioner has it; what else it sends is passed over (RFC 7644 3.3).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserIn {
    user_name: String,
    display_name: Option<String>,
    #[serde(default = "yes")]
    active: bool,
    #[serde(default)]
    emails: Vec<Valued>,
}

/// A group as a provisioner has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GroupIn {
    display_name: String,
    members: Option<Vec<Valued>>,
}

#[derive(Deserialize)]
struct Valued {
    value: String,
}

fn yes() -> bool {
    true
}

fn read<T: serde::de::DeserializeOwned>(data: Value) -> Result<T, Trouble> {
    serde_json::from_value(data).map_err(|error| {
        let sentence = format!("the resource is not what its schema says: {error}");
        Trouble::bad("invalidValue", &sentence)
    })
}

fn audit(app: &App, client: &str, action: &'static str, subject: &str) -> Audit {
    Audit {
        at: app.clock.now(),
        actor: format!("app:{client}"),
        action,
        subject: subject.to_owned(),
    }
}

/// Provisioning is no way to change who administers.
async fn expect_unprivileged(app: &App, principal: Guid) -> Result<(), Trouble> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let tags = store.scope_tags(tenant).await?;
    let is_plain = store.roles_of(tenant, principal).await?.is_empty()
        && !tags.iter().any(|tag| tag.id == principal);
    match is_plain {
        true => Ok(()),
        false => Err(Trouble::forbidden(
            "this one holds or gives a role, or says what roles cover: an administrator changes it",
        )),
    }
}

fn of_directory() -> Trouble {
    let sentence = "this one is a directory's: its agent brings it";
    Refusal::own(StatusCode::CONFLICT, "conflict", sentence).into()
}

impl UserIn {
    fn fill(self, user: User) -> User {
        User {
            display_name: self.display_name.unwrap_or_else(|| self.user_name.clone()),
            upn: self.user_name,
            mail: self.emails.into_iter().next().map(|mail| mail.value),
            active: self.active,
            ..user
        }
    }
}

/// Makes a user whose password nobody knows; its id.
pub(super) async fn create_user(app: &App, client: &str, data: Value) -> Result<Guid, Trouble> {
    let new: UserIn = read(data)?;
    let guid = random::guid()?;
    let user = new.fill(User {
        guid,
        kind: UserKind::Cloud,
        upn: String::new(),
        display_name: String::new(),
        mail: None,
        active: true,
        account_expires: None,
        locked_until: None,
        logon_hours: None,
        source_anchor: None,
        tokens_valid_from: app.clock.now(),
    });
    accounts::expect_own(app, &user).await?;
    let secret = Secret::new(random::bearer_text()?.0);
    let password = Password {
        hash: accounts::hash(app, secret).await?,
        must_change: false,
    };
    let audit = audit(app, client, "user.create", &user.upn);
    let created = app.store.create_user(app.tenant.id, user, password, audit);
    created.await.map_err(Trouble::of_store)?;
    Ok(guid)
}

/// Makes a user what the data says.
pub(super) async fn replace_user(
    app: &App,
    client: &str,
    user: User,
    data: Value,
) -> Result<(), Trouble> {
    if user.kind != UserKind::Cloud {
        return Err(of_directory());
    }
    expect_unprivileged(app, user.guid).await?;
    let new: UserIn = read(data)?;
    let user = new.fill(user);
    accounts::expect_own(app, &user).await?;
    let audit = audit(app, client, "user.change", &user.upn);
    let updated = app.store.update_user(app.tenant.id, user, audit);
    match updated.await.map_err(Trouble::of_store)? {
        true => Ok(()),
        false => Err(Trouble::not_found()),
    }
}

pub(super) async fn delete_user(app: &App, client: &str, user: User) -> Result<(), Trouble> {
    if user.kind != UserKind::Cloud {
        return Err(of_directory());
    }
    expect_unprivileged(app, user.guid).await?;
    let audit = audit(app, client, "user.delete", &user.upn);
    app.store
        .delete_user(app.tenant.id, user.guid, audit)
        .await?;
    Ok(())
}

impl GroupIn {
    fn checked(data: Value) -> Result<(String, Option<BTreeSet<Guid>>), Trouble> {
        let Self {
            display_name,
            members,
        } = read(data)?;
        if !(1..=256).contains(&display_name.len()) {
            let sentence = "displayName is empty, or longer than 256 bytes";
            return Err(Trouble::bad("invalidValue", sentence));
        }
        let bad = || Trouble::bad("invalidValue", "a member is not named by its id");
        let ids = |members: Vec<Valued>| {
            let ids = members.iter().map(|member| member.value.parse());
            ids.collect::<Result<_, _>>().map_err(|_| bad())
        };
        Ok((display_name, members.map(ids).transpose()?))
    }
}

/// Makes a group; its id.
pub(super) async fn create_group(app: &App, client: &str, data: Value) -> Result<Guid, Trouble> {
    let (name, members) = GroupIn::checked(data)?;
    let members = members.unwrap_or_default();
    expect_members(app, &members).await?;
    let guid = random::guid()?;
    let row = audit(app, client, "group.create", &name);
    let created = app.store.create_group(app.tenant.id, guid, &name, row);
    created.await.map_err(Trouble::of_store)?;
    for member in members {
        put_in(app, client, (guid, &name), member).await?;
    }
    Ok(guid)
}

async fn put_in(
    app: &App,
    client: &str,
    (group, name): (Guid, &str),
    member: Guid,
) -> Result<(), Trouble> {
    let row = audit(app, client, "group.add", &format!("{member} to {name}"));
    app.store
        .add_member(app.tenant.id, group, member, row)
        .await?;
    Ok(())
}

/// Whether every member is there.
async fn expect_members(app: &App, members: &BTreeSet<Guid>) -> Result<(), Trouble> {
    if members.len() > MAX_MEMBERS {
        let sentence = "more than 1,000 members in one request";
        return Err(Trouble::bad("tooMany", sentence));
    }
    let (store, tenant) = (&app.store, app.tenant.id);
    for member in members {
        let is_there = store.user(tenant, *member).await?.is_some()
            || store.group(tenant, *member).await?.is_some()
            || store.device(tenant, *member).await?.is_some();
        if !is_there {
            let sentence = format!("there is no user, group or device {member}");
            return Err(Trouble::bad("invalidValue", &sentence));
        }
    }
    Ok(())
}

/// Makes a group what the data says; members that it does not speak of stay.
pub(super) async fn replace_group(
    app: &App,
    client: &str,
    group: Group,
    data: Value,
) -> Result<(), Trouble> {
    if group.kind != GroupKind::Own {
        return Err(of_directory());
    }
    expect_unprivileged(app, group.guid).await?;
    let (name, members) = GroupIn::checked(data)?;
    let (store, tenant) = (&app.store, app.tenant.id);
    if let Some(wanted) = members {
        let there = members_of(app, &group).await?;
        let new: BTreeSet<Guid> = wanted.difference(&there).copied().collect();
        expect_members(app, &new).await?;
        for member in new {
            put_in(app, client, (group.guid, &name), member).await?;
        }
        for member in there.difference(&wanted) {
            let row = audit(
                app,
                client,
                "group.remove",
                &format!("{member} from {name}"),
            );
            store
                .remove_member(tenant, group.guid, *member, row)
                .await?;
        }
    }
    if name != group.name {
        let row = audit(
            app,
            client,
            "group.rename",
            &format!("{} to {name}", group.name),
        );
        let renamed = store.rename_group(tenant, group.guid, &name, row);
        renamed.await.map_err(Trouble::of_store)?;
    }
    Ok(())
}

async fn members_of(app: &App, group: &Group) -> Result<BTreeSet<Guid>, Trouble> {
    let shown = show::group_with_members(app, group).await?;
    let (_, members) = GroupIn::checked(shown)?;
    Ok(members.unwrap_or_default())
}

pub(super) async fn delete_group(app: &App, client: &str, group: Group) -> Result<(), Trouble> {
    if group.kind != GroupKind::Own {
        return Err(of_directory());
    }
    expect_unprivileged(app, group.guid).await?;
    accounts::expect_unused(app, group.guid).await?;
    let row = audit(app, client, "group.delete", &group.name);
    app.store
        .delete_group(app.tenant.id, group.guid, row)
        .await?;
    Ok(())
}
