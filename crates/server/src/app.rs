//! What every request needs: the store, the tenant and its keys, the clock.

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    middleware::from_fn_with_state,
    routing::{get, post, put},
};
use model::Guid;
use store::{Store, Tenant};
use token::{TransportKey, VerifyingKey};
use tokio::sync::watch;

use crate::{
    admin, agent, alert, attestation,
    authorities::Opened,
    challenge,
    clock::Clock,
    config, device,
    device_proof::Shown,
    discover,
    factors::security_key::SecurityKeys,
    feed, graph,
    hashing::Hashing,
    health, key, keys,
    known::Known,
    lease, lockout,
    master::MasterKey,
    metrics,
    metrics::Metrics,
    nonce::Nonces,
    oauth, pages, policies, recovery,
    recovery_key::RecoveryKey,
    renewal,
    routing::Paths,
    scim,
    sign_in_log::{SignInLog, SignInRows},
    signin,
    tokens::KnownKeys,
    user_join, work,
};

/// The tenant's keys, opened.
pub struct Keyring {
    pub(crate) master: MasterKey,
    pub(crate) nonces: Nonces,
    pub(crate) recovery: RecoveryKey,
}

/// The server without its sockets.
pub struct App {
    pub(crate) store: Store,
    pub(crate) tenant: Tenant,
    pub(crate) url: String,
    pub(crate) keyring: Keyring,
    pub(crate) opened_authorities: Opened,
    pub(crate) known_keys: KnownKeys,
    pub(crate) known_certificates: Known<Shown>,
    pub(crate) known_user_keys: Known<VerifyingKey>,
    pub(crate) known_transport_keys: Known<TransportKey>,
    pub(crate) work: work::Desk,
    /// Changes with each approval that is asked for or answered here.
    pub(crate) approvals: watch::Sender<u64>,
    pub(crate) policies: policies::Known,
    /// None where the server's URL has an address for its host.
    pub(crate) security_keys: Option<SecurityKeys>,
    pub(crate) hashing: Hashing,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sign_ins: SignInLog,
    pub(crate) clock: Clock,
    /// What agents are told.
    pub(crate) allowed_sync_cycle_interval_s: u32,
}

/// The name under which a secret of a tenant is sealed.
pub(crate) fn sealed_name(tenant: &Tenant, name: &str) -> String {
    format!("{}/{name}", tenant.id)
}

impl App {
    /// Opens the tenant's keys. What comes with it is to be written into the sign-in log.
    pub(crate) async fn open(
        store: Store,
        url: String,
        master: MasterKey,
        clock: Clock,
    ) -> anyhow::Result<(Self, SignInRows)> {
        let tenant = store
            .tenant()
            .await?
            .context("the store is empty: `latchkey-server init` did not come to its end")?;
        let keyring = Keyring {
            nonces: Nonces::new(&master.derive("nonce")),
            recovery: RecoveryKey::open(&store, &tenant, &master, &clock).await?,
            master,
        };
        let (sign_ins, rows) = SignInLog::new();
        let app = Self {
            policies: policies::Known::of(&store),
            store,
            tenant,
            keyring,
            opened_authorities: Opened::default(),
            known_keys: KnownKeys::default(),
            known_certificates: Known::default(),
            known_user_keys: Known::default(),
            known_transport_keys: Known::default(),
            work: work::Desk::default(),
            approvals: watch::Sender::new(0),
            security_keys: SecurityKeys::of_url(&url),
            url,
            hashing: Hashing::default(),
            metrics: Arc::default(),
            sign_ins,
            clock,
            allowed_sync_cycle_interval_s: config::SYNC_CYCLE_S,
        };
        Ok((app, rows))
    }

    /// Whether a principal is in one of `groups`, directly or through groups.
    pub(crate) async fn is_in_any(
        &self,
        principal: Guid,
        groups: &[Guid],
    ) -> Result<bool, store::Error> {
        for group in groups {
            if self
                .store
                .is_member(self.tenant.id, principal, *group)
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Every path of the public interface.
pub(crate) fn paths(app: &Arc<App>) -> Paths {
    Paths::new()
        .route("/{tenant}/Discover", get(discover::discover))
        .route(
            "/{tenant}/oauth2/v2.0/challenge",
            post(challenge::challenge),
        )
        .route(
            "/EnrollmentServer/device/{id}",
            put(device::join).delete(device::leave),
        )
        .route(api::join::JOIN_PATH, post(user_join::join))
        .route("/EnrollmentServer/nonce/{tenant}/", get(discover::nonce))
        .route(api::join::CERTIFICATE_PATH, post(renewal::renew))
        .route(
            api::attestation::ATTESTATION_PATH,
            get(attestation::status).put(attestation::answer),
        )
        .route(
            api::lockout::LOCKOUT_PATH,
            put(lockout::put).post(lockout::take),
        )
        .route(api::recovery::LIMIT_PATH, post(recovery::limit))
        .route(&api::recovery::recovery_path("{kid}"), post(recovery::step))
        .route(api::device::KEY_PATH, post(key::register))
        .route(api::device::KEYS_PATH, get(keys::list))
        .route(
            &format!("{}/{{kid}}", api::device::KEYS_PATH),
            get(keys::status).delete(keys::delete),
        )
        .route(api::agent::ENROLL_PATH, post(agent::enroll))
        .route(api::agent::LEASE_PATH, post(lease::lease))
        .route(api::agent::KEY_PATH, post(agent::renew))
        .route(api::agent::CHANGES_PATH, get(feed::changes))
        .route(api::agent::KEYS_PATH, get(feed::confirmed))
        .route(api::agent::STATUS_PATH, post(feed::status))
        .route(api::agent::ALERTS_PATH, post(alert::take))
        .route(api::agent::WORK_PATH, get(work::lease))
        .route(
            &format!("{}/{{id}}", api::agent::WORK_PATH),
            post(work::answer),
        )
        .merge(policies::routes())
        .merge(scim::routes())
        .merge(oauth::routes())
        .merge(signin::routes())
        .merge(pages::routes())
        .merge(admin::remote(app))
        .merge(graph::remote(app))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .behind(|router| router.layer(from_fn_with_state(Arc::clone(app), metrics::counted)))
}
