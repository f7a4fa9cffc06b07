//! Connections: how many, how long, how much; and the request's id in every line of the log.

use std::{convert::Infallible, sync::Arc, time::Duration};

use api::{
    MAX_BODY, MAX_BULK_BODY,
    policies::{MAX_POLICY_STATUS, POLICY_STATUS_PATH},
    scim::BULK_PATH,
};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use openssl::{
    ssl::{Ssl, SslAcceptor},
    x509::X509,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_openssl::SslStream;
use tower::Service as _;
use tracing::Instrument as _;

use crate::{
    error::{REQUEST, Refusal},
    graph::{self, envelope::Envelope},
    limits::{Counter, Limits},
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

/// The routes, and what every request goes through before and after them. That is one function and no
/// stack of layers: each layer keeps its share of a request that waits, and ten thousand wait.
#[derive(Clone)]
pub(crate) struct Guarded {
    routes: Router,
    counter: Arc<Counter>,
    is_any_case: bool,
    peer: Option<PeerCertificate>,
}

/// Puts the routes behind it.
pub(crate) fn guarded(routes: Router, limits: Limits) -> Guarded {
    Guarded {
        // Bodies are read whole before: no handler bounds them anew.
        routes: routes
            .fallback(not_found)
            .layer(DefaultBodyLimit::disable()),
        counter: Arc::new(Counter::new(limits)),
        is_any_case: false,
        peer: None,
    }
}

async fn not_found() -> Refusal {
    Refusal::own(
        StatusCode::NOT_FOUND,
        "bad_request",
        "there is nothing under this path",
    )
}

impl Guarded {
    /// The same under paths in any case.
    pub(crate) fn in_any_case(self) -> Self {
        Self {
            is_any_case: true,
            ..self
        }
    }

    /// The same for a peer that showed a certificate.
    fn shown_by(self, peer: Option<X509>) -> Self {
        Self {
            peer: peer.map(PeerCertificate),
            ..self
        }
    }

    /// Gives the request an id, and the log one line about it. The query is not logged.
    async fn answer(self, request: http::Request<Incoming>) -> Result<Response, Infallible> {
        let id = match random::guid() {
            Ok(id) => id,
            Err(error) => return Ok(Refusal::from(error).into_response()),
        };
        let request = request.map(Body::new);
        let request = match self.is_any_case {
            true => paths::in_our_case(request),
            false => request,
        };
        let (method, path) = (request.method(), request.uri().path());
        let span = tracing::info_span!("request", %id, %method, path);
        let work = async {
            let begun = tokio::time::Instant::now();
            let envelope = Envelope::of(&request);
            let mut response = self.pass(request).await;
            if let Some(envelope) = envelope {
                response = envelope.around(response).await;
            }
            let status = response.status().as_u16();
            tracing::info!(status, ms = begun.elapsed().as_millis() as u64, "answered");
            if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
                response.headers_mut().insert("request-id", value);
            }
            Ok(response)
        };
        REQUEST.scope(id, work.instrument(span)).await
    }

    /// Lets a request through to the routes, where its party may send one and its body is there.
    async fn pass(&self, mut request: Request) -> Response {
        if let Some(refused) = self.counter.refusal(&request) {
            return refused;
        }
        if let Some(peer) = &self.peer {
            request.extensions_mut().insert(peer.clone());
        }
        let request = match Box::pin(whole(request)).await {
            Ok(request) => request,
            Err(refusal) => return refusal.into_response(),
        };
        let mut routes = self.routes.clone();
        match routes.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The request with its body read whole, within its size and time: no handler sees more, or half.
async fn whole(request: Request) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    let most = match head.uri.path() {
        BULK_PATH => MAX_BULK_BODY,
        POLICY_STATUS_PATH => MAX_POLICY_STATUS,
        path if graph::is_path(path) => graph::MAX_BODY,
        _ => MAX_BODY,
    };
    let refused = |status, sentence| Err(Refusal::own(status, "bad_request", sentence));
    match timeout(PATIENCE, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(_)) => refused(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too long, or cut off",
        ),
        Err(_) => refused(StatusCode::REQUEST_TIMEOUT, "the body took too long"),
    }
}

/// Serves one connection to its end, to the end of its life, or until the word to stop.
pub(crate) async fn serve_connection<S>(stream: S, routes: Guarded, stop: watch::Receiver<bool>)
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
            service_fn(move |request| routes.clone().answer(request)),
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
pub(crate) async fn serve_tls(door: Door, routes: Guarded, stop: watch::Receiver<bool>) {
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
                let routes = routes.shown_by(stream.ssl().peer_certificate());
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
    routes: Guarded,
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
        let routes = guarded(routes, Limits::NONE);
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
