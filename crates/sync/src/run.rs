//! The agent at work: its loops until it is told to stop.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use client::{Agent, AgentIdentity, Client};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    checks::Checks,
    config::Config,
    control::{self, Control},
    cycle::{Cycle, Desk},
    door::{Door, Tickets},
    import::Import,
    keys::Keys,
    lease::{self, Asker, Lease},
    metrics::{Counters, Metrics},
    notify,
    pending::Pending,
    state::Folder,
    work::Labour,
};

/// How long the loops have to end.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let folder = Folder::open(&config.state)?;
    let _alone = folder.take()?;
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
    // The service manager makes it; by hand it may be missing.
    std::fs::create_dir_all(&config.runtime)
        .with_context(|| format!("cannot make {}", config.runtime.display()))?;
    let listener = control::listen(&config.runtime)?;
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

    let lease = Arc::new(Lease::new(config.staging));
    let (pending, counters) = (Arc::<Pending>::default(), Arc::<Counters>::default());
    let desk = Arc::new(Desk::open(folder.clone(), config.staging)?);
    let ask = lease::ask(&config.runtime, config.staging)?;
    let writes = (lease.clone(), pending.clone());
    let import = Import::new(
        config.clone(),
        own_door,
        agent.clone(),
        folder.clone(),
        writes.clone(),
    )?;
    let keys = Keys::new(
        config.clone(),
        door.clone(),
        agent.clone(),
        folder.clone(),
        writes,
        counters.clone(),
    )?;
    let checks = Checks::new(folder.clone())?;
    let labour = Labour::new(
        config.clone(),
        door,
        agent.clone(),
        checks,
        counters.clone(),
    );
    let (up, up_turns) = mpsc::channel(1);
    let (down, down_turns) = mpsc::channel(1);
    let cycle = Cycle {
        desk: desk.clone(),
        lease: lease.clone(),
        up,
        down,
        agent: agent.clone(),
        folder: folder.clone(),
    };
    let control = Control {
        desk: desk.clone(),
        lease: lease.clone(),
        pending: pending.clone(),
    };
    let metrics = Metrics {
        counters,
        desk: desk.clone(),
        lease: lease.clone(),
        pending,
        folder: folder.clone(),
    };
    let asker = Asker {
        agent: agent.clone(),
        ask: ask.clone(),
        desk,
        folder,
    };

    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut loops = JoinSet::new();
    loops.spawn(lease.clone().run(asker));
    loops.spawn(import.run(up_turns));
    loops.spawn(keys.run(down_turns));
    loops.spawn(cycle.run());
    loops.spawn(control.run(listener));
    loops.spawn(metrics.run(config.runtime.clone()));
    loops.spawn(notify::keep_alive());
    // Who is in staging answers no passwords either.
    if !config.staging {
        loops.spawn(labour.run());
    }
    notify::tell("READY=1");
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
    notify::tell("STOPPING=1");
    // One that waits for a domain controller is not waited for.
    if tokio::time::timeout(PATIENCE, loops.shutdown())
        .await
        .is_ok()
    {
        lease.give_back(&agent, ask).await;
    }
    Ok(())
}
