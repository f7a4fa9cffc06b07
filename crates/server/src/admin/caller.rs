//! Who asks the administrator's interface: root through the local socket, or a user who holds a role
//! and has shown both factors.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, request::Parts},
    middleware::{Next, from_fn},
    response::Response,
    routing::MethodRouter,
};
use model::Guid;
use store::{Audit, Listing, Role, RoleAssignment};

use crate::{
    access,
    app::App,
    error::Refusal,
    roles::{Action, Target, allow, allow_somewhere},
};

/// Who asks.
#[derive(Clone)]
pub(crate) struct Caller {
    actor: String,
    roles: Arc<[RoleAssignment]>,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        parts.extensions.get().cloned().ok_or_else(forbidden)
    }
}

impl Caller {
    /// Root, or the server's own user, through the local socket.
    pub(crate) fn root() -> Self {
        let everything = RoleAssignment {
            principal: Guid::from_le_bytes([0; 16]),
            role: Role::Global,
            scope_tags: Vec::new(),
        };
        Self {
            actor: "admin".to_owned(),
            roles: Arc::new([everything]),
        }
    }

    /// Whether there is anything upon which the caller may do this.
    pub(crate) fn expect(&self, action: Action) -> Result<(), Refusal> {
        match allow_somewhere(&self.roles, action) {
            true => Ok(()),
            false => Err(forbidden()),
        }
    }

    /// Whether the caller may do this in the whole tenant.
    pub(crate) fn expect_whole(&self, action: Action) -> Result<(), Refusal> {
        match allow(&self.roles, action, &Target::Tenant) {
            true => Ok(()),
            false => Err(forbidden()),
        }
    }

    /// Whether the caller may do this to a policy with these scope tags.
    pub(crate) fn may_tagged(&self, action: Action, tags: &[Guid]) -> bool {
        let tags = Target::Tagged(tags.iter().copied().collect());
        allow(&self.roles, action, &tags)
    }

    /// The scope tags to which the caller is limited in this; none is not at all.
    pub(crate) fn tags_for(&self, action: Action) -> Vec<Guid> {
        if allow(&self.roles, action, &Target::Tenant) {
            return Vec::new();
        }
        let may = |tag: &Guid| self.may_tagged(action, &[*tag]);
        let tags = self.roles.iter().flat_map(|given| &given.scope_tags);
        tags.copied().filter(may).collect()
    }

    /// Somebody with these roles.
    pub(crate) fn user(user: Guid, roles: Vec<RoleAssignment>) -> Self {
        Self {
            actor: format!("user:{user}"),
            roles: roles.into(),
        }
    }

    /// Whether the caller may do this upon a user, group or device.
    pub(crate) async fn expect_on(
        &self,
        app: &App,
        action: Action,
        principal: Guid,
    ) -> Result<(), Refusal> {
        match self.may(app, action, principal).await? {
            true => Ok(()),
            false => Err(forbidden()),
        }
    }

    /// The same, as an answer.
    pub(crate) async fn may(
        &self,
        app: &App,
        action: Action,
        principal: Guid,
    ) -> Result<bool, store::Error> {
        // Most callers see the whole: no lookup for each row of their lists.
        if action == Action::Read && allow(&self.roles, action, &Target::Tenant) {
            return Ok(true);
        }
        let (store, tenant) = (&app.store, app.tenant.id);
        let mut within: BTreeSet<Guid> = store
            .groups_of(tenant, principal)
            .await?
            .into_iter()
            .collect();
        within.insert(principal);
        let holds_role = !store.roles_of(tenant, principal).await?.is_empty();
        let tags = store.scope_tags(tenant).await?;
        let target = Target::Principal {
            within,
            is_privileged: holds_role || tags.iter().any(|tag| tag.id == principal),
        };
        Ok(allow(&self.roles, action, &target))
    }

    /// Of a page of a list, the rows that are of something that the caller may read.
    pub(crate) async fn seen<T>(
        &self,
        app: &App,
        listing: Listing<T>,
        principal: impl Fn(&T) -> Guid,
    ) -> Result<Listing<T>, store::Error> {
        let mut rows = Vec::new();
        for row in listing.rows {
            if self.may(app, Action::Read, principal(&row)).await? {
                rows.push(row);
            }
        }
        let next = listing.next;
        Ok(Listing { rows, next })
    }

    /// A row of the audit log about what the caller does.
    pub(crate) fn audit(&self, app: &App, action: &'static str, subject: &str) -> Audit {
        Audit {
            at: app.clock.now(),
            actor: self.actor.clone(),
            action,
            subject: subject.to_owned(),
        }
    }
}

pub(crate) fn forbidden() -> Refusal {
    let sentence = "your roles do not allow this; a global administrator gives roles (role add)";
    Refusal::own(StatusCode::FORBIDDEN, "forbidden", sentence)
}

/// Methods that only callers reach who may do this upon something.
pub(crate) fn needs(action: Action, methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    let check = move |caller: Caller, request: Request, next: Next| async move {
        caller.expect(action)?;
        Ok::<Response, Refusal>(next.run(request).await)
    };
    methods.route_layer(from_fn(check))
}

/// Lets in whoever bears an administrator's token.
pub(crate) async fn authenticate(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let user = access::administrator(&app, &headers).await?;
    let roles = app.store.roles_of(app.tenant.id, user.guid).await?;
    let caller = Caller::user(user.guid, roles);
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
