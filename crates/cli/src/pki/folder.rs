//! The authority's folder: its key, what it has issued and revoked, its revocation list.
//!
//! *Invariant:* a certificate is in the register before it leaves: what was issued can be revoked,
//! no matter when the program dies. Files appear whole or not at all; one process works at a time.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use model::UnixTime;
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    pkey::{PKey, Public},
    x509::{X509, X509Ref},
};
use serde::{Deserialize, Serialize};

use super::authority::{Authority, Names, Terms};

/// Only the authority's owner reads a key.
pub(crate) const PRIVATE: u32 = 0o600;
/// Everybody may read a certificate.
pub(crate) const PUBLIC: u32 = 0o644;

/// The authority and its register, held until dropped.
pub(crate) struct Folder {
    path: PathBuf,
    authority: Authority,
    register: Register,
    _held: File,
}

/// What is known beside key and certificate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    /// The authority's name.
    pub(crate) name: String,
    /// Where certificates say that the revocation list is.
    pub(crate) crl_url: String,
    /// Where the revocation list is copied for the web server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<PathBuf>,
    /// The number of the last revocation list.
    pub(crate) lists: u32,
    /// Every certificate ever issued.
    pub(crate) issued: Vec<Issued>,
}

/// A certificate that was issued.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issued {
    /// Its serial number in hexadecimal.
    pub(crate) serial: String,
    /// For which domain controller.
    pub(crate) host: String,
    /// Until when.
    pub(crate) expires: UnixTime,
    /// Since when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<UnixTime>,
}

impl Folder {
    /// Makes an authority in a folder that has none, with its first, empty revocation list.
    pub(crate) fn make(path: &Path, register: Register, now: UnixTime) -> anyhow::Result<Self> {
        make_folder(path)?;
        let held = hold(path)?;
        if path.join(REGISTER).exists() {
            bail!("there is an authority in {} already", path.display());
        }
        let authority = Authority::make(&register.name, now)?;
        write(
            &path.join(KEY),
            &authority.key().private_key_to_pem_pkcs8()?,
            PRIVATE,
        )?;
        write(
            &path.join(CERTIFICATE),
            &authority.certificate().to_pem()?,
            PUBLIC,
        )?;
        let mut folder = Self {
            path: path.to_owned(),
            authority,
            register,
            _held: held,
        };
        // Writes the register: from here on the folder counts.
        folder.renew_list(now)?;
        Ok(folder)
    }

    /// The authority of a folder.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read(path.join(REGISTER));
        if matches!(&text, Err(error) if error.kind() == ErrorKind::NotFound) {
            bail!(
                "there is no authority in {}; make one with latchkey pki init",
                path.display()
            );
        }
        let held = hold(path)?;
        // Read once more: whoever held the folder may have changed it.
        let text = read(&path.join(REGISTER))?;
        let key = zeroize::Zeroizing::new(read(&path.join(KEY))?);
        let authority = Authority::new(
            PKey::private_key_from_pem(&key)?,
            X509::from_pem(&read(&path.join(CERTIFICATE))?)?,
        );
        Ok(Self {
            path: path.to_owned(),
            authority,
            register: serde_json::from_slice(&text).context("the authority's register")?,
            _held: held,
        })
    }

    /// Where a file of the folder is.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The authority's certificate.
    pub(crate) fn certificate(&self) -> &X509 {
        self.authority.certificate()
    }

    /// What is known beside it.
    pub(crate) fn register(&self) -> &Register {
        &self.register
    }

    /// Issues a certificate and writes it into the register.
    pub(crate) fn issue(
        &mut self,
        names: &Names,
        key: &PKey<Public>,
        now: UnixTime,
        days: u32,
    ) -> anyhow::Result<X509> {
        let terms = Terms {
            list: &self.register.crl_url,
            now,
            days,
        };
        let certificate = self.authority.issue(names, key, &terms)?;
        self.register.issued.push(Issued {
            serial: serial(&certificate)?,
            host: names.host.clone(),
            expires: unix(certificate.not_after())?,
            revoked: None,
        });
        self.save()?;
        Ok(certificate)
    }

    /// Puts a certificate on the revocation list.
    pub(crate) fn revoke(&mut self, serial: &str, now: UnixTime) -> anyhow::Result<Issued> {
        let wanted = serial.replace(':', "");
        let issued = self.register.issued.iter_mut();
        let Some(issued) = issued
            .into_iter()
            .find(|issued| issued.serial.eq_ignore_ascii_case(&wanted))
        else {
            bail!("this authority has issued no certificate {serial} (see latchkey pki list)");
        };
        issued.revoked.get_or_insert(now);
        let issued = issued.clone();
        self.renew_list(now)?;
        Ok(issued)
    }

    /// Makes the next revocation list and puts it where it is served from.
    pub(crate) fn renew_list(&mut self, now: UnixTime) -> anyhow::Result<()> {
        self.register.lists += 1;
        self.save()?;
        // What has expired is refused for that.
        let revoked: Vec<(&str, UnixTime)> = self
            .register
            .issued
            .iter()
            .filter(|issued| issued.expires > now)
            .filter_map(|issued| Some((issued.serial.as_str(), issued.revoked?)))
            .collect();
        let list = self.authority.list(&revoked, self.register.lists, now)?;
        let list = list.to_der()?;
        write(&self.path.join(LIST), &list, PUBLIC)?;
        if let Some(copy) = &self.register.publish {
            write(copy, &list, PUBLIC)?;
        }
        Ok(())
    }

    fn save(&self) -> anyhow::Result<()> {
        let text = serde_json::to_vec_pretty(&self.register)?;
        write(&self.path.join(REGISTER), &text, PRIVATE)
    }
}

/// A certificate's serial number as it is shown and asked for.
pub(crate) fn serial(certificate: &X509Ref) -> anyhow::Result<String> {
    let number = certificate.serial_number().to_bn()?;
    Ok(number.to_hex_str()?.to_string())
}

/// A point in time of a certificate.
pub(crate) fn unix(time: &Asn1TimeRef) -> anyhow::Result<UnixTime> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(UnixTime(
        i64::from(since.days) * 86_400 + i64::from(since.secs),
    ))
}

/// Makes a folder that only its owner enters; one that is there stays as it is.
pub(crate) fn make_folder(path: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| path.display().to_string())
}

/// Reads a file and names it where that fails.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// Writes a file that is there as a whole or as it was.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let part = path.with_added_extension("part");
    let written = (|| {
        if let Err(error) = fs::remove_file(&part)
            && error.kind() != ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&part)?;
        // Whatever the caller's umask is: a web server and libkrb5 must read what is public.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    })();
    written.with_context(|| path.display().to_string())
}

fn hold(path: &Path) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path.join(LOCK))
        .with_context(|| path.display().to_string())?;
    file.lock()?;
    Ok(file)
}

/// The authority's certificate.
pub(crate) const CERTIFICATE: &str = "ca.crt";
/// The revocation list, DER.
pub(crate) const LIST: &str = "ca.crl";
const KEY: &str = "ca.key";
const REGISTER: &str = "authority.json";
const LOCK: &str = "lock";
