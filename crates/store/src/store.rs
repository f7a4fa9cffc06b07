//! The store: a door to one of two databases, and how a piece of work goes through it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use model::{Guid, UnixTime};
use tokio::sync::watch;

use crate::{
    AskedByKey, Audit, Error, KeySignIn, PostgresAddress, Result, audit,
    postgres::Postgres,
    prt,
    sql::Sql,
    sqlite::{Sqlite, backup},
    together::Together,
};

/// Everything that the server may ask of what it remembers. Clones share one database.
#[derive(Clone)]
pub struct Store {
    pub(crate) door: Door,
    swept: Arc<AtomicI64>,
    pub(crate) issues: Together<prt::Issue, bool>,
    pub(crate) key_sign_ins: Together<(Guid, AskedByKey), KeySignIn>,
}

#[derive(Clone)]
pub(crate) enum Door {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// What a write touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Touches {
    /// Rows that nobody else's write depends on the order of.
    Rows,
    /// The same, and who is in which group: whoever waits for policies is woken.
    Groups,
    /// Rows of a log too: whoever reads on behind the newest one has missed none.
    Logs,
    /// Those, and keys, their feed, or who may go on: whoever waits for any of it is woken.
    Keys,
    /// Those, and policies, or whom they reach: whoever waits at all is woken.
    Policies,
}

impl Touches {
    /// Whether readers must find what it touches in the order of its commits.
    pub(crate) fn is_in_order(self) -> bool {
        !matches!(self, Self::Rows | Self::Groups)
    }
}

/// An answer that tells whether something was changed: then the audit log gets its row.
pub(crate) trait Outcome {
    fn is_change(&self) -> bool;
}

impl Outcome for () {
    fn is_change(&self) -> bool {
        true
    }
}

impl Outcome for bool {
    fn is_change(&self) -> bool {
        *self
    }
}

impl Store {
    /// Opens a SQLite file, makes it where it is missing, and brings its schema up to date.
    pub fn open_sqlite(path: &Path) -> Result<Self> {
        Ok(Self::behind(Door::Sqlite(Sqlite::open(path)?)))
    }

    /// Opens a PostgreSQL database, which several servers may share, and brings its schema up to
    /// date.
    pub async fn open_postgres(address: &PostgresAddress) -> Result<Self> {
        Ok(Self::behind(Door::Postgres(Postgres::open(address).await?)))
    }

    fn behind(door: Door) -> Self {
        Self {
            door,
            swept: Arc::new(AtomicI64::new(i64::MIN)),
            issues: Together::default(),
            key_sign_ins: Together::default(),
        }
    }

    /// Runs `work` on what was committed last.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.read(work).await,
            Door::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// Reads a row or two by their key. SQLite does that on the spot: it takes less time than to have
    /// another thread do it, and less than the signature that it is looked up for.
    pub(crate) async fn look_up<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.look_up(work),
            Door::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// Runs `work` as one commit, and answers after it. It may be run again where it lost a race,
    /// so that it keeps nothing of a run but its answer.
    pub(crate) async fn write<T, F>(&self, touches: Touches, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.write(touches, work).await,
            Door::Postgres(postgres) => postgres.write(touches, work).await,
        }
    }

    /// A write that is audited if it changes anything.
    pub(crate) async fn audited<T, F>(&self, tenant: Guid, row: Audit, work: F) -> Result<T>
    where
        T: Outcome + Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        self.audited_as(Touches::Logs, tenant, row, work).await
    }

    /// The same, of a write that touches keys.
    pub(crate) async fn audited_keys<T, F>(&self, tenant: Guid, row: Audit, work: F) -> Result<T>
    where
        T: Outcome + Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        self.audited_as(Touches::Keys, tenant, row, work).await
    }

    /// The same, of a write that touches policies, or whom they reach.
    pub(crate) async fn audited_policies<T, F>(
        &self,
        tenant: Guid,
        row: Audit,
        work: F,
    ) -> Result<T>
    where
        T: Outcome + Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        self.audited_as(Touches::Policies, tenant, row, work).await
    }

    async fn audited_as<T, F>(
        &self,
        touches: Touches,
        tenant: Guid,
        row: Audit,
        work: F,
    ) -> Result<T>
    where
        T: Outcome + Send + 'static,
        F: Fn(&dyn Sql) -> Result<T> + Send + 'static,
    {
        let work = move |db: &dyn Sql| {
            let answer = work(db)?;
            if answer.is_change() {
                audit::append(db, tenant, &row)?;
            }
            Ok(answer)
        };
        self.write(touches, work).await
    }

    /// Forgets what has expired, at most once a minute: whoever begins something that expires pays
    /// for it, so that nothing piles up where no clock runs.
    pub(crate) async fn sweep(&self, now: UnixTime) -> Result<()> {
        let last = self.swept.load(Ordering::Relaxed);
        if now.0 < last.saturating_add(SWEEP_S) && last <= now.0 {
            return Ok(());
        }
        self.swept.store(now.0, Ordering::Relaxed);
        let work = move |db: &dyn Sql| {
            for (table, column, age_s) in EXPIRING {
                let sql = format!("DELETE FROM {table} WHERE {column} <= ?1");
                db.execute(&sql, &[crate::sql::Arg::value(&now.plus(-age_s))])?;
            }
            Ok(())
        };
        self.write(Touches::Rows, work).await
    }

    /// Writes what was committed last to a file that is not there yet.
    pub async fn back_up(&self, to: &Path) -> Result<()> {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.back_up(to.to_owned()).await,
            Door::Postgres(_) => Err(Error::PostgresCopies),
        }
    }

    /// Puts such a copy in the place of a SQLite file that is not there any more, while no server
    /// runs.
    pub fn restore_sqlite(from: &Path, to: &Path) -> Result<()> {
        backup::restore(from, to)
    }

    /// Whether a SQLite file is a store that this release can read, or bring up to date; nothing is
    /// changed. The further host names in it.
    pub fn check_sqlite(path: &Path) -> Result<Vec<String>> {
        backup::check(path)
    }

    /// Changes with each commit that touched a key, the feed, or whether somebody may go on.
    pub fn watch_keys(&self) -> watch::Receiver<u64> {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.news().keys(),
            Door::Postgres(postgres) => postgres.news().keys(),
        }
    }

    /// Changes with each commit that may have changed what policies come to for somebody: policies,
    /// who is in which group, which devices may go on.
    pub fn watch_policies(&self) -> watch::Receiver<u64> {
        match &self.door {
            Door::Sqlite(sqlite) => sqlite.news().policies(),
            Door::Postgres(postgres) => postgres.news().policies(),
        }
    }
}

/// How often what has expired is forgotten.
const SWEEP_S: i64 = 60;

/// Tables whose rows are worth nothing so many seconds after a time in them.
const EXPIRING: [(&str, &str, i64); 12] = [
    ("enrollment_codes", "expires", 0),
    ("spent_statements", "expires", 0),
    // Longer than any window: names that nobody has must not pile up.
    ("tries", "at", 86_400),
    ("attempts", "expires", 0),
    ("codes", "expires", 0),
    ("sessions", "expires", 0),
    ("approvals", "expires", 0),
    ("device_codes", "expires", 0),
    ("refresh_tokens", "expires", 0),
    ("refresh_families", "expires", 0),
    ("prts", "expires", 0),
    ("sources", "expires", 0),
];
