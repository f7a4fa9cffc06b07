//! What a person has without the product: a stock PKCS#11 module on a TPM, and `kinit`.
//!
//! swtpm serves one client at a time and the workstation's is the daemon's, so the stock module has
//! another one with the same settings.

use anyhow::Result;

use super::{PERSON, PIN};
use crate::company::{Company, REALM};
use crate::lab::address::full_name;

/// Where the stock card is on the workstation.
pub(super) const FOLDER: &str = "/var/lib/reference";

/// Makes the card and has the directory know its key; returns the TPM that it is on.
pub(super) fn make(company: &Company) -> Result<String> {
    let workstation = company.workstation()?;
    let tpm = company.lab.start_second_tpm(&workstation.name)?;
    let script = include_str!("reference.sh");
    workstation
        .command(&["sh", "-c", script, "sh", FOLDER, &tpm, PERSON])
        .stdin(format!("{PIN}\n"))
        .ok()?;
    let file = |name: &str| format!("{FOLDER}/{name}");
    let name = format!(
        "[realms]\n{REALM} = {{\n pkinit_kdc_hostname = {}\n}}\n",
        full_name("dc")
    );
    workstation.write_file(&file("krb5.conf"), name, 0o644)?;
    let authority = company.lab.pki().read("kdc-ca.crt")?;
    workstation.write_file(&file("kdc-ca.crt"), authority, 0o644)?;

    let controller = company.controller()?;
    let key = workstation.read_file(&file("key.pub"))?;
    controller.write_file("/root/reference.pub", key, 0o644)?;
    let add = ["samba-tool", "user", "keytrust", "add", PERSON];
    controller
        .command(&[&add[..], &["/root/reference.pub"]].concat())
        .ok()?;
    Ok(tpm)
}
