//! This machine: its name, its realm, and the directory by the ticket of whoever calls.

use std::{fs, future::Future};

use anyhow::Context;
use directory::Directory;

use super::arguments::Where;

const KERBEROS: &str = "/etc/krb5.conf";

/// Connects to the directory and does `work` with it.
pub(crate) fn with_directory<T, F: Future<Output = anyhow::Result<T>>>(
    place: &Where,
    work: impl FnOnce(Directory) -> F,
) -> anyhow::Result<T> {
    let realm = match &place.realm {
        Some(realm) => realm.clone(),
        None => default_realm(&fs::read_to_string(KERBEROS).context(KERBEROS)?)
            .context("/etc/krb5.conf names no default_realm; name the realm with --realm")?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let directory = Directory::connect(&realm, place.server.as_deref()).await?;
        work(directory).await
    })
}

/// What this machine is called.
pub(crate) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

fn default_realm(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "default_realm").then(|| value.trim().to_owned())
    })
}
