//! The devices: they join, hold their polls, and are told of a change.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use api::policies::POLICIES_PATH;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, body::Bytes, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use model::Guid;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use crate::{
    parties::{Agent, Device, rand},
    server::TestServer,
};

/// Computers of one commit, and devices that join or connect at a time.
const BULK: usize = 200;
const AT_ONCE: usize = 32;

/// Devices with their tokens.
pub(crate) struct Fleet {
    tokens: Vec<String>,
}

type Sender = SendRequest<Empty<Bytes>>;

async fn connect(server: &TestServer) -> Sender {
    let stream = TokioIo::new(server.connect().await);
    let (sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// One check-in; the status, the tag, and how long the answer is.
async fn ask(sender: &mut Sender, bearer: &str, tag: &str, wait: u32) -> (u16, String, usize) {
    let request = Request::get(format!("{POLICIES_PATH}?wait={wait}"))
        .header("host", "localhost")
        .header("authorization", bearer)
        .header("accept-encoding", "gzip")
        .header("if-none-match", tag)
        .body(Empty::new())
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(matches!(status, 200 | 304), "{status}");
    (status, tag, body.len())
}

impl Fleet {
    /// Has so many computers of the directory join.
    pub(crate) async fn join(server: &Arc<TestServer>, count: usize) -> Self {
        let agent = Agent::enroll(server).await;
        // All of them have one key: to the server it does not matter.
        let device = |_| Device {
            id: Guid::from_le_bytes(rand()),
            ..Device::new()
        };
        let devices: Vec<Device> = (0..count).map(device).collect();
        for devices in devices.chunks(BULK) {
            // A request is one commit, and its body has a bound.
            let computers: Vec<Value> = devices.iter().map(Device::as_operation).collect();
            agent.bulk(server, json!(computers)).await.good();
        }
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut joining = JoinSet::new();
        for mut device in devices {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let server = Arc::clone(server);
            joining.spawn(async move {
                let _held = place;
                device.join(&server).await;
                device.token(&server).await
            });
        }
        Self {
            tokens: joining.join_all().await,
        }
    }

    /// Has each device hold its poll, on a connection of its own.
    pub(crate) async fn hold(&self, server: &Arc<TestServer>) -> Polls {
        let (told, news) = mpsc::unbounded_channel();
        let (waits, waiting) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut polling = JoinSet::new();
        for token in &self.tokens {
            let place = Arc::clone(&places).acquire_owned().await.unwrap();
            let (server, told, waits) = (Arc::clone(server), told.clone(), waits.clone());
            let bearer = format!("Bearer {token}");
            polling.spawn(async move {
                let mut sender = connect(&server).await;
                drop(place);
                let (_, mut tag, _) = ask(&mut sender, &bearer, "\"none\"", 0).await;
                let _ = waits.send(());
                loop {
                    let (status, new, _) = ask(&mut sender, &bearer, &tag, 25).await;
                    if status == 200 && told.send(Instant::now()).is_err() {
                        break;
                    }
                    tag = new;
                }
            });
        }
        Polls {
            count: self.tokens.len(),
            waiting,
            news,
            _polling: polling,
        }
    }

    /// How long check-ins take of which nothing is new, one after the other, in seconds. A device is a
    /// machine of its own: this one does not wait for those whose polls are renewed meanwhile.
    pub(crate) async fn check_in(&self, server: &Arc<TestServer>, count: usize) -> Vec<f64> {
        let (server, bearer) = (Arc::clone(server), format!("Bearer {}", self.tokens[0]));
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(check_in(&server, &bearer, count))
        };
        tokio::task::spawn_blocking(work).await.unwrap()
    }
}

async fn check_in(server: &TestServer, bearer: &str, count: usize) -> Vec<f64> {
    let mut sender = connect(server).await;
    let (_, tag, _) = ask(&mut sender, bearer, "\"none\"", 0).await;
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        let (status, ..) = ask(&mut sender, bearer, &tag, 0).await;
        times.push(begun.elapsed().as_secs_f64());
        assert_eq!(status, 304);
    }
    times
}

/// Polls that are held.
pub(crate) struct Polls {
    count: usize,
    waiting: mpsc::UnboundedReceiver<()>,
    news: mpsc::UnboundedReceiver<Instant>,
    /// They end with it.
    _polling: JoinSet<()>,
}

impl Polls {
    /// Waits until each device has been told what there is, and so waits for what comes.
    pub(crate) async fn until_all_wait(&mut self, patience: Duration) {
        let all = async {
            for _ in 0..self.count {
                self.waiting.recv().await.expect("devices ask on");
            }
        };
        timeout(patience, all).await.expect("every device waits");
    }

    /// Assigns a policy to every device; after how many seconds 99 % have it.
    pub(crate) async fn change(&mut self, server: &TestServer, patience: Duration) -> f64 {
        let new = json!({
            "name": "Everybody",
            "settings": [
                { "setting": "use-hello", "value": "on" },
                { "setting": "min-pin-length", "value": "8" },
            ],
        });
        server.admin("POST", "/policies", Some(new)).await.good();
        let assigned = json!({ "assignments": ["all-devices"] });
        let begun = Instant::now();
        let assigned = Some(assigned);
        server
            .admin("PUT", "/policies/Everybody", assigned)
            .await
            .good();
        let most = self.count * 99 / 100;
        let mut last = begun;
        let enough = async {
            for _ in 0..most {
                last = self.news.recv().await.expect("devices ask on");
            }
        };
        timeout(patience, enough).await.expect("devices are told");
        (last - begun).as_secs_f64()
    }
}
