//! Policies that administrators make: kept ready, brought to devices, and what became of them there.

mod combined;
mod deliver;
pub(crate) mod edit;
pub(crate) mod enrollment;
mod known;
mod report;
pub(crate) mod status;

use axum::routing::{get, post};

pub(crate) use self::known::Known;
use crate::routing::Paths;

/// What devices ask and tell.
pub(crate) fn routes() -> Paths {
    Paths::new()
        .route(api::policies::POLICIES_PATH, get(deliver::deliver))
        .route(api::policies::POLICY_STATUS_PATH, post(report::take))
}
