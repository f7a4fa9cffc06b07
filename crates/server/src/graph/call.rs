//! What every request brings: who asks which interface, and the query options of its address.

use std::sync::Arc;

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{
    Version,
    query::{Place, Query},
};
use crate::{admin::caller::Caller, app::App, error::Refusal};

/// Who asks which interface.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) version: Version,
    pub(super) caller: Caller,
}

impl Call {
    /// Where an answer belongs, by the path below the version.
    pub(super) fn place<'a>(&'a self, path: &'a str) -> Place<'a> {
        Place {
            app: &self.app,
            version: self.version,
            path,
        }
    }
}

impl FromRequestParts<Arc<App>> for Call {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let version = parts.extensions.get::<Version>().copied();
        Ok(Self {
            app: Arc::clone(app),
            version: version
                .ok_or_else(|| Refusal::Internal(anyhow::anyhow!("a path without a version")))?,
            caller: Caller::from_request_parts(parts, app).await?,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Self::read(parts.uri.query())
    }
}
