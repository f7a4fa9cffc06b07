//! Connections: how many, how long, how much; and the request's id in every line of the log.

use std::{sync::Arc, time::Duration};

use api::{
    MAX_BODY, MAX_BULK_BODY,
    policies::{MAX_POLICY_STATUS, POLICY_STATUS_PATH},
    scim::BULK_PATH,
};
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, StatusCode},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use openssl::ssl::{Ssl, SslAcceptor};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_openssl::SslStream;
use tower::util::MapRequest;
use tracing::Instrument as _;

use crate::{
    error::{REQUEST, Refusal},
    graph,
    limits::{Counter, Limits, limited},
    metrics::Metrics,
    paths, random,
    source::PEER,
    stall::Impatient,
    tls::PeerCertificate,
};

/// Connections at once; a long poll holds one.
const CONNECTIONS: usize = 16_384;

/// The most bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;

/// How long a handshake, and a request's body, may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may wait for its next request, and how long a head may take. Our clients
/// close theirs after 60 seconds: whoever closes first should be the one who sends.
const IDLE: Duration = Duration::from_secs(75);

/// The whole life of a connection: whoever holds one longer makes a new one, on today's terms.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// How long the request that is under way at the end of that life may go on: a long poll, its body
/// and its answer.
const LAST_REQUEST: Duration = Duration::from_secs(60);

/// How long requests that are under way may go on after the word to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Puts what every request goes through around the routes.
pub(crate) fn guarded(routes: Router, limits: Limits) -> Router {
    let counter = Arc::new(Counter::new(limits));
    routes
        .fallback(not_found)
        // It is read whole here: no handler bounds it anew.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn(bounded_body))
        .layer(from_fn_with_state(counter, limited))
        .layer(from_fn(graph::envelope::enveloped))
        .layer(from_fn(named))
}

/// The same routes under paths in any case.
pub(crate) fn in_any_case(routes: Router) -> Router {
    Router::new().fallback_service(MapRequest::new(routes, paths::in_our_case as fn(_) -> _))
}

async fn not_found() -> Refusal {
    Refusal::own(
        StatusCode::NOT_FOUND,
        "bad_request",
        "there is nothing under this path",
    )
}

/// Reads the body whole, within its size and time: no handler sees more, or half.
async fn bounded_body(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let most = match head.uri.path() {
        BULK_PATH => MAX_BULK_BODY,
        POLICY_STATUS_PATH => MAX_POLICY_STATUS,
        path if graph::is_path(path) => graph::MAX_BODY,
        _ => MAX_BODY,
    };
    let refused = |status, sentence| Refusal::own(status, "bad_request", sentence).into_response();
    match timeout(PATIENCE, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Ok(Err(_)) => refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too long, or cut off",
        ),
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    }
}

/// Gives the request an id, and the log one line about it. The query is not logged.
async fn named(request: Request, next: Next) -> Response {
    let id = match random::guid() {
        Ok(id) => id,
        Err(error) => return Refusal::from(error).into_response(),
    };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", %id, %method, path);
    let work = async {
        let begun = tokio::time::Instant::now();
        let mut response = next.run(request).await;
        let status = response.status().as_u16();
        tracing::info!(status, ms = begun.elapsed().as_millis() as u64, "answered");
        if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
            response.headers_mut().insert("request-id", value);
        }
        response
    };
    REQUEST.scope(id, work.instrument(span)).await
}

/// Serves one connection to its end, to the end of its life, or until the word to stop.
pub(crate) async fn serve_connection<S>(stream: S, routes: Router, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(MAX_HEAD)
        .max_headers(64)
        .serve_connection(
            TokioIo::new(Impatient::new(stream)),
            TowerToHyperService::new(routes),
        );
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A client that hangs up in the middle is no news.
        _ = connection.as_mut() => return,
        () = stopped(stop.clone()) => {}
        () = sleep(LIFE) => {}
    }
    connection.as_mut().graceful_shutdown();
    let shut_down = async {
        stopped(stop).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        _ = connection => {}
        () = shut_down => {}
        () = sleep(LAST_REQUEST) => {}
    }
}

/// Waits for the word to stop; its absence for good is one too.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A connection that could not be accepted is told to the log; most likely all descriptors are in
/// use, and the next connection that ends gives one back.
pub(crate) async fn wait_for_descriptors(error: &std::io::Error) {
    tracing::warn!(%error, "a connection could not be accepted");
    sleep(Duration::from_millis(50)).await;
}

/// Where connections are accepted, and by which certificate.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) acceptor: watch::Receiver<SslAcceptor>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Accepts TLS connections until the word to stop, then waits for those that are open.
pub(crate) async fn serve_tls(door: Door, routes: Router, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            break;
        };
        let accepted = tokio::select! {
            accepted = door.listener.accept() => accepted,
            () = stopped(stop.clone()) => break,
        };
        while open.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                wait_for_descriptors(&error).await;
                continue;
            }
        };
        let (routes, stop) = (routes.clone(), stop.clone());
        let (acceptor, counted) = (door.acceptor.borrow().clone(), door.metrics.opened());
        let connection = async move {
            let _held = (place, counted);
            // An answer is one write: waiting for more to send would only delay it.
            let _ = stream.set_nodelay(true);
            let Ok(ssl) = Ssl::new(acceptor.context()) else {
                return;
            };
            let Ok(mut stream) = SslStream::new(ssl, stream) else {
                return;
            };
            let shaken = timeout(PATIENCE, std::pin::Pin::new(&mut stream).accept()).await;
            if let Ok(Ok(())) = shaken {
                let routes = match stream.ssl().peer_certificate() {
                    None => routes,
                    Some(shown) => routes.layer(Extension(PeerCertificate(shown))),
                };
                serve_connection(stream, routes, stop).await;
            }
        };
        open.spawn(PEER.scope(Some(peer.ip()), connection));
    }
    while open.join_next().await.is_some() {}
}

/// Accepts connections in clear until the word to stop: for metrics, on an address of its own.
pub(crate) async fn serve_plain(
    listener: TcpListener,
    routes: Router,
    stop: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(stop.clone()) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(serve_connection(stream, routes.clone(), stop.clone()));
            }
            Err(error) => wait_for_descriptors(&error).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        task::JoinHandle,
        time::Instant,
    };

    use super::*;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    /// A connection to a server that answers so many bytes, and that is never told to stop.
    fn serve(bytes: usize) -> (DuplexStream, JoinHandle<()>, watch::Sender<bool>) {
        let (client, stream) = duplex(4096);
        let (word, stop) = watch::channel(false);
        let routes = Router::new().route("/", get(move || async move { vec![b'a'; bytes] }));
        let server = tokio::spawn(serve_connection(stream, routes, stop));
        (client, server, word)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_life_however_busy_it_is() {
        let (mut client, server, _word) = serve(1);
        let begun = Instant::now();
        let mut buffer = [0; 4096];
        while !server.is_finished() {
            client.write_all(REQUEST).await.unwrap();
            assert_ne!(client.read(&mut buffer).await.unwrap(), 0);
            let rest = timeout(IDLE - PATIENCE, client.read(&mut buffer)).await;
            if matches!(rest, Ok(Ok(0))) {
                break;
            }
        }
        assert_eq!(begun.elapsed().as_secs(), LIFE.as_secs());
        server.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_its_connection() {
        let (mut client, server, _word) = serve(1024 * 1024);
        let begun = Instant::now();
        client.write_all(REQUEST).await.unwrap();
        server.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_under_way_gets_its_grace_after_the_word_to_stop() {
        let (mut client, server, word) = serve(1024 * 1024);
        client.write_all(REQUEST).await.unwrap();
        sleep(PATIENCE).await;
        let begun = Instant::now();
        word.send_replace(true);
        server.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), GRACE.as_secs());
    }
}
