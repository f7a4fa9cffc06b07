//! The transport: one request, one bounded answer, a refusal read in any of the server's dialects.

use std::{io::Read, time::Duration};

use api::{Failure, device::RegistrationError, oauth::OAuthError};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_openssl::client::legacy::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use openssl::x509::X509;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::{Deletion, Error, Refusal, form::Form, tls};

const CONNECT: Duration = Duration::from_secs(5);
/// For a whole answer, beyond what a long poll waits.
pub(crate) const ANSWER: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 8 * 1024 * 1024;
const MAX_SENTENCE: usize = 1000;

/// A connection to the server; clones share it.
#[derive(Clone)]
pub struct Client {
    base: String,
    https: HttpsConnector<HttpConnector>,
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// What a request carries.
pub(crate) enum Body {
    /// Nothing.
    Empty,
    /// JSON.
    Json(Zeroizing<Vec<u8>>),
    /// A form.
    Form(Form),
}

/// A request on its way.
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: &'a str,
    pub(crate) bearer: Option<&'a str>,
    /// One header of our own.
    pub(crate) header: Option<(&'static str, &'a str)>,
    pub(crate) body: Body,
    /// How long the server was asked to wait.
    pub(crate) wait: Duration,
}

/// An answer, success or not.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The tag of what was answered.
    pub(crate) etag: Option<String>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Client {
    /// A client of the server at `base_url` that trusts `anchor` and nothing else.
    pub fn new(base_url: &str, anchor: &X509) -> Result<Self, Error> {
        tls::host_and_port(base_url)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let ssl = tls::connector(anchor).map_err(tls::library)?;
        let https = HttpsConnector::with_connector(tcp, ssl).map_err(tls::library)?;
        Ok(Self {
            base: base_url.trim_end_matches('/').to_owned(),
            http: unconnected(https.clone()),
            https,
        })
    }

    /// Another client of the same server, with connections of its own. [`Client::new`] costs more than
    /// most calls: OpenSSL reads every authority of the system first, of which none is trusted then.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            base: self.base.clone(),
            https: self.https.clone(),
            http: unconnected(self.https.clone()),
        }
    }

    /// The server's URL without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// Makes a call whose success is JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, Error> {
        self.send(call).await?.success()?.json()
    }

    /// Makes a call whose success says nothing more.
    pub(crate) async fn done(&self, call: Call<'_>) -> Result<(), Error> {
        self.send(call).await?.success().map(drop)
    }

    /// Makes a call.
    pub(crate) async fn send(&self, call: Call<'_>) -> Result<Answer, Error> {
        let limit = CONNECT + ANSWER + call.wait;
        timeout(limit, self.exchange(call))
            .await
            .map_err(|_| Error::Unreachable("no answer in time".to_owned()))?
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, Error> {
        let uri: Uri = format!("{}{}", self.base, call.path)
            .parse()
            .map_err(|_| Error::Protocol("the path does not fit a URL".to_owned()))?;
        let mut request = Request::builder()
            .method(call.method)
            .uri(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "gzip");
        if let Some(token) = call.bearer {
            let value = Zeroizing::new(format!("Bearer {token}"));
            let mut value = header::HeaderValue::from_str(&value)
                .map_err(|_| Error::Protocol("the token does not fit a header".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        if let Some((name, value)) = call.header {
            request = request.header(name, value);
        }
        let (kind, bytes) = match call.body {
            Body::Empty => (None, None),
            Body::Json(bytes) => (Some("application/json"), Some(bytes)),
            Body::Form(form) => (
                Some("application/x-www-form-urlencoded"),
                Some(form.into_bytes()),
            ),
        };
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let bytes = bytes.map(Bytes::from_owner).unwrap_or_default();
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Error::Protocol(format!("the request cannot be sent: {error}")))?;

        let answer = self.http.request(request).await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let text = |name| answer.headers().get(name)?.to_str().ok().map(str::to_owned);
        let (etag, encoding) = (text(header::ETAG), text(header::CONTENT_ENCODING));
        let body = Limited::new(answer.into_body(), MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| {
                if error.is::<http_body_util::LengthLimitError>() {
                    too_long()
                } else {
                    Error::Unreachable(error.to_string())
                }
            })?;
        let body = Zeroizing::new(Vec::from(body.to_bytes()));
        Ok(Answer {
            status,
            etag,
            body: match encoding.as_deref() {
                None | Some("identity") => body,
                Some("gzip") => unpacked(&body)?,
                Some(other) => {
                    let what = format!("the answer is packed as {other:?}");
                    return Err(Error::Protocol(what));
                }
            },
        })
    }
}

/// What was packed with gzip, as far as an answer may be long.
pub(crate) fn unpacked(packed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut body = Zeroizing::new(Vec::new());
    let mut unpacking = flate2::read::GzDecoder::new(packed).take(MAX_ANSWER as u64 + 1);
    unpacking
        .read_to_end(&mut body)
        .map_err(|_| Error::Protocol("the answer cannot be unpacked".to_owned()))?;
    match body.len() {
        0..=MAX_ANSWER => Ok(body),
        _ => Err(too_long()),
    }
}

fn unconnected(
    https: HttpsConnector<HttpConnector>,
) -> legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(https)
}

fn too_long() -> Error {
    Error::Protocol("the answer is longer than 8 MiB".to_owned())
}

impl Answer {
    /// The answer, if it is a success.
    pub(crate) fn success(self) -> Result<Self, Error> {
        match self.status {
            200..300 => Ok(self),
            _ => Err(self.refusal()),
        }
    }

    /// The body as a type.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::Protocol(format!("HTTP {}: {error}", self.status)))
    }

    pub(crate) fn text(&self) -> Result<String, Error> {
        let text = std::str::from_utf8(&self.body);
        text.map(str::to_owned)
            .map_err(|_| Error::Protocol(format!("HTTP {}: no text", self.status)))
    }

    /// The refusal, in whichever of the server's dialects it is written.
    pub(crate) fn refusal(&self) -> Error {
        let status = self.status;
        let mut statement = None;
        let refusal = if let Ok(failure) = serde_json::from_slice::<Failure>(&self.body) {
            Refusal {
                status,
                code: failure.code,
                sentence: failure.sentence,
                retry_after_s: failure.retry_after_s,
                tries_left: failure.tries_left,
            }
        } else if let Ok(failure) = serde_json::from_slice::<RegistrationError>(&self.body) {
            Refusal {
                status,
                code: failure.code,
                sentence: failure.message,
                retry_after_s: failure.retry_after_s,
                tries_left: None,
            }
        } else if let Ok(failure) = serde_json::from_slice::<OAuthError>(&self.body) {
            statement = failure.device_deleted.map(Deletion);
            Refusal {
                status,
                code: failure
                    .error_codes
                    .first()
                    .map_or(failure.error, u32::to_string),
                sentence: failure.error_description,
                retry_after_s: failure.retry_after_s,
                tries_left: None,
            }
        } else if matches!(status, 502..=504) {
            // A gateway speaks for a server that is away.
            return Error::Unreachable(format!("HTTP {status}"));
        } else {
            return Error::Protocol(format!("HTTP {status} without a reason"));
        };
        let sentence = refusal.sentence.chars().filter(|c| !c.is_control());
        let refusal = Refusal {
            sentence: sentence.take(MAX_SENTENCE).collect(),
            ..refusal
        };
        match statement {
            None => Error::Refused(refusal),
            Some(statement) => Error::DeviceDeleted { refusal, statement },
        }
    }
}

impl Body {
    /// A JSON body.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self, Error> {
        serde_json::to_vec(value)
            .map(|bytes| Self::Json(Zeroizing::new(bytes)))
            .map_err(|error| Error::Protocol(format!("the request cannot be written: {error}")))
    }
}

impl<'a> Call<'a> {
    /// A call without a token or body.
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            bearer: None,
            header: None,
            body: Body::Empty,
            wait: Duration::ZERO,
        }
    }

    pub(crate) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &'a str, body: Body) -> Self {
        Self {
            body,
            ..Self::new(Method::POST, path)
        }
    }

    pub(crate) fn bearer(self, token: &'a str) -> Self {
        Self {
            bearer: Some(token),
            ..self
        }
    }

    pub(crate) fn waiting(self, seconds: u32) -> Self {
        Self {
            wait: Duration::from_secs(seconds.into()),
            ..self
        }
    }
}

/// The whole chain: hyper's own text says only that connecting failed.
fn unreachable(error: legacy::Error) -> Error {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    Error::Unreachable(text)
}
