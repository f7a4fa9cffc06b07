//! That no statement of the contract looks at rows which are not its own: an index leads to every
//! one of them. So a request costs the same with a hundred thousand users as with ten.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::{
    File, factors, filled, keys, leases, lockouts, people, policies, sign_in, tenant, tokens,
};

/// Statements that were run while the recorder was there.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Keeps the statements that the store traces.
struct Recorder;

impl Visit for Recorder {
    fn record_str(&mut self, _: &Field, sql: &str) {
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(sql.to_owned());
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "store::sql"
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Recorder);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What may be looked through, and why.
const SCANNED: [(&str, &str); 4] = [
    ("tenants", "there is one"),
    ("above", "what an index led to"),
    ("a", "the same, by its short name"),
    ("CONSTANT ROW", "no table"),
];

/// Lines of a plan that look at every row of a table, or at every row of the tenant.
fn looks_through(line: &str) -> bool {
    let is_scan = line.starts_with("SCAN ")
        && !SCANNED
            .iter()
            .any(|(name, _)| line == format!("SCAN {name}"));
    // An index or a key that is used for its first column, the tenant, only.
    is_scan || line.ends_with("(tenant=?)")
}

/// Statements that list all of something that is short, or that only an administrator asks.
const LISTS: [&str; 25] = [
    "SELECT * FROM agents WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM domains WHERE tenant = ?1 ORDER BY",
    "SELECT u.* FROM domains d",
    "SELECT * FROM apps WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM audit WHERE tenant = ?1 ORDER BY id DESC LIMIT",
    "SELECT * FROM endorsements WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM tpm_roots WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM role_assignments WHERE tenant = ?1",
    "SELECT * FROM scope_tags WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM signing_keys WHERE tenant = ?1 ORDER BY",
    "SELECT * FROM policies WHERE tenant = ?1 ORDER BY",
    "SELECT count(*) FROM policies WHERE tenant = ?1",
    "SELECT stamp FROM policy_stamps",
    "SELECT * FROM enrollment_configurations WHERE tenant = ?1",
    "SELECT name FROM hosts WHERE tenant = ?1 ORDER BY",
    "SELECT name, value FROM sealed WHERE tenant = ?1",
    "SELECT id FROM sign_ins WHERE tenant = ?1 ORDER BY id",
    "DELETE FROM sign_ins WHERE tenant = ?1 AND id IN",
    "SELECT seq FROM changes WHERE tenant = ?1 ORDER BY seq DESC LIMIT 1",
    "SELECT hash, count FROM audit_ends",
    "SELECT body FROM settings",
    "SELECT count(*) FROM users WHERE tenant = ?1",
    "SELECT count(*) FROM devices WHERE tenant = ?1",
    "SELECT count(*) FROM keys WHERE tenant = ?1",
    "SELECT EXISTS (SELECT 1 FROM tenants)",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_index_leads_to_every_row_that_a_statement_looks_for() {
    tracing::subscriber::set_global_default(Recorder).unwrap();
    let files = Mutex::new(Vec::new());
    let open = async || {
        let file = File::new();
        let store = file.open();
        files.lock().unwrap().push(file);
        filled(store).await
    };
    factors::every_contract(open).await;
    keys::every_contract(open).await;
    leases::every_contract(open).await;
    lockouts::every_contract(open).await;
    people::every_contract(open).await;
    policies::every_contract(open).await;
    sign_in::every_contract(open).await;
    tenant::every_contract(open).await;
    tokens::every_contract(open).await;

    let seen = SEEN.lock().unwrap().clone();
    assert!(seen.len() > 150, "{} statements", seen.len());
    let connection = Connection::open(&files.lock().unwrap()[0].0).unwrap();
    let mut broken = Vec::new();
    for sql in seen {
        if LISTS.iter().any(|list| sql.starts_with(list)) {
            continue;
        }
        let mut plan = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let count = plan.parameter_count();
        let nothing = rusqlite::params_from_iter(vec![rusqlite::types::Null; count]);
        let lines = plan.query_map(nothing, |row| row.get("detail")).unwrap();
        let lines: Vec<String> = lines.map(Result::unwrap).collect();
        if lines.iter().any(|line| looks_through(line)) {
            broken.push(format!("{sql}\n    {}", lines.join("\n    ")));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
