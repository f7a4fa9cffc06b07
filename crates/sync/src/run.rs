//! The agent at work: three loops until it is told to stop.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use client::{Agent, AgentIdentity, Client};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

use crate::{
    checks::Checks,
    config::Config,
    door::{Door, Tickets},
    import::Import,
    keys::Keys,
    state::Folder,
    work::Labour,
};

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let folder = Folder::open(&config.state)?;
    folder.sweep()?;
    let (enrolled, key) = folder.enrolled()?;
    if let Some(server) = config
        .server
        .as_ref()
        .filter(|server| **server != enrolled.server)
    {
        bail!(
            "the configuration names the server {server}, but the agent is enrolled with {}; \
             enroll again",
            enrolled.server
        );
    }
    let client = Client::new(&enrolled.server, &enrolled.anchor()?)?;
    let identity = AgentIdentity {
        agent: enrolled.agent,
        tenant: enrolled.tenant,
        key,
    };
    let agent = Arc::new(Agent::new(client, identity));
    let config = Arc::new(config);
    let tickets = Arc::new(Tickets::default());
    // An import of many thousands of accounts must not stand in the way of one key.
    let own_door = Door::new(config.clone(), tickets.clone());
    let door = Arc::new(Door::new(config.clone(), tickets));

    let import = Import::new(config.clone(), own_door, agent.clone(), folder.clone())?;
    let keys = Keys::new(config.clone(), door.clone(), agent.clone(), folder.clone())?;
    let labour = Labour::new(config, door, agent, Checks::new(folder)?);

    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut loops = JoinSet::new();
    loops.spawn(import.run());
    loops.spawn(keys.run());
    loops.spawn(labour.run());
    tracing::info!(agent = %enrolled.agent, server = enrolled.server, "ready");
    tokio::select! {
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
        ended = loops.join_next() => {
            ended.context("no loop")?.context("a loop died")?;
            bail!("a loop ended");
        }
    }
    tracing::info!("stopping");
    Ok(())
}
