//! Commits that other servers made, as PostgreSQL's notifications tell of them.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle};
use tokio_postgres::{AsyncMessage, Client};

use super::{server::Server, session::Session};
use crate::{
    Error, Result,
    sql::{Sql as _, args},
};

/// How long after a connection was lost the next one is tried.
const RETRY: Duration = Duration::from_secs(1);

/// A connection that listens, as long as both are kept.
struct Listening {
    _client: Client,
    ends: JoinHandle<()>,
}

/// Listens from now on; the name that tells this process's own notifications from others'. It ends
/// when nobody watches.
pub(super) async fn start(server: &Server, commits: watch::Sender<u64>) -> Result<Arc<str>> {
    let name = draw_name(server).await?;
    let (server, own) = (server.clone(), Arc::clone(&name));
    let mut listening = listen(&server, &own, &commits).await?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut listening.ends => {}
                () = commits.closed() => break,
            }
            tracing::warn!(
                code = "store_listen",
                "notifications of the database have stopped"
            );
            let Some(next) = listen_again(&server, &own, &commits).await else {
                break;
            };
            listening = next;
            // What was committed meanwhile was not told.
            commits.send_modify(|n| *n += 1);
        }
        listening.ends.abort();
    });
    Ok(name)
}

/// Tells the others; within the transaction, so that they are told after its commit.
pub(super) fn tell(session: &Session, name: &str) -> Result<()> {
    let sql = "SELECT pg_notify('latchkey_keys', ?1)::text AS told";
    session.query(sql, args![name]).map(|_| ())
}

async fn draw_name(server: &Server) -> Result<Arc<str>> {
    let (client, connection) = server.connect().await?;
    let driver = tokio::spawn(connection);
    let sql = "SELECT gen_random_uuid()::text";
    let row = client.query_one(sql, &[]).await.map_err(Error::database);
    driver.abort();
    let name: String = row?.try_get(0).map_err(Error::database)?;
    Ok(name.into())
}

async fn listen(
    server: &Server,
    own: &Arc<str>,
    commits: &watch::Sender<u64>,
) -> Result<Listening> {
    let (client, mut connection) = server.connect().await?;
    let (own, commits) = (Arc::clone(own), commits.clone());
    let ends = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(told) = message
                && told.payload() != &*own
            {
                commits.send_modify(|n| *n += 1);
            }
        }
    });
    let begun = client.batch_execute("LISTEN latchkey_keys").await;
    begun.map_err(Error::database)?;
    Ok(Listening {
        _client: client,
        ends,
    })
}

async fn listen_again(
    server: &Server,
    own: &Arc<str>,
    commits: &watch::Sender<u64>,
) -> Option<Listening> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = commits.closed() => return None,
        }
        if let Ok(listening) = listen(server, own, commits).await {
            return Some(listening);
        }
    }
}
