//! The contract of the store. Each test takes a store and knows nothing of what is behind it; the
//! macro runs it on every kind there is.
#![cfg(test)]

mod cluster;
mod factors;
mod keys;
mod leases;
mod lockouts;
mod migration;
mod people;
mod plans;
mod policies;
mod postgres;
mod sign_in;
mod sqlite;
mod tenant;
mod tokens;

use std::path::PathBuf;

use model::{Guid, Sid, UnixTime};
use store::{Agent, Audit, Domain, EnrollmentCode, Settings, SigningKey, Store, Tenant};

/// Runs contracts on every kind of store.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        /// Every contract, each on a store of its own.
        pub(crate) async fn every_contract(open: impl AsyncFn() -> Store) {
            $(self::$name(open().await).await;)*
        }

        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let file = crate::File::new();
                    super::$name(crate::filled(file.open()).await).await;
                }
            )*
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    let database = crate::cluster::Database::new().await;
                    super::$name(crate::filled(database.open().await).await).await;
                }
            )*
        }
    };
}
use on_every_store;

pub(crate) const NOW: UnixTime = UnixTime(1_800_000_000);

pub(crate) fn guid(byte: u8) -> Guid {
    Guid::from_le_bytes([byte; 16])
}

pub(crate) fn sid(rid: u32) -> Sid {
    format!("S-1-5-21-1-2-3-{rid}").parse().unwrap()
}

/// The tenant of every test, and its two domains.
pub(crate) fn tenant() -> Guid {
    guid(1)
}

pub(crate) fn domain() -> Guid {
    guid(2)
}

pub(crate) fn other_domain() -> Guid {
    guid(3)
}

pub(crate) fn audit(action: &'static str) -> Audit {
    Audit {
        at: NOW,
        actor: "test".to_owned(),
        action,
        subject: "subject".to_owned(),
    }
}

/// A SQLite file that is gone when this is dropped.
pub(crate) struct File(pub(crate) PathBuf);

impl File {
    pub(crate) fn new() -> Self {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-store-it-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder.join("store.sqlite"))
    }

    /// Another file in the same folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.0.with_file_name(name)
    }

    pub(crate) fn open(&self) -> Store {
        Store::open_sqlite(&self.0).unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

pub(crate) fn some_tenant() -> Tenant {
    Tenant {
        id: tenant(),
        name: "Example".to_owned(),
        created: NOW,
    }
}

pub(crate) fn first_key() -> SigningKey {
    SigningKey {
        name: "token-key".to_owned(),
        alg: "RS256".to_owned(),
        sealed: vec![1],
        not_before: NOW,
        retires: None,
    }
}

pub(crate) fn some_domain(guid: Guid) -> Domain {
    Domain {
        guid,
        sid: "S-1-5-21-1-2-3".parse().unwrap(),
        dns_name: format!("{guid}.example"),
        netbios_name: "CORP".to_owned(),
    }
}

pub(crate) fn some_agent(id: u8, domain: Guid) -> Agent {
    Agent {
        id: guid(id),
        domain,
        principal: "latchkey-sync/host@REALM".to_owned(),
        public_key: vec![1, 2, 3],
        enrolled: NOW,
        said: None,
    }
}

/// A store with the tenant and both domains in it.
pub(crate) async fn filled(store: Store) -> Store {
    let tenant = some_tenant();
    store
        .create_tenant(tenant.clone(), Vec::new(), first_key(), audit("init"))
        .await
        .unwrap();
    for (byte, domain) in [(4, domain()), (5, other_domain())] {
        let code = EnrollmentCode {
            digest: [byte; 32],
            expires: NOW.plus(60),
        };
        store
            .add_enrollment_code(tenant.id, code, audit("code"))
            .await
            .unwrap();
        let agent = some_agent(byte, domain);
        let enrolled = store.enroll_agent(
            tenant.id,
            [byte; 32],
            some_domain(domain),
            agent,
            audit("enroll"),
        );
        assert!(enrolled.await.unwrap());
    }
    assert_eq!(
        store.settings(tenant.id).await.unwrap(),
        Settings::default()
    );
    store
}
