//! What holds for PostgreSQL alone: several servers, lost connections, TLS, its schema.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use model::Secret;
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, SubjectAlternativeName},
    },
};
use store::{ChangeOp, Error, PostgresAddress, Store};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    File, NOW, audit,
    cluster::{Cluster, Database, eventually},
    domain, filled, guid,
    keys::{new_key, register},
    people::{apply, group},
    tenant,
};

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_begin_together_make_the_tables_once() {
    let database = Database::empty().await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let address = database.address();
        tasks.spawn(async move { Store::open_postgres(&address).await.map(|_| ()) });
    }
    for opened in tasks.join_all().await {
        opened.unwrap();
    }
    let client = database.connect().await;
    let rows = client.query("SELECT version FROM schema_version", &[]);
    let versions: Vec<i64> = rows.await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(versions, [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_release_is_refused() {
    let database = Database::new().await;
    let client = database.connect().await;
    let newer = client.batch_execute("UPDATE schema_version SET version = 1000");
    newer.await.unwrap();
    let refused = Store::open_postgres(&database.address()).await.err();
    assert!(
        matches!(refused, Some(Error::Newer { found: 1000, .. })),
        "{refused:?}"
    );
}

/// Tables with their columns, whether each may be missing, and its kind; and indexes.
type Schema = BTreeSet<(String, String, bool, String)>;

fn sqlite_schema() -> Schema {
    let file = File::new();
    drop(file.open());
    let connection = rusqlite::Connection::open(&file.0).unwrap();
    let sql = "SELECT m.name, c.name, c.\"notnull\" = 0 AND c.pk = 0, c.type
         FROM sqlite_master m, pragma_table_info(m.name) c
         WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%'
         UNION ALL
         SELECT m.tbl_name, m.name, 0, 'index ' || i.origin FROM sqlite_master m
         JOIN pragma_index_list(m.tbl_name) i ON i.name = m.name
         WHERE m.type = 'index' AND m.sql IS NOT NULL";
    let mut query = connection.prepare(sql).unwrap();
    let rows = query.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

async fn postgres_schema() -> Schema {
    let client = Database::new().await.connect().await;
    let sql = "SELECT table_name::text, column_name::text, is_nullable = 'YES',
             CASE data_type WHEN 'text' THEN 'TEXT' WHEN 'bigint' THEN 'INTEGER'
               WHEN 'bytea' THEN 'BLOB' ELSE data_type::text END
         FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name <> 'schema_version'
         UNION ALL
         SELECT tablename::text, indexname::text, false, 'index c' FROM pg_indexes
         WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey'";
    let rows = client.query(sql, &[]).await.unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_databases_have_the_same_tables() {
    let (sqlite, postgres) = (sqlite_schema(), postgres_schema().await);
    assert!(sqlite.len() > 200);
    let differing: Vec<_> = sqlite.symmetric_difference(&postgres).collect();
    assert_eq!(differing, Vec::<&(String, String, bool, String)>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_compare_by_their_bytes_whatever_the_database_was_made_with() {
    let client = Database::new().await.connect().await;
    let by_default = client.query_one("SELECT 'Z' < 'a'", &[]).await.unwrap();
    assert!(!by_default.get::<_, bool>(0), "the test means nothing");
    let sql = "SELECT table_name::text || '.' || column_name FROM information_schema.columns
         WHERE table_schema = 'public' AND data_type = 'text'
           AND collation_name IS DISTINCT FROM 'C'";
    let rows = client.query(sql, &[]).await.unwrap();
    let other: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(other, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_one_server_wakes_those_who_wait_at_another() {
    let database = Database::new().await;
    let one = filled(database.open().await).await;
    let other = database.open().await;
    let mut news = other.watch_keys();
    news.mark_unchanged();
    register(&one, new_key(50, 11, 31, 1, "e")).await;
    let told = timeout(Duration::from_secs(60), news.changed());
    told.await.unwrap().unwrap();
    let mut news = other.watch_policies();
    for change in [group(21, &[11]), group(21, &[])] {
        news.mark_unchanged();
        apply(&one, vec![change]).await;
        let told = timeout(Duration::from_secs(60), news.changed());
        told.await.unwrap().unwrap();
    }
    assert_eq!(
        other
            .changes(tenant(), domain(), 0, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_feed_on_misses_nothing_that_servers_write_side_by_side() {
    const WRITERS: u8 = 4;
    const KEYS: u8 = 20;
    let database = Database::new().await;
    let reader = filled(database.open().await).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = database.open().await;
        writers.spawn(async move {
            for n in 0..KEYS {
                let byte = 50 + writer * KEYS + n;
                register(&store, new_key(byte, byte, 31, byte, "e")).await;
            }
        });
    }
    let written = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&written);
    let wait = tokio::spawn(async move {
        writers.join_all().await;
        done.store(true, Ordering::SeqCst);
    });
    let (mut after, mut seen) = (0, BTreeSet::new());
    loop {
        let is_last = written.load(Ordering::SeqCst);
        let page = reader.changes(tenant(), domain(), after, 7).await.unwrap();
        if page.is_empty() && is_last {
            break;
        }
        for change in page {
            assert_eq!(change.op, ChangeOp::Add);
            after = change.seq;
            seen.insert(change.key.kid);
        }
    }
    wait.await.unwrap();
    let all: BTreeSet<_> = (50..50 + WRITERS * KEYS).map(guid).collect();
    assert_eq!(seen, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_connection_was_cut_is_begun_again() {
    let database = Database::new().await;
    let store = filled(database.open().await).await;
    let client = database.connect().await;
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE application_name = 'latchkey-server' AND datname = current_database()";
    for round in 0..5 {
        client.query(cut, &[]).await.unwrap();
        let row = store::Audit {
            subject: format!("round {round}"),
            ..audit("cut")
        };
        store.add_audit(tenant(), row).await.unwrap();
        assert!(store.tenant().await.unwrap().is_some());
    }
    let rows = store.audit_rows(tenant(), 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.action == "cut").count(), 5);
    // Whoever waits is told of another server's commits again.
    let other = database.open().await;
    let is_told = async || {
        let mut news = store.watch_keys();
        news.mark_unchanged();
        let touched = other.store_results(tenant(), domain(), Vec::new(), 0);
        touched.await.unwrap();
        let told = timeout(Duration::from_secs(2), news.changed()).await;
        told.map_err(|_| "nobody was told")
    };
    eventually(is_told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_all_want_the_same_row_come_to_their_end() {
    let database = Database::new().await;
    let servers = [filled(database.open().await).await, database.open().await];
    let mut tasks = JoinSet::new();
    for n in 0..200_u8 {
        let store = servers[usize::from(n % 2)].clone();
        tasks.spawn(async move {
            let limit = store::Limit {
                tries: 50,
                window_s: 600,
                pause_s: 60,
            };
            let verdict = store.begin_try(tenant(), "password", "alice", NOW, limit);
            verdict.await.unwrap() == store::Verdict::Go
        });
    }
    let verdicts = tasks.join_all().await;
    assert_eq!(verdicts.into_iter().filter(|went| *went).count(), 50);
}

/// A certificate of an authority for `localhost`, and the authority's.
fn certificates() -> (X509, PKey<Private>, X509) {
    let make = |name: &str, issuer: Option<(&X509, &PKey<Private>)>| {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut subject = X509NameBuilder::new().unwrap();
        subject.append_entry_by_text("CN", name).unwrap();
        let subject = subject.build();
        let mut made = X509::builder().unwrap();
        made.set_version(2).unwrap();
        let serial = BigNum::from_u32(1 + u32::from(issuer.is_some())).unwrap();
        made.set_serial_number(&serial.to_asn1_integer().unwrap())
            .unwrap();
        made.set_subject_name(&subject).unwrap();
        let from = issuer.map_or(&*subject, |(issuer, _)| issuer.subject_name());
        made.set_issuer_name(from).unwrap();
        made.set_pubkey(&key).unwrap();
        let (begins, ends) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
        made.set_not_before(&begins.unwrap()).unwrap();
        made.set_not_after(&ends.unwrap()).unwrap();
        let extension = match issuer {
            None => BasicConstraints::new().critical().ca().build().unwrap(),
            Some((issuer, _)) => SubjectAlternativeName::new()
                .dns("localhost")
                .build(&made.x509v3_context(Some(issuer), None))
                .unwrap(),
        };
        made.append_extension(extension).unwrap();
        let signer = issuer.map_or(&key, |(_, key)| key);
        made.sign(signer, MessageDigest::sha256()).unwrap();
        (made.build(), key)
    };
    let (authority, authority_key) = make("authority", None);
    let (certificate, key) = make("localhost", Some((&authority, &authority_key)));
    (certificate, key, authority)
}

/// Writes a file that PostgreSQL's user may read and nobody else.
fn write_for(cluster: &std::path::Path, name: &str, pem: &[u8]) -> PathBuf {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    let path = cluster.join(name);
    std::fs::write(&path, pem).unwrap();
    let owner = std::fs::metadata(cluster).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_reached_over_tls_that_it_proves_itself_by() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let settings = [
        "listen_addresses = '127.0.0.1'".to_owned(),
        format!("port = {port}"),
    ];
    let cluster = Cluster::start(&settings.each_ref().map(String::as_str));
    let address = |host: &str, authorities: Option<&PathBuf>| PostgresAddress {
        url: format!("host={host} hostaddr=127.0.0.1 port={port} user=postgres sslmode=disable"),
        password: None,
        authorities: authorities.cloned(),
        connections: 1,
    };
    let (certificate, key, authority) = certificates();
    let folder = &cluster.folder;
    let authority = write_for(folder, "authority.pem", &authority.to_pem().unwrap());
    let certificate = write_for(folder, "server.pem", &certificate.to_pem().unwrap());
    let key = write_for(folder, "key.pem", &key.private_key_to_pem_pkcs8().unwrap());
    let client = cluster.connect_at(port).await;
    let open = async |host: &str, authorities: Option<&PathBuf>| {
        Store::open_postgres(&address(host, authorities)).await
    };
    let plain = open("localhost", Some(&authority)).await.err().unwrap();
    assert!(format!("{plain:?}").contains("TLS"), "{plain:?}");
    for setting in [
        format!("ssl_cert_file = '{}'", certificate.display()),
        format!("ssl_key_file = '{}'", key.display()),
        "ssl = on".to_owned(),
    ] {
        let sql = format!("ALTER SYSTEM SET {setting}");
        client.batch_execute(&sql).await.unwrap();
    }
    drop(client);
    cluster.restart();
    let client = cluster.connect_at(port).await;
    let store = open("localhost", Some(&authority)).await.unwrap();
    assert_eq!(store.tenant().await.unwrap(), None);
    let sql = "SELECT count(*) FROM pg_stat_ssl WHERE ssl";
    let encrypted: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    assert!(encrypted >= 2, "{encrypted}");
    assert!(open("localhost", None).await.is_err(), "of no authority");
    assert!(
        open("other.example", Some(&authority)).await.is_err(),
        "of another host"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_proved_where_the_database_asks_for_one() {
    let cluster = Cluster::start(&[]);
    let client = cluster.connect_at(5432).await;
    let made = "CREATE ROLE keeper LOGIN PASSWORD 'right'; CREATE DATABASE kept OWNER keeper";
    for statement in made.split("; ") {
        client.batch_execute(statement).await.unwrap();
    }
    let rules = "local all postgres trust\nlocal all all scram-sha-256\n";
    std::fs::write(cluster.folder.join("data/pg_hba.conf"), rules).unwrap();
    drop(client);
    cluster.restart();
    let open = async |password: Option<&str>| {
        let address = PostgresAddress {
            url: format!("host={} user=keeper dbname=kept", cluster.folder.display()),
            password: password.map(|text| Secret::new(text.to_owned())),
            authorities: None,
            connections: 1,
        };
        Store::open_postgres(&address).await
    };
    for wrong in [Some("wrong"), None] {
        assert!(open(wrong).await.is_err(), "{wrong:?}");
    }
    let store = open(Some("right")).await.unwrap();
    assert_eq!(store.tenant().await.unwrap(), None);
}

#[tokio::test]
async fn an_address_that_names_no_place_two_kinds_or_a_password_is_refused() {
    for url in [
        "dbname=latchkey",
        "host=/run/postgresql,db.example",
        "host=/run/postgresql password=secret",
    ] {
        let address = PostgresAddress {
            url: url.to_owned(),
            password: None,
            authorities: None,
            connections: 1,
        };
        let refused = Store::open_postgres(&address).await.err();
        assert!(matches!(refused, Some(Error::Address(_))), "{refused:?}");
    }
}
