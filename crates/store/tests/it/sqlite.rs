//! What holds for SQLite alone: its file, its versions, its one writer.

use std::os::unix::fs::PermissionsExt;

use model::UnixTime;
use store::{Chain, Error, Spend, Store};

use crate::{File, NOW, audit, filled, first_key, some_tenant, tenant};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_is_there_when_the_file_is_opened_again() {
    let file = File::new();
    drop(filled(file.open()).await);
    assert_eq!(file.open().tenant().await.unwrap(), Some(some_tenant()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_newer_release_is_refused_and_left_alone() {
    let file = File::new();
    drop(filled(file.open()).await);
    let connection = rusqlite::Connection::open(&file.0).unwrap();
    connection
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    let refused = Store::open_sqlite(&file.0).err().unwrap();
    assert!(
        matches!(refused, Error::Newer { found: 1000, .. }),
        "{refused}"
    );
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |r| r.get(0))
        .unwrap();
    assert_eq!(version, 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_may_read_the_file() {
    let file = File::new();
    let _store = filled(file.open()).await;
    for entry in std::fs::read_dir(file.0.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

fn statement(n: u32) -> Spend {
    Spend {
        id: [n as u8; 32],
        until: UnixTime(i64::MAX),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_undoes_itself_and_none_of_its_batch() {
    let file = File::new();
    let store = filled(file.open()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            if n % 2 == 0 {
                let second =
                    store.create_tenant(some_tenant(), Vec::new(), first_key(), audit("lost"));
                assert!(second.await.is_err());
            } else {
                let spent = store.spend(tenant(), statement(n), NOW);
                assert!(spent.await.unwrap());
            }
        });
    }
    tasks.join_all().await;
    let rows = store.audit_rows(tenant(), 1000).await.unwrap();
    assert!(rows.iter().all(|row| row.action != "lost"));
    for n in (1..200).step_by(2) {
        assert!(!store.spend(tenant(), statement(n), NOW).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_changed_taken_out_or_cut_off_breaks_the_chain() {
    for (sql, expected) in [
        (
            "UPDATE audit SET actor = 'nobody' WHERE id = 2",
            Chain::BrokenAt(2),
        ),
        ("DELETE FROM audit WHERE id = 2", Chain::BrokenAt(3)),
        (
            "DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)",
            Chain::CutOff,
        ),
        ("DELETE FROM audit", Chain::CutOff),
    ] {
        let file = File::new();
        let store = filled(file.open()).await;
        let connection = rusqlite::Connection::open(&file.0).unwrap();
        connection.execute(sql, []).unwrap();
        assert_eq!(
            store.check_audit(tenant()).await.unwrap(),
            expected,
            "{sql}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_what_was_committed_and_comes_back_in_an_empty_place() {
    let file = File::new();
    let store = filled(file.open()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move { store.add_audit(tenant(), audit("busy")).await });
    }
    let (copy, back) = (file.beside("copy"), file.beside("back"));
    store.back_up(&copy).await.unwrap();
    let again = store.back_up(&copy).await;
    assert!(matches!(again, Err(Error::File { .. })), "{again:?}");
    tasks.join_all().await;
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0);
    let occupied = Store::restore_sqlite(&copy, &file.0);
    assert!(matches!(occupied, Err(Error::File { .. })), "{occupied:?}");
    Store::restore_sqlite(&copy, &back).unwrap();
    let restored = Store::open_sqlite(&back).unwrap();
    assert_eq!(restored.tenant().await.unwrap(), Some(some_tenant()));
    let chain = restored.check_audit(tenant()).await.unwrap();
    assert!(
        matches!(chain, Chain::Whole(rows) if rows >= 5),
        "{chain:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_store_is_not_put_back() {
    let file = File::new();
    drop(filled(file.open()).await);
    let (copy, back) = (file.beside("copy"), file.beside("back"));
    let refused = |bytes: &[u8]| {
        std::fs::write(&copy, bytes).unwrap();
        assert!(Store::restore_sqlite(&copy, &back).is_err());
        assert!(!back.exists());
    };
    refused(b"");
    refused(b"not a database at all, but a text");
    file.open().back_up(&file.beside("whole")).await.unwrap();
    let whole = std::fs::read(file.beside("whole")).unwrap();
    refused(&whole[..whole.len() / 2]);
    let newer = rusqlite::Connection::open(file.beside("whole")).unwrap();
    newer.pragma_update(None, "user_version", 1000).unwrap();
    let refused = Store::restore_sqlite(&file.beside("whole"), &back);
    assert!(matches!(refused, Err(Error::Newer { .. })), "{refused:?}");
}
