//! The sign-in log: one row for each request in which somebody tried to get in, with what became of it.
//!
//! Handlers say what they come to know (`note`) while a request is worked on; the row is made when its
//! answer is, so that no way out of a handler is without one. Rows are written together, a moment after
//! the answers: a crash takes the last of them with it. They go when they are as old as `server.toml`
//! says; rows of the audit log never do.

use std::{cell::RefCell, time::Duration};

use axum::response::Response;
use model::Guid;
use store::{SignIn, Store};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{app::App, clock::Clock, error::request_id, source};

/// Rows that may wait; beyond it requests wait for the log.
const QUEUE: usize = 4096;

/// The most rows that are written together.
const BATCH: usize = 512;

/// How long rows are gathered where several came at once: a flush costs more than all of them.
const GATHER: Duration = Duration::from_millis(200);

/// How often old rows are taken out.
const PRUNE: Duration = Duration::from_secs(60 * 60);

/// Old rows that are taken out together.
const PIECE: u32 = 1000;

const DAY_MS: i64 = 86_400_000;

/// The longest of each text that is kept.
const MAX_TEXT: usize = 256;

/// The number of a failure of the server itself.
const FAILED: u32 = 90000;

tokio::task_local! {
    static NOTE: RefCell<Option<SignIn>>;
}

/// Where rows go.
pub(crate) struct SignInLog(mpsc::Sender<SignIn>);

/// Says something about the sign-in that the request at hand is, which it is from then on.
pub(crate) fn note(change: impl FnOnce(&mut SignIn)) {
    let _ = NOTE.try_with(|note| {
        let mut note = note.borrow_mut();
        change(note.get_or_insert_with(nothing));
    });
}

/// Says something about it if it is one.
pub(crate) fn note_of(change: impl FnOnce(&mut SignIn)) {
    let _ = NOTE.try_with(|note| {
        if let Some(note) = note.borrow_mut().as_mut() {
            change(note);
        }
    });
}

fn nothing() -> SignIn {
    SignIn {
        at_ms: 0,
        user: None,
        name: String::new(),
        client: String::new(),
        resource: String::new(),
        device: None,
        ip: String::new(),
        stage: String::new(),
        result: 0,
        request: String::new(),
    }
}

/// Says who it was and where, where both are known.
pub(crate) fn note_who(user: Guid, device: Option<Guid>) {
    note_of(|row| {
        row.user = Some(user);
        row.device = device.or(row.device);
    });
}

/// What comes out of the log's other end.
pub(crate) struct SignInRows(mpsc::Receiver<SignIn>);

impl SignInLog {
    pub(crate) fn new() -> (Self, SignInRows) {
        let (sender, rows) = mpsc::channel(QUEUE);
        (Self(sender), SignInRows(rows))
    }
}

impl SignInRows {
    /// Writes rows until nobody is left to make any, and takes out old ones: at the beginning, and
    /// every hour.
    pub(crate) async fn write(mut self, log: Kept) {
        let mut rows = Vec::new();
        let mut prunes = interval(PRUNE);
        prunes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        prunes.tick().await;
        loop {
            if log.prune().await {
                prunes.reset_immediately();
            }
            // Whoever signs in does not wait until all that is old has gone.
            while tokio::select! {
                // Also while rows come faster than they are written.
                biased;
                _ = prunes.tick() => false,
                count = self.0.recv_many(&mut rows, BATCH) => match count {
                    0 => return,
                    _ => true,
                },
            } {
                let is_crowded = rows.len() > 1;
                log.write(std::mem::take(&mut rows)).await;
                if is_crowded {
                    sleep(GATHER).await;
                }
            }
        }
    }
}

/// The log as it is kept.
pub(crate) struct Kept {
    pub(crate) store: Store,
    pub(crate) tenant: Guid,
    pub(crate) clock: Clock,
    /// Days that a row is kept; 0 is for ever.
    pub(crate) days: u32,
}

impl Kept {
    async fn write(&self, rows: Vec<SignIn>) {
        if let Err(error) = self.store.log_sign_ins(self.tenant, rows).await {
            tracing::error!(code = "sign_in_log", %error, "rows of the log are lost");
        }
    }

    /// Takes some old rows out; whether there may be more.
    async fn prune(&self) -> bool {
        if self.days == 0 {
            return false;
        }
        let before = self.clock.now_ms() - i64::from(self.days) * DAY_MS;
        let pruned = self.store.prune_sign_ins(self.tenant, before, PIECE).await;
        pruned.map_or_else(
            |error| {
                tracing::error!(code = "sign_in_log", %error, "old rows of the log stay");
                false
            },
            |count| count == u64::from(PIECE),
        )
    }
}

/// Keeps what is noted while a request is worked on.
pub(crate) async fn kept(app: &App, answer: impl Future<Output = Response>) -> Response {
    let work = async {
        let response = answer.await;
        let note = NOTE.try_with(|note| note.borrow_mut().take());
        (response, note.ok().flatten())
    };
    let (response, note) = NOTE.scope(RefCell::new(None), work).await;
    let Some(mut row) = note else {
        return response;
    };
    row.at_ms = app.clock.now_ms();
    row.ip = source::address().map_or_else(String::new, |address| address.to_string());
    row.request = request_id();
    if row.result == 0 && response.status().is_server_error() {
        row.result = FAILED;
    }
    for text in [
        &mut row.name,
        &mut row.client,
        &mut row.resource,
        &mut row.stage,
    ] {
        let end = text.floor_char_boundary(MAX_TEXT);
        text.truncate(end);
    }
    // A log that has ended ends with the server.
    let _ = app.sign_ins.0.send(row).await;
    response
}
