//! A file of version 1 is opened as if it had always been one of this release.

use model::sha256;
use rusqlite::Connection;
use store::{
    AttestationLevel, Chain, ChangeOp, GroupKind, KeyState, SealedName, Settings, SigningKey,
    TransportKey, UserKind,
};

use crate::{File, NOW, audit, domain, guid, sid, tenant};

/// Rows as the first release wrote them.
fn fill(connection: &Connection) {
    let (t, d) = (tenant(), domain());
    let [user, group, device, kid] = [11, 21, 31, 50].map(guid);
    let (user_sid, group_sid) = (sid(1011), sid(1021));
    let rows = format!(
        "PRAGMA user_version = 1;
         INSERT INTO tenants VALUES ('{t}', 'Example', {NOW});
         INSERT INTO administrators VALUES ('{t}', 'admin', 'hash');
         INSERT INTO sealed VALUES ('{t}', 'token-key', x'01'), ('{t}', 'device-ca-key', x'02');
         INSERT INTO settings VALUES ('{t}', '{group}', NULL);
         INSERT INTO domains VALUES ('{t}', '{d}', 'S-1-5-21-1-2-3', 'corp.example', 'CORP', 1);
         INSERT INTO users VALUES ('{t}', '{user}', '{d}', '{user_sid}', 'Ä@corp.example',
           'ä@corp.example', 'Ärmel', 'Name', 'CN=Name', 1);
         INSERT INTO groups VALUES ('{t}', '{group}', '{d}', '{group_sid}', 'Größe', 'CN=Group');
         INSERT INTO members VALUES ('{t}', '{group}', '{user}');
         INSERT INTO devices VALUES ('{t}', '{device}', '{d}', 'WS1', '1', x'aa', x'bb', x'cc',
           NULL, NULL, 1, {NOW});
         INSERT INTO totp VALUES ('{t}', '{user}', x'dd', 7);
         INSERT INTO attempts VALUES ('{t}', x'01', 'c', '{device}', 'a', '{user}', 'r', 'c', 1,
           NULL, {NOW});
         INSERT INTO keys VALUES ('{t}', '{kid}', '{d}', '{user}', '{user_sid}', '{device}', x'ee',
           NULL, 'confirmed', NULL, NULL, 'dc', {NOW}000, {NOW}500);
         INSERT INTO changes (tenant, domain, kid, op, open) VALUES ('{t}', '{d}', '{kid}', 'add', 0);
         INSERT INTO audit (tenant, at, actor, action, subject) VALUES
           ('{t}', {NOW}, 'admin', 'server.init', 'Example'), ('{t}', {NOW}, 'x', 'y', 'z');",
        NOW = NOW.0
    );
    connection.execute_batch(&rows).unwrap();
}

fn file_of_version_1() -> File {
    let file = File::new();
    let connection = Connection::open(&file.0).unwrap();
    let schema = include_str!("../../src/sqlite/schema-1.sql");
    connection.execute_batch(schema).unwrap();
    fill(&connection);
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_devices_are_there_and_found_in_the_new_ways() {
    let file = file_of_version_1();
    let store = file.open();
    let by_sam = store.user_by_sam(tenant(), Some("corp"), "äRMEL").await;
    let user = by_sam.unwrap().unwrap();
    assert_eq!((user.guid, user.tokens_valid_from.0), (guid(11), 0));
    assert!(matches!(user.kind, UserKind::Synced { ref sam, .. } if sam == "Ärmel"));
    let named = store.groups_named(tenant(), "GRÖSSE").await.unwrap();
    assert_eq!(named, [], "ß has no single capital");
    let named = store.groups_named(tenant(), "gRÖße").await.unwrap();
    assert!(matches!(named[0].kind, GroupKind::Synced { .. }));
    assert!(store.is_member(tenant(), guid(11), guid(21)).await.unwrap());
    let device = store.device_by_certificate(tenant(), sha256(&[0xaa])).await;
    let device = device.unwrap().unwrap();
    assert_eq!((device.id, device.join_type), (guid(31), 6));
    assert_eq!(device.transport_key, Some(TransportKey::Rsa1(vec![0xbb])));
    let totp = store.totp(tenant(), guid(11)).await.unwrap().unwrap();
    assert!(totp.confirmed && totp.last_step == 7);
    let attempt = store.attempt(tenant(), [1; 32], NOW).await.unwrap();
    assert_eq!(attempt, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_settings_and_secrets_are_what_they_were() {
    let file = file_of_version_1();
    let store = file.open();
    let key = store.key_by_material(tenant(), sha256(&[0xee])).await;
    let key = key.unwrap().unwrap();
    assert_eq!((key.kid, key.sid), (guid(50), Some(sid(1011))));
    assert_eq!(key.state, KeyState::Confirmed);
    assert_eq!(
        (key.attested.level, key.attested.at),
        (AttestationLevel::None, NOW)
    );
    assert!(
        store
            .delete_key(tenant(), guid(50), audit("delete"))
            .await
            .unwrap()
    );
    let feed = store.changes(tenant(), domain(), 0, 10).await.unwrap();
    assert_eq!((feed[0].op, feed[0].seq), (ChangeOp::Remove, 2));
    let settings = store.settings(tenant()).await.unwrap();
    let expected = Settings {
        register_keys_groups: vec![guid(21)],
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    let first = SigningKey {
        name: "token-key".to_owned(),
        alg: "RS256".to_owned(),
        sealed: vec![1],
        not_before: NOW,
        retires: None,
    };
    assert_eq!(store.signing_keys(tenant()).await.unwrap(), [first]);
    let sealed = store.sealed(tenant(), SealedName::DeviceCaKey).await;
    assert_eq!(sealed.unwrap(), Some(vec![2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_is_a_chain_from_its_first_row_on() {
    let file = file_of_version_1();
    let store = file.open();
    let check = async || store.check_audit(tenant()).await.unwrap();
    assert_eq!(check().await, Chain::Whole(2));
    store.add_audit(tenant(), audit("look")).await.unwrap();
    assert_eq!(check().await, Chain::Whole(3));
}
