//! A server in this process, with a folder, a certificate and a clock of its own.

use std::{
    collections::BTreeMap,
    io::Read as _,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    pin::Pin,
    process::Command,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, body::Bytes};
use hyper_util::rt::TokioIo;
use latchkey_server::{Clock, Config, Server};
use model::Guid;
use openssl::{
    asn1::Asn1Time,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    ssl::{SslConnector, SslMethod},
    x509::{X509, X509Name, extension::SubjectAlternativeName},
};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_openssl::SslStream;

/// Why there is no connection.
type Broken = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const URL: &str = "https://localhost";

/// A server that runs until it is dropped.
pub(crate) struct TestServer {
    pub(crate) folder: PathBuf,
    pub(crate) tenant: Guid,
    pub(crate) fingerprint: String,
    address: SocketAddr,
    certificate: X509,
    skew_ms: Arc<AtomicI64>,
    connector: Mutex<Option<SslConnector>>,
    server: Option<Server>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// The text as JSON; null where it is none.
    pub(crate) body: Value,
}

impl Answer {
    /// The body, where the request was done.
    #[track_caller]
    pub(crate) fn good(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{}: {}",
            self.status,
            self.body
        );
        self.body
    }

    /// Where the answer sends the browser.
    #[track_caller]
    pub(crate) fn location(&self) -> &str {
        let location = self.headers.get("location");
        let location = location.unwrap_or_else(|| panic!("{}: {}", self.status, self.text));
        location.to_str().unwrap()
    }

    /// The AADSTS number of a refusal.
    #[track_caller]
    pub(crate) fn number(&self) -> u64 {
        self.body["error_codes"][0]
            .as_u64()
            .unwrap_or_else(|| panic!("{}", self.body))
    }

    /// Status and code of a refusal of another interface.
    #[track_caller]
    pub(crate) fn code(&self) -> (u16, &str) {
        (
            self.status,
            self.body["code"]
                .as_str()
                .unwrap_or_else(|| panic!("{}", self.body)),
        )
    }
}

/// What `init` made once, to be copied: hashing a password and making keys takes its time.
struct Template {
    lines: String,
    certificate: X509,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// Stands for the folder in the copied configuration.
const FOLDER: &str = "@folder@";

impl Template {
    fn make() -> Self {
        let folder = new_folder();
        // It is closed to others, although it was there before.
        std::fs::create_dir(folder.join("data")).unwrap();
        let certificate = write_certificate(&folder);
        let output = run_init(&folder);
        assert!(output.status.success(), "{output:?}");
        let files = ["server.toml", "cert.pem", "key.pem"]
            .map(PathBuf::from)
            .into_iter();
        let data = std::fs::read_dir(folder.join("data")).unwrap();
        let data = data.map(|entry| Path::new("data").join(entry.unwrap().file_name()));
        let read = |name: PathBuf| {
            let content = std::fs::read(folder.join(&name)).unwrap();
            (name, content)
        };
        let mut files: Vec<_> = files.chain(data).map(read).collect();
        let config = String::from_utf8(files[0].1.clone()).unwrap();
        files[0].1 = config
            .replace(folder.to_str().unwrap(), FOLDER)
            .into_bytes();
        let mode = std::fs::metadata(folder.join("data"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::remove_dir_all(folder).unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        Self {
            lines,
            certificate,
            files,
        }
    }

    fn write(&self, folder: &Path) {
        std::fs::create_dir(folder.join("data")).unwrap();
        for (name, content) in &self.files {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let config = String::from_utf8(self.files[0].1.clone()).unwrap();
        let config = config.replace(FOLDER, folder.to_str().unwrap());
        std::fs::write(folder.join("server.toml"), config).unwrap();
    }
}

/// The word after `name` in what `init` printed.
fn shown(lines: &str, name: &str) -> String {
    let line = lines.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// `latchkey-server init` in a folder that holds a certificate and its key.
pub(crate) fn run_init(folder: &Path) -> std::process::Output {
    run_init_with(folder, &[])
}

fn run_init_with(folder: &Path, further: &[&str]) -> std::process::Output {
    let path = |name: &str| folder.join(name).into_os_string();
    let mut init = Command::new(env!("CARGO_BIN_EXE_latchkey-server"));
    init.args([
        "init",
        "--url",
        URL,
        "--listen",
        "127.0.0.1:0",
        "--tenant-name",
        "Example",
    ]);
    for (flag, name) in [
        ("--data", "data"),
        ("--config", "server.toml"),
        ("--tls-cert", "cert.pem"),
        ("--tls-key", "key.pem"),
        ("--admin-socket", "admin.sock"),
    ] {
        init.arg(flag).arg(path(name));
    }
    init.args(further);
    init.output().unwrap()
}

fn new_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("latchkey-server-it-{}-{count}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        static TEMPLATE: OnceLock<Template> = OnceLock::new();
        let template = TEMPLATE.get_or_init(Template::make);
        let folder = new_folder();
        template.write(&folder);
        let mut server = Self {
            tenant: shown(&template.lines, "tenant").parse().unwrap(),
            fingerprint: shown(&template.lines, "fingerprint"),
            folder,
            address: ([127, 0, 0, 1], 0).into(),
            certificate: template.certificate.clone(),
            skew_ms: Arc::default(),
            connector: Mutex::default(),
            server: None,
        };
        server.restart().await;
        server
    }

    /// One whose store is a PostgreSQL database, and that does not run yet.
    pub(crate) fn on_postgres(url: &str) -> Self {
        let folder = new_folder();
        let certificate = write_certificate(&folder);
        let output = run_init_with(&folder, &["--store", url]);
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        Self {
            tenant: shown(&lines, "tenant").parse().unwrap(),
            fingerprint: shown(&lines, "fingerprint"),
            folder,
            address: ([127, 0, 0, 1], 0).into(),
            certificate,
            skew_ms: Arc::default(),
            connector: Mutex::default(),
            server: None,
        }
    }

    /// Requests go to a process that runs on this folder.
    pub(crate) fn attach(&mut self, address: SocketAddr) {
        self.address = address;
    }

    /// One request over TLS, to a server that may be gone.
    pub(crate) async fn try_post_json(
        &self,
        path: &str,
        bearer: &str,
        body: &Value,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.try_connect().await?;
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str())];
        try_exchange(
            stream,
            "POST",
            path,
            &headers,
            body.to_string().into_bytes(),
        )
        .await
    }

    /// One request to the administrator's socket of a server that may be gone.
    pub(crate) async fn try_admin(
        &self,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(self.folder.join("admin.sock")).await?;
        try_exchange(stream, method, path, &[], body.to_string().into_bytes()).await
    }

    /// Stops it where it runs, and starts it anew on what is stored.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let skew = Arc::clone(&self.skew_ms);
        let clock = Clock::new(move || now_ms() + skew.load(Ordering::Relaxed));
        let config = Config::read(&self.folder.join("server.toml")).unwrap();
        let server = Server::start(config, clock).await.unwrap();
        self.address = server.address;
        self.server = Some(server);
    }

    /// Goes on at a port that its URL names, as a browser wants it; the URL.
    pub(crate) async fn move_to_its_url(&mut self) -> String {
        let port = self.address.port();
        let url = format!("{URL}:{port}");
        let path = self.folder.join("server.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let config = config
            .replace("127.0.0.1:0", &format!("127.0.0.1:{port}"))
            .replace(&format!("\"{URL}\""), &format!("\"{url}\""));
        std::fs::write(&path, config).unwrap();
        self.restart().await;
        url
    }

    /// SHA-256 of the server's public key, by which a browser may be told to trust it.
    pub(crate) fn tls_key_sha256(&self) -> [u8; 32] {
        let key = self.certificate.public_key().unwrap();
        model::sha256(&key.public_key_to_der().unwrap())
    }

    /// Every path of the public interface.
    pub(crate) fn paths(&self) -> &[String] {
        &self.server.as_ref().unwrap().paths
    }

    /// The server itself.
    pub(crate) fn running(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// Adds lines to the configuration, for the next start.
    pub(crate) fn configure(&self, lines: &str) {
        let path = self.folder.join("server.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, format!("{text}\n{lines}\n")).unwrap();
    }

    /// Lets time pass for the server.
    pub(crate) fn pass(&self, seconds: i64) {
        self.skew_ms.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    /// The server's time.
    pub(crate) fn now(&self) -> i64 {
        (now_ms() + self.skew_ms.load(Ordering::Relaxed)) / 1000
    }

    pub(crate) fn token_path(&self) -> String {
        api::oauth::token_path(self.tenant)
    }

    /// What the server keeps, by another door than its own.
    pub(crate) fn store(&self) -> store::Store {
        store::Store::open_sqlite(&self.folder.join("data/store.sqlite")).unwrap()
    }

    /// Stops it where it runs.
    pub(crate) async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Takes another certificate for the server's; the one before.
    pub(crate) fn trust(&mut self, certificate: X509) -> X509 {
        self.connector = Mutex::default();
        std::mem::replace(&mut self.certificate, certificate)
    }

    /// A connection over TLS, to a server whose certificate is this one's.
    pub(crate) async fn connect(&self) -> SslStream<TcpStream> {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> Result<SslStream<TcpStream>, Broken> {
        self.connect_as(None).await
    }

    async fn connect_as(
        &self,
        client: Option<(&X509, &PKey<Private>)>,
    ) -> Result<SslStream<TcpStream>, Broken> {
        let ssl = self
            .connector(client)
            .configure()
            .unwrap()
            .into_ssl("localhost")
            .unwrap();
        let stream = TcpStream::connect(self.address).await?;
        let mut stream = SslStream::new(ssl, stream)?;
        Pin::new(&mut stream).connect().await?;
        Ok(stream)
    }

    /// What trusts the server's certificate; the one without a certificate of its own is kept: making
    /// one reads all that the machine trusts.
    fn connector(&self, client: Option<(&X509, &PKey<Private>)>) -> SslConnector {
        let mut kept = self.connector.lock().unwrap();
        if let (None, Some(connector)) = (client, kept.as_ref()) {
            return connector.clone();
        }
        let mut builder = SslConnector::builder(SslMethod::tls_client()).unwrap();
        if let Some((certificate, key)) = client {
            builder.set_certificate(certificate).unwrap();
            builder.set_private_key(key).unwrap();
        }
        let trusted = builder.cert_store_mut();
        trusted.add_cert(self.certificate.clone()).unwrap();
        let connector = builder.build();
        if client.is_none() {
            *kept = Some(connector.clone());
        }
        connector
    }

    /// One request over TLS.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        self.send_as(None, method, path, headers, body).await
    }

    /// The same, by somebody with a certificate and its key.
    pub(crate) async fn send_as(
        &self,
        client: Option<(&X509, &PKey<Private>)>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let stream = self.connect_as(client).await.unwrap();
        exchange(stream, method, path, headers, body).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> Answer {
        self.send(
            "GET",
            path,
            &[("authorization", &format!("Bearer {bearer}"))],
            Vec::new(),
        )
        .await
    }

    pub(crate) async fn delete(&self, path: &str, bearer: &str) -> Answer {
        let bearer = format!("Bearer {bearer}");
        self.send("DELETE", path, &[("authorization", &bearer)], Vec::new())
            .await
    }

    pub(crate) async fn post_json(&self, path: &str, bearer: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {bearer}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.send("POST", path, &headers, body.to_string().into_bytes())
            .await
    }

    pub(crate) async fn post_form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let body = serde_urlencoded::to_string(fields).unwrap().into_bytes();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &[&form[..], headers].concat(), body)
            .await
    }

    /// One request to the administrator's socket.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        let stream = UnixStream::connect(self.folder.join("admin.sock"))
            .await
            .unwrap();
        let body = body
            .map(|body| body.to_string().into_bytes())
            .unwrap_or_default();
        exchange(stream, method, path, &[], body).await
    }

    /// A command of the installed program against this server.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_latchkey-server"))
            .args(arguments)
            .arg("--config")
            .arg(self.folder.join("server.toml"))
            .output()
            .unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The RSA key of that name: one and the same all through the run, because making one takes its
/// time. Who must have different keys has different names.
pub(crate) fn rsa_key(name: &'static str) -> PKey<Private> {
    static KEYS: Mutex<BTreeMap<&str, PKey<Private>>> = Mutex::new(BTreeMap::new());
    let make = || PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    KEYS.lock()
        .unwrap()
        .entry(name)
        .or_insert_with(make)
        .clone()
}

/// A certificate that a key signs for itself.
pub(crate) fn self_signed(name: &str, key: &PKey<Private>) -> X509 {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if name == "localhost" {
        let context = builder.x509v3_context(None, None);
        let names = SubjectAlternativeName::new()
            .dns(name)
            .build(&context)
            .unwrap();
        builder.append_extension(names).unwrap();
    }
    builder.sign(key, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn write_certificate(folder: &Path) -> X509 {
    let key = rsa_key("tls");
    let certificate = self_signed("localhost", &key);
    std::fs::write(folder.join("cert.pem"), certificate.to_pem().unwrap()).unwrap();
    std::fs::write(
        folder.join("key.pem"),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    certificate
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as i64
}

async fn exchange<S>(
    stream: S,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answer
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = try_exchange(stream, method, path, headers, body).await;
    answer.unwrap()
}

async fn try_exchange<S>(
    stream: S,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "localhost");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let body = response.into_body().collect().await?.to_bytes();
    driver.abort();
    let body = match headers.get("content-encoding") {
        None => body.to_vec(),
        Some(_) => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain)?;
            plain
        }
    };
    let text = String::from_utf8_lossy(&body).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer {
        status,
        headers,
        text,
        body,
    })
}
