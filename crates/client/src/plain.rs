//! A public file by plain HTTP, such as a revocation list: signed by whoever made it, and fetched
//! without a ticket, a cookie, a redirection or TLS (whose own certificates would want such lists).

use std::time::Duration;

use http::{Request, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

use crate::Error;

/// The file at an address that begins with `http://`, at most `limit` bytes of it.
pub async fn fetch(url: &str, limit: usize) -> Result<Vec<u8>, Error> {
    timeout(PATIENCE, get(url, limit))
        .await
        .map_err(|_| Error::Unreachable("no answer in time".to_owned()))?
}

async fn get(url: &str, limit: usize) -> Result<Vec<u8>, Error> {
    let uri: Uri = url
        .parse()
        .map_err(|_| Error::Protocol("the address is no URL".to_owned()))?;
    let request = Request::get(uri)
        .body(Empty::<Bytes>::new())
        .map_err(|error| Error::Protocol(error.to_string()))?;
    // Without TLS in it: any other scheme is refused.
    let http = legacy::Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let answer = http
        .request(request)
        .await
        .map_err(|error| Error::Unreachable(error.to_string()))?;
    if answer.status() != http::StatusCode::OK {
        return Err(Error::Protocol(format!("HTTP {}", answer.status())));
    }
    let body = Limited::new(answer.into_body(), limit).collect().await;
    let body = body.map_err(|error| Error::Protocol(error.to_string()))?;
    Ok(body.to_bytes().to_vec())
}

/// For the whole.
const PATIENCE: Duration = Duration::from_secs(15);
