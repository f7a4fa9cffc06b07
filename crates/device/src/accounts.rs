//! Which account is behind a name or a uid, and which SID the directory service gives it.
//!
//! A credential belongs to a SID. A local account may carry the same name or even the same uid as
//! an account of the domain; it has no SID, or another one, and gets nothing.

use std::{ffi::CString, io};

use model::Sid;

use crate::{Error, error::refused, ffi};

/// A local view of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: u32,
    /// Its primary group.
    pub gid: u32,
}

/// Where accounts come from. Calls block: the name service may ask the network.
pub trait Accounts: Send + Sync {
    /// The account of that name.
    fn by_name(&self, name: &str) -> Result<Option<Account>, Error>;
    /// The account of that uid.
    fn by_uid(&self, uid: u32) -> Result<Option<Account>, Error>;
    /// The SID of that uid; none for an account that is not the domain's.
    fn sid(&self, uid: u32) -> Result<Option<Sid>, Error>;
}

/// This machine: the name service switch and SSSD.
pub struct System;

impl Accounts for System {
    fn by_name(&self, name: &str) -> Result<Option<Account>, Error> {
        let Ok(name) = CString::new(name) else {
            return Ok(None);
        };
        ffi::account_by_name(&name).map_err(|error| name_service(&error))
    }

    fn by_uid(&self, uid: u32) -> Result<Option<Account>, Error> {
        ffi::account_by_uid(uid).map_err(|error| name_service(&error))
    }

    fn sid(&self, uid: u32) -> Result<Option<Sid>, Error> {
        // Root and the system's own accounts are never the domain's.
        if uid < FIRST_ORDINARY_UID {
            return Ok(None);
        }
        let Some(account) = self.by_uid(uid)? else {
            return Ok(None);
        };
        let Ok(name) = CString::new(account.name) else {
            return Ok(None);
        };
        let by_uid = sid_of(ffi::sssd_sid_by_uid(uid))?;
        // SSSD knows nothing of this machine's own accounts. One that has been given a domain
        // account's uid comes before it in the name service, and has another name.
        let by_name = sid_of(ffi::sssd_sid_by_name(&name))?;
        Ok(by_uid.filter(|sid| Some(sid) == by_name.as_ref()))
    }
}

fn sid_of(answer: io::Result<Option<String>>) -> Result<Option<Sid>, Error> {
    match answer {
        Ok(Some(text)) => {
            let sid = text.parse().map_err(|_| Error::Bug("SSSD's SID is none"))?;
            Ok(Some(sid))
        }
        Ok(None) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(refused(
            "no_identity_service",
            "This machine cannot tell which domain account a user is: SSSD's library \
             libsss_nss_idmap0 is not installed.",
        )),
        Err(error) => Err(name_service(&error)),
    }
}

fn name_service(error: &io::Error) -> Error {
    tracing::warn!(%error, "the name service failed");
    refused(
        "identity_unreachable",
        "This machine cannot tell who you are just now: SSSD does not answer. Is it running?",
    )
}

/// Below it are the accounts of the system itself.
pub(crate) const FIRST_ORDINARY_UID: u32 = 1000;
