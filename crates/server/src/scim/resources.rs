//! One resource: shown, made, replaced, changed in part and deleted.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    routing::{MethodRouter, get},
};
use model::Guid;
use serde_json::Value;
use store::{Agent, Computer, DirectoryChange, Domain, Group, GroupKind, ObjectKind, User};

use super::{
    Shown, directory,
    list::{self, Asked},
    own, patch, show,
    trouble::Trouble,
};
use crate::{
    access::{self, Provisioner},
    app::App,
    error::read_json,
};

/// The kind of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    User,
    Group,
    Computer,
}

/// A resource that is there.
pub(super) enum Resource {
    User(User),
    Group(Group),
    Computer(Computer),
}

impl Resource {
    pub(super) async fn shown(&self, app: &App) -> Result<Value, store::Error> {
        Ok(match self {
            Self::User(user) => show::user(user),
            Self::Group(group) => show::group_with_members(app, group).await?,
            Self::Computer(computer) => show::computer(computer),
        })
    }

    fn domain(&self) -> Option<Guid> {
        match self {
            Self::User(user) => user.domain(),
            Self::Group(group) => match &group.kind {
                GroupKind::Synced { domain, .. } => Some(*domain),
                GroupKind::Own => None,
            },
            Self::Computer(computer) => Some(computer.domain),
        }
    }
}

/// The resource of an id that whoever asks may see.
pub(super) async fn find(
    app: &App,
    who: &Provisioner,
    kind: Kind,
    id: Guid,
) -> Result<Option<Resource>, store::Error> {
    let (store, tenant) = (&app.store, app.tenant.id);
    let found = match kind {
        Kind::User => store.user(tenant, id).await?.map(Resource::User),
        Kind::Group => store.group(tenant, id).await?.map(Resource::Group),
        Kind::Computer => store.computer(tenant, id).await?.map(Resource::Computer),
    };
    Ok(found.filter(|found| is_seen(who, found)))
}

/// An agent sees its domain, an application everything.
pub(super) fn is_seen(who: &Provisioner, resource: &Resource) -> bool {
    match who {
        Provisioner::Agent(agent) => resource.domain() == Some(agent.domain),
        Provisioner::App(_) => true,
    }
}

async fn expect(
    app: &App,
    who: &Provisioner,
    (kind, id): (Kind, &str),
) -> Result<(Guid, Resource), Trouble> {
    let id: Guid = id.parse().map_err(|_| Trouble::not_found())?;
    let found = find(app, who, kind, id).await?;
    Ok((id, found.ok_or_else(Trouble::not_found)?))
}

/// The methods of a kind's list.
pub(super) fn all(kind: Kind) -> MethodRouter<Arc<App>> {
    get(
        async move |State(app): State<Arc<App>>, headers: HeaderMap, asked: Query<Asked>| {
            let who = access::provisioner(&app, &headers).await?;
            list::list(&app, &who, kind, asked.0).await
        },
    )
    .post(
        async move |State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes| {
            let who = access::provisioner(&app, &headers).await?;
            create(&app, &who, kind, &body).await
        },
    )
}

/// The methods of one of a kind.
pub(super) fn one(kind: Kind) -> MethodRouter<Arc<App>> {
    get(
        async move |State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>| {
            let who = access::provisioner(&app, &headers).await?;
            let (_, found) = expect(&app, &who, (kind, &id)).await?;
            Ok::<_, Trouble>(Shown::ok(found.shown(&app).await?))
        },
    )
    .put(
        async move |State(app): State<Arc<App>>,
                    headers: HeaderMap,
                    Path(id): Path<String>,
                    body: Bytes| {
            let who = access::provisioner(&app, &headers).await?;
            let data = read_json(&body)?;
            replace(&app, &who, (kind, &id), data).await
        },
    )
    .patch(
        async move |State(app): State<Arc<App>>,
                    headers: HeaderMap,
                    Path(id): Path<String>,
                    body: Bytes| {
            let who = access::provisioner(&app, &headers).await?;
            let (_, found) = expect(&app, &who, (kind, &id)).await?;
            let mut data = found.shown(&app).await?;
            patch::apply(&mut data, read_json(&body)?)?;
            replace(&app, &who, (kind, &id), data).await
        },
    )
    .delete(
        async move |State(app): State<Arc<App>>, headers: HeaderMap, Path(id): Path<String>| {
            let who = access::provisioner(&app, &headers).await?;
            delete(&app, &who, (kind, &id)).await
        },
    )
}

async fn create(app: &App, who: &Provisioner, kind: Kind, body: &[u8]) -> Result<Shown, Trouble> {
    let data: Value = read_json(body)?;
    let id = match who {
        Provisioner::Agent(agent) => {
            let id = data.get("externalId").and_then(Value::as_str);
            let id: Guid = id
                .and_then(|id| id.parse().ok())
                .ok_or_else(|| Trouble::bad("invalidValue", "externalId is not an objectGUID"))?;
            put(app, agent, (kind, id), data).await?;
            id
        }
        Provisioner::App(client) => match kind {
            Kind::User => own::create_user(app, client, data).await?,
            Kind::Group => own::create_group(app, client, data).await?,
            Kind::Computer => return Err(of_agents()),
        },
    };
    let found = find(app, who, kind, id).await?;
    let found = found.ok_or_else(Trouble::not_found)?;
    Ok(Shown::created(found.shown(app).await?))
}

async fn replace(
    app: &App,
    who: &Provisioner,
    (kind, id): (Kind, &str),
    data: Value,
) -> Result<Shown, Trouble> {
    let id = match who {
        // What an agent puts may not be there yet.
        Provisioner::Agent(agent) => {
            let id: Guid = id.parse().map_err(|_| Trouble::not_found())?;
            put(app, agent, (kind, id), data).await?;
            id
        }
        Provisioner::App(client) => {
            let (id, found) = expect(app, who, (kind, id)).await?;
            match found {
                Resource::User(user) => own::replace_user(app, client, user, data).await?,
                Resource::Group(group) => own::replace_group(app, client, group, data).await?,
                Resource::Computer(_) => return Err(of_agents()),
            }
            id
        }
    };
    let found = find(app, who, kind, id).await?;
    let found = found.ok_or_else(Trouble::not_found)?;
    Ok(Shown::ok(found.shown(app).await?))
}

async fn delete(
    app: &App,
    who: &Provisioner,
    (kind, id): (Kind, &str),
) -> Result<StatusCode, Trouble> {
    let (id, found) = expect(app, who, (kind, id)).await?;
    match (who, found) {
        (Provisioner::Agent(agent), _) => {
            let kind = match kind {
                Kind::User => ObjectKind::User,
                Kind::Group => ObjectKind::Group,
                Kind::Computer => ObjectKind::Computer,
            };
            apply(app, agent.domain, DirectoryChange::Delete(kind, id)).await?;
        }
        (Provisioner::App(client), Resource::User(user)) => {
            own::delete_user(app, client, user).await?;
        }
        (Provisioner::App(client), Resource::Group(group)) => {
            own::delete_group(app, client, group).await?;
        }
        (Provisioner::App(_), Resource::Computer(_)) => return Err(of_agents()),
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Takes one resource of an agent's domain in.
async fn put(
    app: &App,
    agent: &Agent,
    (kind, id): (Kind, Guid),
    data: Value,
) -> Result<(), Trouble> {
    let Domain { guid, sid, .. } = directory::of(app, agent).await?;
    let change = match kind {
        Kind::User => directory::user(data, id, guid, &sid),
        Kind::Group => directory::group(data, id, guid),
        Kind::Computer => directory::computer(data, id, guid, &sid),
    };
    let change = change.map_err(|why| Trouble::bad("invalidValue", why))?;
    apply(app, guid, change).await
}

async fn apply(app: &App, domain: Guid, change: DirectoryChange) -> Result<(), Trouble> {
    let place = (app.tenant.id, domain);
    let applied = app.store.apply(place, vec![change], app.clock.now());
    match applied.await?.first() {
        Some(Err(withheld)) => Err(Trouble::taken(&directory::why(*withheld))),
        _ => Ok(()),
    }
}

fn of_agents() -> Trouble {
    Trouble::forbidden("computers come from the agents of their domains alone")
}
