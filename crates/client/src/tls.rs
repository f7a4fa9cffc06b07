//! Trust in the server: one anchor, found once by its fingerprint.

use std::{pin::Pin, time::Duration};

use http::Uri;
use model::sha256;
use openssl::{
    error::ErrorStack,
    ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion},
    stack::Stack,
    x509::{
        X509, X509StoreContext,
        store::{X509Store, X509StoreBuilder},
        verify::{X509VerifyFlags, X509VerifyParam},
    },
};
use tokio::{net::TcpStream, time::timeout};
use tokio_openssl::SslStream;

use crate::Error;

const CONNECT: Duration = Duration::from_secs(10);
const MAX_CHAIN: usize = 10;

/// Connects to `url`, sends nothing, and returns the certificate of the presented chain whose
/// SubjectPublicKeyInfo has this fingerprint (`sha256:` and 64 hexadecimal digits), after checking
/// that the server's certificate is it or was issued below it and fits the host name.
pub async fn fetch_anchor(url: &str, fingerprint: &str) -> Result<X509, Error> {
    let pin = parse_fingerprint(fingerprint).ok_or_else(|| {
        Error::Protocol("the fingerprint is not sha256: and 64 digits".to_owned())
    })?;
    let (host, port) = host_and_port(url)?;
    let chain = timeout(CONNECT, presented(&host, port))
        .await
        .map_err(|_| Error::Unreachable(format!("{host}: no connection in time")))??;
    pinned(&chain, &pin, &host)
}

/// The chain that a server shows, believed in nothing yet.
async fn presented(host: &str, port: u16) -> Result<Vec<X509>, Error> {
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(unreachable)?;
    let mut connector = connector_builder().map_err(library)?;
    connector.set_verify(SslVerifyMode::NONE);
    let ssl = connector
        .build()
        .configure()
        .and_then(|connection| connection.verify_hostname(false).into_ssl(host))
        .map_err(library)?;
    let mut stream = SslStream::new(ssl, stream).map_err(library)?;
    Pin::new(&mut stream)
        .connect()
        .await
        .map_err(|error| Error::Unreachable(format!("{host}: TLS: {error}")))?;
    let chain = stream.ssl().peer_cert_chain();
    let chain =
        chain.ok_or_else(|| Error::Protocol("the server shows no certificate".to_owned()))?;
    Ok(chain
        .iter()
        .take(MAX_CHAIN)
        .map(ToOwned::to_owned)
        .collect())
}

/// The certificate of the chain with this pin, if the chain's first one stands on it.
pub(crate) fn pinned(chain: &[X509], pin: &[u8; 32], host: &str) -> Result<X509, Error> {
    let matches = |certificate: &&X509| {
        let key = certificate
            .public_key()
            .and_then(|key| key.public_key_to_der());
        key.is_ok_and(|der| sha256(&der) == *pin)
    };
    let (Some(leaf), Some(anchor)) = (chain.first(), chain.iter().find(matches)) else {
        return Err(Error::Protocol(
            "no certificate of the server has the expected fingerprint".to_owned(),
        ));
    };
    let mut others = Stack::new().map_err(library)?;
    for certificate in chain {
        others.push(certificate.clone()).map_err(library)?;
    }
    let store = store(anchor, Some(host)).map_err(library)?;
    let mut context = X509StoreContext::new().map_err(library)?;
    let verified = context
        .init(&store, leaf, &others, |context| {
            Ok((context.verify_cert()?, context.error().error_string()))
        })
        .map_err(library)?;
    match verified {
        (true, _) => Ok(anchor.clone()),
        (false, reason) => Err(Error::Protocol(format!(
            "the server's certificate does not fit: {reason}"
        ))),
    }
}

/// A connector that trusts `anchor` alone.
pub(crate) fn connector(anchor: &X509) -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = connector_builder()?;
    builder.set_verify_cert_store(store(anchor, None)?)?;
    builder.set_cert_store(X509StoreBuilder::new()?.build());
    builder.set_verify(SslVerifyMode::PEER);
    Ok(builder)
}

fn connector_builder() -> Result<SslConnectorBuilder, ErrorStack> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    builder.set_alpn_protos(b"\x08http/1.1")?;
    Ok(builder)
}

fn store(anchor: &X509, host: Option<&str>) -> Result<X509Store, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(anchor.clone())?;
    let mut parameters = X509VerifyParam::new()?;
    // The anchor need not be self-signed: the pin may be of an issuing authority, or of the leaf.
    parameters.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    if let Some(host) = host {
        match host.parse() {
            Ok(address) => parameters.set_ip(address)?,
            Err(_) => parameters.set_host(host)?,
        }
    }
    store.set_param(&parameters)?;
    Ok(store.build())
}

/// The host and port of an `https` URL.
pub(crate) fn host_and_port(url: &str) -> Result<(String, u16), Error> {
    let uri: Uri = url
        .parse()
        .map_err(|_| Error::Protocol(format!("{url} is not a URL")))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => Ok((
            host.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned(),
            uri.port_u16().unwrap_or(443),
        )),
        _ => Err(Error::Protocol(format!("{url} is not an https URL"))),
    }
}

pub(crate) fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect();
    bytes?.try_into().ok()
}

fn unreachable(error: std::io::Error) -> Error {
    Error::Unreachable(error.to_string())
}

pub(crate) fn library(error: ErrorStack) -> Error {
    Error::Protocol(format!("OpenSSL: {error}"))
}
