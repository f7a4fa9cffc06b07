//! A server in a network namespace that has a loopback and nothing else, where it is
//! `idp.test` and every name that clients have built in.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use argon2::{Argon2, PasswordHasher as _, password_hash::SaltString};
use model::{Guid, UnixTime};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use store::{
    App, AppKind, Audit, Compat, Computer, DirectoryChange, Password, Store, User, UserKind,
};
use testkit::lab::target_folder;
use testkit::wait;

/// The server's own name.
pub(crate) const HOST: &str = "idp.test";

/// Names that clients have built in.
const BUILT_IN: [&str; 2] = [
    "login.microsoftonline.com",
    "enterpriseregistration.windows.net",
];

/// Has one factor.
pub(crate) const EMIL: &str = "emil@cloud.example";
/// Has a generator of one-time passwords too.
pub(crate) const DORA: &str = "dora@cloud.example";
pub(crate) const PASSWORD: &str = "Correct horse & battery";
pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs until it is dropped.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) tenant: Guid,
    server: Child,
}

pub(crate) fn guid(byte: u8) -> Guid {
    Guid::from_le_bytes([byte; 16])
}

pub(crate) fn audit() -> Audit {
    Audit {
        at: UnixTime(1_800_000_000),
        actor: "admin".to_owned(),
        action: "test",
        subject: "test".to_owned(),
    }
}

/// An application that may do nothing out of the ordinary.
pub(crate) fn app(client_id: &str, kind: AppKind) -> App {
    App {
        client_id: client_id.to_owned(),
        name: client_id.to_owned(),
        kind,
        redirect_uris: vec!["https://rp.test/callback".to_owned()],
        post_logout_uris: Vec::new(),
        jwks: None,
        resources: vec!["https://graph.microsoft.com".to_owned()],
        compat: Compat::default(),
        enabled: true,
    }
}

/// Every weaker form.
pub(crate) fn weaker() -> Compat {
    Compat {
        ropc: true,
        device_code: true,
        kdf1: true,
        cbc: true,
        no_pkce: true,
    }
}

impl Bench {
    /// A server for these applications, whose doors for foreign clients are open, and which knows
    /// `computers` as an agent would have brought them.
    pub(crate) fn start(apps: Vec<App>, computers: Vec<Computer>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-clients-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        write_certificates(&folder);
        let tenant = init(&folder);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(fill(&folder, tenant, apps, computers));
        let server = run_server(&folder);
        let mut bench = Self {
            folder,
            tenant,
            server,
        };
        bench.await_ready();
        bench.set_generator();
        bench
    }

    fn await_ready(&mut self) {
        let log = self.folder.join("server.log");
        let server = &mut self.server;
        wait::until("the server to be ready", PATIENCE, || {
            assert!(server.try_wait().unwrap().is_none(), "{}", read(&log));
            read(&log).contains("ready")
        })
        .unwrap();
    }

    /// Dora's generator, by the administrator's socket.
    fn set_generator(&self) {
        let body = format!("{{\"secret\":\"{SECRET}\"}}");
        self.admin("POST", &format!("/users/{DORA}/totp"), &body);
    }

    /// A request to the administrator's socket.
    pub(crate) fn admin(&self, method: &str, path: &str, body: &str) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut socket = UnixStream::connect(self.folder.join("admin.sock")).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    /// A program in the server's network, which trusts the server's certificate, with this folder
    /// as its own.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let certificate = self.folder.join("ca.pem");
        let mut command = Command::new("nsenter");
        command
            .args([
                "--net",
                "--mount",
                "--target",
                &self.server.id().to_string(),
            ])
            .arg(format!("--wd={}", self.folder.display()))
            .arg("--")
            .arg(program)
            .env("TENANT", self.tenant.to_string())
            .env("HOST", HOST)
            .env("PASSWORD", PASSWORD)
            .env("SECRET", SECRET)
            .env("HOME", &self.folder);
        for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, &certificate);
        }
        command
    }

    /// Runs a command of [`Bench::command`] to its end, which must be a good one; what it printed.
    #[track_caller]
    pub(crate) fn ok(&self, command: &mut Command) -> String {
        let answer = command.output().unwrap();
        self.expect_good(command, &answer);
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    #[track_caller]
    fn expect_good(&self, command: &Command, answer: &Output) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            answer.status.success(),
            "{command:?}\n{}\n{}\nserver:\n{}",
            text(&answer.stdout),
            text(&answer.stderr),
            read(&self.folder.join("server.log")),
        );
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub(crate) fn rsa_key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

/// A certificate for `key` under a name, by an authority or by itself.
pub(crate) fn certificate(
    name: &str,
    key: &PKey<Private>,
    authority: Option<(&X509, &PKey<Private>)>,
) -> X509 {
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(if authority.is_some() { 2 } else { 1 }).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&subject).unwrap();
    let issuer = authority.map_or(&*subject, |(issuer, _)| issuer.subject_name());
    builder.set_issuer_name(issuer).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(2).unwrap())
        .unwrap();
    builder.set_pubkey(key).unwrap();
    if authority.is_some() {
        let mut names = SubjectAlternativeName::new();
        for name in [HOST].iter().chain(&BUILT_IN) {
            names.dns(name);
        }
        let context = builder.x509v3_context(authority.map(|(issuer, _)| &**issuer), None);
        let names = names.build(&context).unwrap();
        builder.append_extension(names).unwrap();
    } else {
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
    }
    let signer = authority.map_or(key, |(_, signer)| signer);
    builder.sign(signer, MessageDigest::sha256()).unwrap();
    builder.build()
}

fn write_certificates(folder: &Path) {
    let (ca_key, key) = (rsa_key(), rsa_key());
    let ca = certificate("Clients' test", &ca_key, None);
    let own = certificate(HOST, &key, Some((&ca, &ca_key)));
    let chain = [own.to_pem().unwrap(), ca.to_pem().unwrap()].concat();
    fs::write(folder.join("ca.pem"), ca.to_pem().unwrap()).unwrap();
    fs::write(folder.join("cert.pem"), chain).unwrap();
    fs::write(
        folder.join("key.pem"),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
    .unwrap();
    let hosts = format!("127.0.0.1 localhost {HOST} {}\n", BUILT_IN.join(" "));
    fs::write(folder.join("hosts"), hosts).unwrap();
}

fn server_program() -> PathBuf {
    target_folder().join("debug/latchkey-server")
}

fn init(folder: &Path) -> Guid {
    let mut init = Command::new(server_program());
    init.args(["init", "--url", &format!("https://{HOST}")])
        .args(["--listen", "127.0.0.1:443", "--tenant-name", "Example"]);
    for (flag, name) in [
        ("--data", "data"),
        ("--config", "server.toml"),
        ("--tls-cert", "cert.pem"),
        ("--tls-key", "key.pem"),
        ("--admin-socket", "admin.sock"),
    ] {
        init.arg(flag).arg(folder.join(name));
    }
    let answer = init
        .output()
        .expect("latchkey-server is built (cargo build --workspace)");
    assert!(answer.status.success(), "{answer:?}");
    let told = String::from_utf8(answer.stdout).unwrap();
    let line = told
        .lines()
        .find(|line| line.starts_with("tenant"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn fill(folder: &Path, tenant: Guid, apps: Vec<App>, computers: Vec<Computer>) {
    let store = Store::open_sqlite(&folder.join("data/store.sqlite")).unwrap();
    let salt = SaltString::encode_b64(&[7; 16]).unwrap();
    let hash = Argon2::default().hash_password(PASSWORD.as_bytes(), &salt);
    let password = Password {
        hash: hash.unwrap().to_string(),
        must_change: false,
    };
    for (guid, upn) in [(guid(41), DORA), (guid(42), EMIL)] {
        let user = User {
            guid,
            kind: UserKind::Cloud,
            upn: upn.to_owned(),
            display_name: upn.to_owned(),
            mail: None,
            active: true,
            account_expires: None,
            locked_until: None,
            logon_hours: None,
            source_anchor: None,
            tokens_valid_from: UnixTime(0),
        };
        store
            .create_user(tenant, user, password.clone(), audit())
            .await
            .unwrap();
    }
    let people = guid(51);
    store
        .create_group(tenant, people, "People", audit())
        .await
        .unwrap();
    for member in [guid(41), guid(42)] {
        assert!(
            store
                .add_member(tenant, people, member, audit())
                .await
                .unwrap()
        );
    }
    for app in apps {
        store.put_app(tenant, app, audit()).await.unwrap();
    }
    let mut settings = store.settings(tenant).await.unwrap();
    settings.allow_device_code = true;
    settings.allow_ropc = true;
    settings.register_keys_groups = vec![people];
    settings.join_devices_groups = vec![people];
    store.set_settings(tenant, settings, audit()).await.unwrap();
    for name in BUILT_IN {
        assert!(store.add_host(tenant, name, audit()).await.unwrap());
    }
    for computer in computers {
        let (guid, domain) = (computer.guid, computer.domain);
        let change = vec![DirectoryChange::PutComputer(computer)];
        let taken = store
            .apply((tenant, domain), change, audit().at)
            .await
            .unwrap();
        assert_eq!(taken, [Ok(())]);
        let added = store.add_member(tenant, people, guid, audit());
        assert!(added.await.unwrap());
    }
}

/// The server in namespaces of its own: the shell becomes it, so that its number is the child's.
fn run_server(folder: &Path) -> Child {
    const SCRIPT: &str = "ip link set lo up && mount --bind \"$1/hosts\" /etc/hosts && \
                          exec \"$2\" run --config \"$1/server.toml\"";
    let log = fs::File::create(folder.join("server.log")).unwrap();
    Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", SCRIPT, "sh"])
        .arg(folder)
        .arg(server_program())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
