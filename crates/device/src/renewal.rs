//! The device certificate's renewal, well before its end: by the same key, so that nothing else changes.

use api::join::RenewalRequest;
use model::UnixTime;
use openssl::{asn1::Asn1Time, x509::X509};

use crate::{
    Error, certificate,
    daemon::{Daemon, now},
    identity::{self, Joined},
    join::{issued, told},
    server::Server,
    text,
};

impl Daemon {
    /// Renews the certificate if two thirds of its life are over.
    pub(crate) async fn renew_certificate(
        &self,
        server: &Server,
        bearer: &str,
    ) -> Result<(), Error> {
        if !is_due(&server.joined.certificate, now())? {
            return Ok(());
        }
        let auth = self.identity.auth()?;
        let key = &server.device.keys.device;
        let csr = identity::with_signer(&self.chip, key, &auth, certificate::request).await?;
        let request = RenewalRequest {
            csr: text::base64(&csr),
        };
        let answer = server.client.renew_certificate(bearer, &request).await?;
        let (recovery_public, statement_keys) = told(answer.latchkey.as_ref());
        self.identity.keep_server(Joined {
            certificate: issued(&answer.certificate.raw_body, &server.device)?,
            recovery_public,
            statement_keys,
            ..server.joined.clone()
        })?;
        tracing::info!("the device certificate was renewed");
        Ok(())
    }
}

/// Are two thirds of a certificate's life over?
fn is_due(der: &[u8], now: UnixTime) -> Result<bool, Error> {
    let certificate = X509::from_der(der)?;
    let now = Asn1Time::from_unix(now.0)?;
    let seconds = |from: &openssl::asn1::Asn1TimeRef, to: &openssl::asn1::Asn1TimeRef| {
        let span = from.diff(to)?;
        Ok::<_, Error>(i64::from(span.days) * 86_400 + i64::from(span.secs))
    };
    let life = seconds(certificate.not_before(), certificate.not_after())?;
    Ok(seconds(certificate.not_before(), &now)? * 3 > life * 2)
}

#[cfg(test)]
mod tests {
    use openssl::{hash::MessageDigest, pkey::PKey, rsa::Rsa};

    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let time = |seconds: i64| Asn1Time::from_unix(1_800_000_000 + seconds).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_not_before(&time(0)).unwrap();
        builder.set_not_after(&time(300_000)).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        let der = builder.build().to_der().unwrap();
        let due = |seconds: i64| is_due(&der, UnixTime(1_800_000_000 + seconds)).unwrap();
        assert!(!due(0) && !due(200_000));
        assert!(due(200_001) && due(400_000));
    }
}
