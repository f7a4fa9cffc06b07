//! Commits that other servers made, as PostgreSQL's notifications tell of them.

use std::{future::poll_fn, sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinHandle};
use tokio_postgres::{AsyncMessage, Client};

use super::{server::Server, session::Session};
use crate::{
    Error, Result,
    news::News,
    sql::{Sql as _, args},
    store::Touches,
};

/// How long after a connection was lost the next one is tried.
const RETRY: Duration = Duration::from_secs(1);

/// A connection that listens, as long as both are kept.
struct Listening {
    _client: Client,
    ends: JoinHandle<()>,
}

/// What the listener listens for; it ends with this.
pub(super) type Kept = oneshot::Receiver<()>;

/// The channels of notifications, and what each tells of.
const CHANNELS: [(&str, Touches); 3] = [
    ("latchkey_keys", Touches::Keys),
    ("latchkey_groups", Touches::Groups),
    ("latchkey_policies", Touches::Policies),
];

/// Listens from now on; the name that tells this process's own notifications from others', and what
/// is to be kept.
pub(super) async fn start(server: &Server, news: News) -> Result<(Arc<str>, Kept)> {
    let name = draw_name(server).await?;
    let (server, own) = (server.clone(), Arc::clone(&name));
    let (mut kept, listens) = oneshot::channel();
    let mut listening = listen(&server, &own, &news).await?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut listening.ends => {}
                () = kept.closed() => break,
            }
            tracing::warn!(
                code = "store_listen",
                "notifications of the database have stopped"
            );
            let Some(next) = listen_again(&server, &own, &news, &mut kept).await else {
                break;
            };
            listening = next;
            // What was committed meanwhile was not told.
            news.tell(Touches::Policies);
        }
        listening.ends.abort();
    });
    Ok((name, listens))
}

/// Tells the others; within the transaction, so that they are told after its commit.
pub(super) fn tell(session: &Session, name: &str, touches: Touches) -> Result<()> {
    let Some((channel, _)) = CHANNELS.iter().find(|(_, told)| *told == touches) else {
        return Ok(());
    };
    let sql = "SELECT pg_notify(?1, ?2)::text AS told";
    session.query(sql, args![*channel, name]).map(|_| ())
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

async fn listen(server: &Server, own: &Arc<str>, news: &News) -> Result<Listening> {
    let (client, mut connection) = server.connect().await?;
    let (own, news) = (Arc::clone(own), news.clone());
    let ends = tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if let AsyncMessage::Notification(told) = message
                && told.payload() != &*own
                && let Some((_, touches)) =
                    CHANNELS.iter().find(|(name, _)| *name == told.channel())
            {
                news.tell(*touches);
            }
        }
    });
    for (channel, _) in CHANNELS {
        let begun = client.batch_execute(&format!("LISTEN {channel}")).await;
        begun.map_err(Error::database)?;
    }
    Ok(Listening {
        _client: client,
        ends,
    })
}

async fn listen_again(
    server: &Server,
    own: &Arc<str>,
    news: &News,
    kept: &mut oneshot::Sender<()>,
) -> Option<Listening> {
    loop {
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = kept.closed() => return None,
        }
        if let Ok(listening) = listen(server, own, news).await {
            return Some(listening);
        }
    }
}
