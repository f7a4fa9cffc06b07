//! PostgreSQL: the store that several servers share.
//!
//! A write is a SERIALIZABLE transaction, begun again where it lost a race, so that a piece of work
//! may read and then write as if it were alone: what the one writer of SQLite gives, without having
//! all writes wait for each other. Two things SERIALIZABLE does not give. Whoever reads a log or the
//! feed on behind its newest row must have missed none, and a number drawn earlier may be committed
//! later; and work that keeps losing must come to its end. So there is one advisory lock: writes of
//! rows hold it shared, writes of a log or the feed alone, and so does what has lost three races.
//! It is taken before the transaction begins: within it, the snapshot would be older than the lock.

mod listener;
mod migrate;
mod server;
mod session;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Semaphore;

use crate::{Error, Result, news::News, sql::Sql, store::Touches};
pub use server::PostgresAddress;
use server::Server;
use session::{Hold, Session};

/// How many races a write may lose before it is alone.
const RACES: u32 = 3;

/// How often work is begun in all: alone it loses no race, but maybe its connection.
const ATTEMPTS: u32 = 6;

/// The shared store.
#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Arc<Pool>,
}

/// Connections that wait for the next piece of work.
struct Pool {
    server: Server,
    /// Tells this process's notifications from others'.
    name: Arc<str>,
    idle: Mutex<Vec<Session>>,
    free: Arc<Semaphore>,
    news: News,
    /// As long as it is there the listener listens.
    _listens: listener::Kept,
}

impl Postgres {
    /// Opens the database and brings its schema up to date.
    pub(crate) async fn open(address: &PostgresAddress) -> Result<Self> {
        let server = Server::at(address)?;
        let news = News::new();
        let (name, listens) = listener::start(&server, news.clone()).await?;
        let pool = Pool {
            server,
            name,
            idle: Mutex::new(Vec::new()),
            free: Arc::new(Semaphore::new(address.connections)),
            news,
            _listens: listens,
        };
        let this = Self {
            pool: Arc::new(pool),
        };
        this.with_session(|session| session.transact(Hold::Alone, migrate::run))
            .await?;
        Ok(this)
    }

    /// Runs `work` on what was committed last.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        self.with_session(move |session| work(session)).await
    }

    /// Runs `work` as one commit, and answers after it.
    pub(crate) async fn write<T, F>(&self, touches: Touches, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        let name = Arc::clone(&self.pool.name);
        let runs = AtomicU32::new(0);
        let work = move |session: &Session| {
            let is_late = runs.fetch_add(1, Ordering::Relaxed) >= RACES;
            let hold = if is_late || touches.is_in_order() {
                Hold::Alone
            } else {
                Hold::Shared
            };
            session.transact(hold, |session| {
                let answer = work(session)?;
                listener::tell(session, &name, touches)?;
                Ok(answer)
            })
        };
        let answer = self.with_session(work).await?;
        self.pool.news.tell(touches);
        Ok(answer)
    }

    /// What is committed, whichever server does it.
    pub(crate) fn news(&self) -> &News {
        &self.pool.news
    }

    /// Runs `work` with a connection, on a thread that may wait. It is begun again where it lost a
    /// race, or its connection before a commit was asked for.
    async fn with_session<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&Session) -> Result<T> + Send + 'static,
    {
        let free = Arc::clone(&self.pool.free).acquire_owned().await;
        let free = free.map_err(|_| Error::Closed)?;
        let pool = Arc::clone(&self.pool);
        let done = tokio::task::spawn_blocking(move || {
            let _free = free;
            let mut attempt = 1;
            loop {
                let session = pool.take()?;
                let answer = work(&session);
                let is_again = answer.as_ref().is_err_and(|e| session.may_begin_again(e));
                pool.put_back(session);
                if !is_again || attempt == ATTEMPTS {
                    return answer.map_err(session::named);
                }
                attempt += 1;
            }
        });
        done.await.map_err(|_| Error::Closed)?
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Session> {
        let idle = self.idle().pop();
        idle.map_or_else(|| Session::open(&self.server), Ok)
    }

    /// Where one connection was lost the idle ones are likely to be too, and nobody looks after
    /// them while they are.
    fn put_back(&self, session: Session) {
        let mut idle = self.idle();
        if session.is_usable() {
            idle.push(session);
        } else {
            idle.clear();
        }
    }
}
