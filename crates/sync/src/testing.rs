//! What tests of the loops need: an agent whose server and directory are never asked.

use std::{path::PathBuf, sync::Arc};

use client::{Agent, AgentIdentity, Client};
use directory::User;
use model::Guid;
use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::PKey,
    rsa::Rsa,
    x509::{X509, X509Builder},
};

use crate::{
    config::Config,
    door::{Door, Tickets},
    state::Folder,
};

/// Alice, of whom AD says nothing out of the ordinary.
pub(crate) fn alice() -> User {
    User {
        guid: Guid::from_le_bytes([1; 16]),
        sid: "S-1-5-21-1-2-3-1104".parse().unwrap(),
        dn: "CN=Alice,OU=Staff,DC=corp,DC=test".to_owned(),
        account: "alice".to_owned(),
        principal: "alice@corp.test".to_owned(),
        display_name: "Alice".to_owned(),
        mail: None,
        source_anchor: vec![1; 16],
        enabled: true,
        expires: None,
        locked_until: None,
        must_change: false,
        hours: None,
        protection: None,
        usn: 1,
    }
}

/// An agent's parts, and a folder that goes with the test.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) agent: Arc<Agent>,
    pub(crate) folder: Folder,
    path: PathBuf,
}

impl Parts {
    /// With `limits` as the configuration's section of that name.
    pub(crate) fn new(name: &str, limits: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("latchkey-sync-{name}-{}", std::process::id()));
        let config = format!(
            "realm = 'CORP.TEST'\naccount = 'svc'\nprincipal = 'latchkey-sync/host.corp.test'\n\
             keytab = '/nonexistent'\nstate = '{}'\n[scope]\nous = ['OU=Staff,DC=corp,DC=test']\n\
             [limits]\n{limits}\n",
            path.display()
        );
        let _ = std::fs::remove_dir_all(&path);
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut anchor = X509Builder::new().unwrap();
        anchor.set_pubkey(&key).unwrap();
        anchor
            .set_not_before(&Asn1Time::days_from_now(0).unwrap())
            .unwrap();
        anchor
            .set_not_after(&Asn1Time::days_from_now(1).unwrap())
            .unwrap();
        anchor.sign(&key, MessageDigest::sha256()).unwrap();
        let anchor: X509 = anchor.build();
        let client = Client::new("https://server.corp.test", &anchor).unwrap();
        let id = Guid::from_le_bytes([1; 16]);
        let identity = AgentIdentity {
            agent: id,
            tenant: id,
            key,
        };
        Self {
            config: Arc::new(Config::parse(&config).unwrap()),
            agent: Arc::new(Agent::new(client, identity)),
            folder: Folder::open(&path).unwrap(),
            path,
        }
    }

    pub(crate) fn door(&self) -> Door {
        Door::new(self.config.clone(), Arc::new(Tickets::default()))
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
