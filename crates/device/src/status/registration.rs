//! How the device stands with its domain and its server, as far as it can be said without asking
//! anybody.

use ipc::{Answered, CredentialInfo, Registration};
use openssl::{hash::MessageDigest, x509::X509};

use crate::{
    Error, daemon::Daemon, identity::Joined, join::host_name, key_storage::KeyStorage, text,
};

pub(super) fn registration(
    daemon: &Daemon,
    own: Option<&CredentialInfo>,
) -> Result<Registration, Error> {
    let device = daemon.identity.device();
    let server = device.as_ref().and_then(|device| device.server.as_ref());
    // One that cannot be read is not shown; the rest is still worth knowing.
    let certificate = server.and_then(|server| X509::from_der(&server.certificate).ok());
    let thumbprint = |certificate: &X509| {
        let digest = certificate.digest(MessageDigest::sha1())?;
        Ok::<_, Error>(text::hex(&digest).to_uppercase())
    };
    let validity = |certificate: &X509| {
        let (from, to) = (certificate.not_before(), certificate.not_after());
        format!("[ {from} -- {to} ]")
    };
    let at = |path: &str| server.map(|server| format!("{}{path}", server.url));
    let oauth = |name: &str| {
        let path = |Joined { tenant, .. }: &Joined| format!("/{tenant}/oauth2/{name}");
        server.and_then(|server| at(&path(server)))
    };
    let storage = daemon.chip.storage();
    Ok(Registration {
        azure_ad_joined: Answered::from(server.is_some()),
        domain_joined: Answered::from(daemon.config.keytab.exists()),
        domain_name: device.as_ref().map(|device| device.domain.clone()),
        device_name: host_name(),
        thumbprint: certificate.as_ref().map(thumbprint).transpose()?,
        device_certificate_validity: certificate.as_ref().map(validity),
        key_provider: match storage {
            KeyStorage::Hardware => "TPM 2.0".to_owned(),
            KeyStorage::Software => "Software".to_owned(),
        },
        tpm_protected: Answered::from(storage == KeyStorage::Hardware),
        tenant_id: server.map(|server| server.tenant.to_string()),
        auth_code_url: oauth("authorize"),
        access_token_url: oauth("token"),
        join_srv_url: at("/EnrollmentServer/device/"),
        key_srv_url: at(api::device::KEY_PATH),
        ngc_key_id: own.and_then(|own| own.kid.clone()),
    })
}
