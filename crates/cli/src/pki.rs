//! `latchkey pki`: certificates for the KDCs of a domain that has no certificate services.
//!
//! Whoever signs in by a key must know that the KDC is one: every workstation checks its
//! certificate, so a domain without an authority of its own needs one before anything else.

mod arguments;
mod authority;
mod check;
mod der;
mod fetch;
mod folder;
mod here;
mod rules;
mod samba;

use std::{path::Path, process::Command, time::SystemTime};

use anyhow::{Context, bail};
use model::UnixTime;
use openssl::{
    pkey::{PKey, Public},
    x509::{X509, X509Req},
};
use serde::Serialize;

pub(crate) use arguments::Pki;
use arguments::{Crl, Init, IssueDc, Verb, Where};
use authority::Names;
use folder::{Folder, Issued, PRIVATE, PUBLIC, Register};

use crate::output::Output;

pub(crate) fn run(pki: Pki, output: &Output) -> anyhow::Result<()> {
    let (dir, now) = (pki.dir, now()?);
    match pki.verb {
        Verb::Init(how) => init(&dir, how, output, now),
        Verb::IssueDc(how) => issue(&dir, &how, output, now),
        Verb::Crl(Crl::Renew) => {
            let mut folder = Folder::open(&dir)?;
            folder.renew_list(now)?;
            output.result(&listed(&folder), || list_text(&folder))
        }
        Verb::Crl(Crl::Revoke { serial }) => {
            let mut folder = Folder::open(&dir)?;
            let issued = folder.revoke(&serial, now)?;
            output.result(&issued, || {
                format!("revoked {} of {}", issued.serial, issued.host)
            })
        }
        Verb::List => {
            let folder = Folder::open(&dir)?;
            let issued = &folder.register().issued;
            output.result(issued, || issued.iter().map(line).collect())
        }
        Verb::Trust(place) => trust(&dir, &place, output),
        Verb::Check(how) => check::check(how, output, now),
    }
}

#[derive(Serialize)]
struct Made<'a> {
    name: &'a str,
    certificate: &'a Path,
}

fn init(dir: &Path, how: Init, output: &Output, now: UnixTime) -> anyhow::Result<()> {
    let register = Register {
        name: how.name,
        crl_url: how.crl_url,
        publish: how.publish,
        lists: 0,
        issued: Vec::new(),
    };
    let folder = Folder::make(dir, register, now)?;
    let (name, certificate) = (&folder.register().name, folder.path(folder::CERTIFICATE));
    let made = Made {
        name,
        certificate: &certificate,
    };
    output.result(&made, || {
        format!(
            "made the authority {name}: {}\n\
             next: kinit as an Enterprise Admin and run latchkey pki trust;\n\
             have {} served at {};\n\
             for each domain controller: latchkey pki issue-dc HOST",
            certificate.display(),
            folder.path(folder::LIST).display(),
            folder.register().crl_url,
        )
    })
}

/// What came of an issuance.
#[derive(Serialize)]
struct Done {
    /// Whether a certificate was issued.
    issued: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    certificate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

fn issue(dir: &Path, how: &IssueDc, output: &Output, now: UnixTime) -> anyhow::Result<()> {
    let mut folder = Folder::open(dir)?;
    let place = samba::Place::new(&how.samba_private, &how.krb5_conf);
    if how.if_due
        && let Some(certificate) = place.current()
        && !is_due(&certificate, folder.certificate(), now)?
    {
        let done = Done {
            issued: false,
            serial: None,
            certificate: place.certificate().display().to_string(),
            key: None,
        };
        return output.result(&done, || "the certificate is not due yet".to_owned());
    }
    let names = names(how)?;
    let (public, own_key) = match &how.csr {
        Some(request) => (requested_key(&folder::read(request)?)?, None),
        None => {
            let key = authority::make_key(2048)?;
            let public = PKey::public_key_from_der(&key.public_key_to_der()?)?;
            (public, Some(key))
        }
    };
    let certificate = folder.issue(&names, &public, now, how.days)?;
    let pem = certificate.to_pem()?;
    let folder_of_issued = folder.path("issued");
    folder::make_folder(&folder_of_issued)?;
    let kept = folder_of_issued.join(format!("{}.crt", names.host));
    let mut done = Done {
        issued: true,
        serial: Some(folder::serial(&certificate)?),
        certificate: kept.display().to_string(),
        key: None,
    };
    let mut next = "give it to the domain controller's KDC".to_owned();
    if let Some(key) = &own_key {
        let key_pem = zeroize::Zeroizing::new(key.private_key_to_pem_pkcs8()?);
        if how.install {
            // The key goes to its place alone: a copy is one more to lose.
            place.install(&pem, &key_pem, &folder.certificate().to_pem()?)?;
            done.certificate = place.certificate().display().to_string();
            next = settle(dir, how)?;
        } else {
            let file = folder_of_issued.join(format!("{}.key", names.host));
            folder::write(&file, &key_pem, PRIVATE)?;
            done.key = Some(file.display().to_string());
            next = "take both to the domain controller, and delete the key here".to_owned();
        }
    }
    folder::write(&kept, &pem, PUBLIC)?;
    output.result(&done, || {
        let serial = done.serial.as_deref().unwrap_or_default();
        let key = done.key.as_deref().map(|key| format!("\nkey: {key}"));
        format!(
            "issued {serial} for {}: {}{}\nnext: {next}",
            names.host,
            done.certificate,
            key.unwrap_or_default()
        )
    })
}

/// After an installation: the units, the restart; answers what is left to be done.
fn settle(dir: &Path, how: &IssueDc) -> anyhow::Result<String> {
    let mut next = Vec::new();
    if how.timer {
        for (name, text) in samba::timer(dir, how)? {
            let path = Path::new("/etc/systemd/system").join(name);
            folder::write(&path, text.as_bytes(), PUBLIC)?;
        }
        next.push("systemctl enable --now latchkey-pki.timer".to_owned());
    }
    match &how.restart {
        Some(unit) => {
            let status = Command::new("systemctl")
                .args(["try-restart", unit])
                .status()
                .context("systemctl")?;
            if !status.success() {
                bail!("the certificate is in place, but {unit} was not restarted: {status}");
            }
        }
        None => next.push(format!(
            "systemctl restart {}: the KDC reads its certificate when it starts",
            samba::SAMBA
        )),
    }
    next.push("latchkey pki check".to_owned());
    Ok(next.join("; "))
}

fn names(how: &IssueDc) -> anyhow::Result<Names> {
    let (_, parent) = how.host.split_once('.').context("a full DNS name")?;
    let domain = how.domain.clone().unwrap_or_else(|| parent.to_owned());
    let first = domain.split('.').next().unwrap_or_default();
    let netbios: String = match &how.netbios {
        Some(name) => name.clone(),
        None => first.to_ascii_uppercase().chars().take(15).collect(),
    };
    Ok(Names {
        realm: how.kdc_san.then(|| domain.to_ascii_uppercase()),
        host: how.host.clone(),
        domain,
        netbios,
    })
}

/// The key of a request, which must be strong enough and have signed it.
fn requested_key(pem: &[u8]) -> anyhow::Result<PKey<Public>> {
    let request = X509Req::from_pem(pem).context("the request is not PKCS#10 in PEM")?;
    let key = request.public_key()?;
    if key.rsa().is_err() || key.bits() < 2048 {
        bail!("the key of the request is not RSA with at least 2,048 bits");
    }
    if !request.verify(&key).unwrap_or(false) {
        bail!("the request is not signed by the key in it");
    }
    Ok(key)
}

/// Whether less than a third of a certificate's life is left, or it is another authority's.
fn is_due(certificate: &X509, authority: &X509, now: UnixTime) -> anyhow::Result<bool> {
    let begin = folder::unix(certificate.not_before())?;
    let end = folder::unix(certificate.not_after())?;
    let foreign = !certificate
        .verify(&*authority.public_key()?)
        .unwrap_or(false);
    Ok(foreign || (end.0 - now.0) * 3 < end.0 - begin.0)
}

#[derive(Serialize)]
struct Listed {
    number: u32,
    file: String,
}

fn listed(folder: &Folder) -> Listed {
    Listed {
        number: folder.register().lists,
        file: folder.path(folder::LIST).display().to_string(),
    }
}

fn list_text(folder: &Folder) -> String {
    let list = listed(folder);
    format!("made revocation list {}: {}", list.number, list.file)
}

fn line(issued: &Issued) -> String {
    let revoked = if issued.revoked.is_some() {
        " revoked"
    } else {
        ""
    };
    format!("{} {}{revoked}\n", issued.serial, issued.host)
}

#[derive(Serialize)]
struct Trusted<'a> {
    name: &'a str,
    /// Whether it was not trusted before.
    changed: bool,
}

fn trust(dir: &Path, place: &Where, output: &Output) -> anyhow::Result<()> {
    let folder = Folder::open(dir)?;
    let (name, der) = (&folder.register().name, folder.certificate().to_der()?);
    let changed = here::with_directory(place, async |directory| {
        Ok(directory.trust_authority(name, &der).await?)
    })?;
    output.result(&Trusted { name, changed }, || {
        if changed {
            format!("the forest trusts {name} for domain controllers' certificates")
        } else {
            format!("the forest trusts {name} already")
        }
    })
}

fn now() -> anyhow::Result<UnixTime> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(UnixTime(i64::try_from(since.as_secs())?))
}

#[cfg(test)]
mod tests;
