//! The one thread that writes, with group commit: whatever has come in while the last commit was
//! under way goes into the next one together. Where several callers are about, a moment is left for
//! more of them: a flush costs more than all that one of them writes.

use std::{collections::BTreeSet, time::Duration};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::{
    runtime::Runtime,
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{Error, Result, news::News, sql::Sql, store::Touches};

/// The most writes of one commit.
const MAX_BATCH: usize = 256;

/// Writes that may wait; beyond it callers wait to get in.
const QUEUE: usize = 1024;

/// How long a commit waits for more, where the one before had more than one write.
const GATHER: Duration = Duration::from_millis(2);

/// After so long without a write the pages that the last ones needed are given back.
const IDLE: Duration = Duration::from_secs(2);

/// Tells a caller its answer, or that the commit failed.
type Reply = Box<dyn FnOnce(bool) + Send>;

/// One write: runs in a savepoint of its own, so that its failure undoes it alone.
type Job = Box<dyn FnOnce(&mut Transaction<'_>) -> Reply + Send>;

/// The way to the writing thread, which ends when the last of these is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<(Touches, Job)>,
    news: News,
}

impl Writer {
    pub(super) fn start(connection: Connection) -> Result<Self> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let news = News::new();
        let told = news.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|_| Error::Closed)?;
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || drain(&runtime, connection, queue, &told))
            .map_err(|_| Error::Closed)?;
        Ok(Self { jobs, news })
    }

    pub(super) async fn run<T, F>(&self, touches: Touches, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Sql) -> Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let answer = in_savepoint(transaction, work);
            Box::new(move |committed| {
                let answer = if committed || answer.is_err() {
                    answer
                } else {
                    Err(Error::Closed)
                };
                // A caller that has gone away needs no answer.
                let _ = sender.send(answer);
            })
        });
        self.jobs
            .send((touches, job))
            .await
            .map_err(|_| Error::Closed)?;
        receiver.await.map_err(|_| Error::Closed)?
    }

    pub(super) fn news(&self) -> &News {
        &self.news
    }
}

fn in_savepoint<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&dyn Sql) -> Result<T>,
) -> Result<T> {
    let savepoint = transaction.savepoint()?;
    let answer = work(&*savepoint)?;
    savepoint.commit()?;
    Ok(answer)
}

fn drain(
    runtime: &Runtime,
    mut connection: Connection,
    mut queue: mpsc::Receiver<(Touches, Job)>,
    news: &News,
) {
    let (mut jobs, mut is_crowded, mut is_idle) = (Vec::new(), false, true);
    loop {
        let more = queue.recv_many(&mut jobs, MAX_BATCH);
        let came = match is_idle {
            true => Ok(runtime.block_on(more)),
            false => runtime.block_on(async { timeout(IDLE, more).await }),
        };
        is_idle = came.is_err();
        match came {
            Ok(0) => break,
            Ok(_) => {}
            Err(_) => {
                give_back(&connection);
                continue;
            }
        }
        if is_crowded {
            gather();
            while jobs.len() < MAX_BATCH
                && let Ok(job) = queue.try_recv()
            {
                jobs.push(job);
            }
        }
        is_crowded = jobs.len() > 1;
        let touched: BTreeSet<Touches> = jobs.iter().map(|(touches, _)| *touches).collect();
        let (replies, committed) = commit(&mut connection, std::mem::take(&mut jobs));
        if let Err(error) = &committed {
            tracing::error!(code = "store_commit", %error, "a batch of writes was lost");
        }
        if committed.is_ok() {
            touched.into_iter().for_each(|touches| news.tell(touches));
        }
        for reply in replies {
            reply(committed.is_ok());
        }
    }
}

/// The pages of an import are many, and nobody may write for hours after it.
fn give_back(connection: &Connection) {
    if let Err(error) = connection.execute_batch("PRAGMA shrink_memory") {
        tracing::debug!(%error, "the store keeps its pages in memory");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "time itself is what is waited for"
)]
fn gather() {
    std::thread::sleep(GATHER);
}

fn commit(connection: &mut Connection, jobs: Vec<(Touches, Job)>) -> (Vec<Reply>, Result<()>) {
    let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        // The jobs are dropped, and with them the callers' channels: they see a closed store.
        Err(error) => return (Vec::new(), Err(error.into())),
    };
    let replies = jobs
        .into_iter()
        .map(|(_, job)| job(&mut transaction))
        .collect();
    (replies, transaction.commit().map_err(Error::from))
}
