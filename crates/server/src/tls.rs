//! TLS: the acceptor, and the fingerprint by which devices and agents know this server.

use std::path::Path;

use anyhow::Context as _;
use model::sha256;
use openssl::{
    ssl::{SslAcceptor, SslFiletype, SslMethod, SslOptions, SslVerifyMode, SslVersion},
    stack::Stack,
    x509::X509,
};

/// SSL_OP_CLEANSE_PLAINTEXT (SSL_CTX_set_options(3)): OpenSSL wipes what it has decrypted once it
/// is read. The binding has no name for it.
const CLEANSE_PLAINTEXT: u64 = 1 << 1;

/// What a client showed of itself on its connection. That it has the key is shown with it; whose it is,
/// nobody has looked at.
#[derive(Clone)]
pub(crate) struct PeerCertificate(pub(crate) X509);

/// Sessions of this program are resumed by no other.
const SESSION_CONTEXT: &[u8] = b"latchkey-server";

/// An acceptor for TLS 1.2 and newer. Clients may show a certificate of one of `authorities`, whose
/// names they are told: so nobody's browser asks for another.
pub(crate) fn acceptor<'a>(
    cert: &Path,
    key: &Path,
    authorities: impl IntoIterator<Item = &'a X509>,
) -> anyhow::Result<SslAcceptor> {
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_options(SslOptions::from_bits_retain(CLEANSE_PLAINTEXT));
    builder
        .set_certificate_chain_file(cert)
        .with_context(|| format!("{} is not a certificate chain in PEM", cert.display()))?;
    builder
        .set_private_key_file(key, SslFiletype::PEM)
        .with_context(|| format!("{} is not a private key in PEM", key.display()))?;
    builder
        .check_private_key()
        .with_context(|| format!("{} is not the key of {}", key.display(), cert.display()))?;
    // Asked for and not required, and judged by whoever reads it, by the rules of that request.
    builder.set_verify_callback(SslVerifyMode::PEER, |_, _| true);
    builder.set_session_id_context(SESSION_CONTEXT)?;
    // A record is read whole, and not its head first.
    builder.set_read_ahead(true);
    let mut names = Stack::new()?;
    for authority in authorities {
        names.push(authority.subject_name().to_owned()?)?;
    }
    builder.set_client_ca_list(names);
    Ok(builder.build())
}

/// `sha256:` and the SHA-256 of the key of the last certificate in the file: the authority's where
/// the chain is complete, the server's own where it signed itself.
pub(crate) fn fingerprint(cert: &Path) -> anyhow::Result<String> {
    let shown = cert.display();
    let pem = std::fs::read(cert).with_context(|| format!("{shown}"))?;
    let chain = X509::stack_from_pem(&pem).with_context(|| format!("{shown} is not PEM"))?;
    let last = chain
        .last()
        .with_context(|| format!("{shown} holds no certificate"))?;
    let digest = sha256(&last.public_key()?.public_key_to_der()?);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{digits}"))
}
