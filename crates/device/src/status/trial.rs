//! What only trying tells: whether the device's key signs, the domain answers and names a server, and
//! the server takes the device.

use std::{future::Future, sync::Arc, time::Duration};

use ipc::Tests;
use tokio::time::timeout;

use crate::{Error, daemon::Daemon, error::refused, join::has_its_keys};

/// How long each of them may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn run(daemon: &Arc<Daemon>) -> Tests {
    let joined = daemon.identity.joined().ok();
    let mut tests = Tests::default();
    if let Some((device, _)) = &joined {
        let signs = within(has_its_keys(daemon, device)).await;
        tests.key_sign_test = Some(match signs {
            Ok(true) => "PASSED".to_owned(),
            Ok(false) => "FAILED. The TPM does not have the device's keys any more".to_owned(),
            Err(error) => failed(&error),
        });
        tests.device_auth_status = Some(device_auth(daemon).await);
    }
    let directory = within(daemon.directory()).await;
    tests.ad_connectivity_test = Some(verdict(&directory));
    let Ok(directory) = directory else {
        return tests;
    };
    let named = within(async {
        let point = directory.service_point().await?;
        point.ok_or_else(|| refused("no_scp", "The domain names no Latchkey server."))
    });
    let named = named.await;
    tests.ad_configuration_test = Some(verdict(&named));
    if let Ok(point) = named {
        let anchor = within(async {
            let anchor = client::fetch_anchor(&point.url, &point.fingerprint).await?;
            let client = client::Client::new(&point.url, &anchor)?;
            Ok(client.discover(&point.tenant.to_string()).await?)
        });
        tests.drs_discovery_test = Some(verdict(&anchor.await));
    }
    tests
}

async fn device_auth(daemon: &Daemon) -> String {
    let asked = within(async { daemon.fresh_token(&daemon.server()?).await }).await;
    match asked {
        Ok(_) => "SUCCESS".to_owned(),
        Err(Error::Deleted(_)) => DISABLED_OR_DELETED.to_owned(),
        Err(Error::Server(client::Error::Refused(refusal))) if refusal.code == "50155" => {
            DISABLED_OR_DELETED.to_owned()
        }
        Err(error) => failed(&error),
    }
}

/// In the words of `dsregcmd`.
const DISABLED_OR_DELETED: &str = "FAILED. Device is either disabled or deleted";

async fn within<T>(test: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let silent = || refused("no_answer", "There was no answer within five seconds.");
    timeout(PATIENCE, test)
        .await
        .unwrap_or_else(|_| Err(silent()))
}

fn verdict<T>(outcome: &Result<T, Error>) -> String {
    match outcome {
        Ok(_) => "PASS".to_owned(),
        Err(error) => {
            let failure = error.failure();
            format!("FAIL [{}]: {}", failure.code, failure.sentence)
        }
    }
}

fn failed(error: &Error) -> String {
    format!("FAILED. ERROR: {}", error.failure().sentence)
}
