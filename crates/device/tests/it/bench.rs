//! A daemon with a swtpm of its own and two users, one of whom has a credential.

use std::{
    collections::HashMap,
    net::{TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use argon2::{Algorithm, Argon2, Params, Version};
use ipc::{CallError, Connection, Failure, Request, Secret};
use latchkey_device::{
    Error,
    accounts::{Account, Accounts},
    config::Config,
    daemon::Daemon,
    key_storage::Choice,
    socket,
};
use model::Sid;
use policy::gpo::{Data, Evaluation, HalfResult, Loopback, Registry};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tpm::{Recovery, Role, Tpm};

pub(crate) const ALICE: u32 = 61_001;
pub(crate) const BOB: u32 = 61_002;
pub(crate) const PIN: &str = "481516234299";

const HELLO: &str = "SOFTWARE\\Policies\\Microsoft\\PassportForWork";

pub(crate) fn sid(uid: u32) -> Sid {
    format!("S-1-5-21-1-2-3-{uid}").parse().unwrap()
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

/// Accounts as a table: the name service of this test.
#[derive(Default)]
pub(crate) struct Table {
    sids: Mutex<HashMap<u32, Sid>>,
}

impl Table {
    pub(crate) fn set(&self, uid: u32, sid: Option<Sid>) {
        let mut sids = self.sids.lock().unwrap();
        match sid {
            Some(sid) => sids.insert(uid, sid),
            None => sids.remove(&uid),
        };
    }
}

fn account(name: &str, uid: u32) -> Account {
    Account {
        name: name.to_owned(),
        uid,
        gid: uid,
    }
}

impl Accounts for Table {
    fn by_name(&self, name: &str) -> Result<Option<Account>, Error> {
        Ok(match name {
            "alice" => Some(account(name, ALICE)),
            "bob" => Some(account(name, BOB)),
            _ => None,
        })
    }

    fn by_uid(&self, uid: u32) -> Result<Option<Account>, Error> {
        Ok(match uid {
            ALICE => Some(account("alice", uid)),
            BOB => Some(account("bob", uid)),
            _ => None,
        })
    }

    fn sid(&self, uid: u32) -> Result<Option<Sid>, Error> {
        Ok(self.sids.lock().unwrap().get(&uid).cloned())
    }
}

/// Everything of one test.
pub(crate) struct Bench {
    pub(crate) folder: PathBuf,
    pub(crate) accounts: Arc<Table>,
    pub(crate) config: Config,
    /// Of the TPM; none where the daemon starts it.
    port: Option<u16>,
    runtime: Option<Runtime>,
}

impl Bench {
    /// A daemon that serves, with a credential of Alice's.
    pub(crate) fn start() -> Self {
        let mut bench = Self::prepare();
        bench.serve();
        bench
    }

    /// The TPM and the state on disk, without a daemon.
    pub(crate) fn prepare() -> Self {
        let folder = scratch();
        let port = launch(&folder, &[]);
        let bench = Self::over(folder, Config::default(), port);
        make_state(&bench.config.tcti, &bench.config.state, None);
        bench
    }

    /// The same with keys in software: what a daemon of before has left of its TPM.
    pub(crate) fn prepare_in_software() -> Self {
        let folder = scratch();
        let state = folder.join("state");
        let (place, key) = (state.join("software-tpm"), state.join("software-tpm.key"));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(&key, [7; 32]).unwrap();
        let encrypted = format!("file={},format=binary,mode=aes-256-cbc", key.display());
        let port = launch(&place, &["--key", &encrypted]);
        let config = Config {
            tpm: Choice::Software,
            ..Config::default()
        };
        let mut bench = Self::over(folder, config, port);
        make_state(&bench.config.tcti, &bench.config.state, Some(SALT));
        stop(bench.port.take());
        bench.config.tcti = Config::default().tcti;
        bench
    }

    fn over(folder: PathBuf, config: Config, port: u16) -> Self {
        let config = Config {
            tcti: format!("swtpm:host=127.0.0.1,port={port}"),
            socket: folder.join("run/latchkeyd.sock"),
            state: folder.join("state"),
            public: folder.join("pki"),
            keytab: folder.join("no.keytab"),
            ..config
        };
        std::fs::create_dir_all(folder.join("state/credentials")).unwrap();
        let accounts = Arc::new(Table::default());
        accounts.set(ALICE, Some(sid(ALICE)));
        accounts.set(BOB, Some(sid(BOB)));
        Self {
            folder,
            accounts,
            config,
            port: Some(port),
            runtime: None,
        }
    }

    /// Ends the daemon, as its service manager does.
    pub(crate) fn end(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Starts the daemon.
    pub(crate) fn serve(&mut self) {
        let runtime = Runtime::new().unwrap();
        let daemon = Daemon::new(self.config.clone(), self.accounts.clone()).unwrap();
        let listener = {
            let _inside = runtime.enter();
            socket::listen(&daemon).unwrap()
        };
        runtime.spawn(socket::serve(daemon, listener));
        self.runtime = Some(runtime);
    }

    /// Clears the TPM, as its firmware's menu does; before the daemon serves.
    pub(crate) fn clear_tpm(&self) {
        let cleared = Command::new("tpm2_clear")
            .args(["-T", &self.config.tcti, "-c", "p"])
            .status();
        assert!(cleared.expect("tpm2-tools is installed").success());
    }

    /// Closes the lockout hierarchy with a value, as a join does.
    pub(crate) fn set_lockout_value(&self, value: [u8; 32]) {
        let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        let changed = Command::new("tpm2_changeauth")
            .args(["-T", &self.config.tcti, "-c", "l", &format!("hex:{value}")])
            .status();
        assert!(changed.expect("tpm2-tools is installed").success());
    }

    /// Guesses values of the TPM until it has had enough, for 700 s; before the daemon serves.
    pub(crate) fn lock_tpm(&self) {
        let run = |line: &str| {
            let mut words = line.split(' ');
            let tool = words.next().unwrap();
            let said = Command::new(tool)
                .args(["-T", &self.config.tcti])
                .args(words)
                .output();
            said.expect("tpm2-tools is installed").status.success()
        };
        assert!(run("tpm2_dictionarylockout -s -n 1 -t 700 -l 86400"));
        assert!(run(
            "tpm2_nvdefine 0x1500001 -s 4 -a authread|authwrite -p right"
        ));
        assert!(!run("tpm2_nvread 0x1500001 -C 0x1500001 -P wrong"));
    }

    /// Leaves a policy on disk that turns Alice's PIN off, as a reading just now does.
    pub(crate) fn turn_pin_off(&self) {
        self.leave_policy("Enabled", 0);
    }

    /// Leaves a policy for Alice on disk, as a reading just now does.
    pub(crate) fn leave_policy(&self, name: &str, number: u32) {
        self.leave_policies(&[(HELLO, name, number)]);
    }

    /// The same with rules for PINs.
    pub(crate) fn leave_pin_rules(&self, rules: &[(&str, u32)]) {
        let key = format!("{HELLO}\\PINComplexity");
        let values: Vec<_> = rules
            .iter()
            .map(|(name, number)| (&*key, *name, *number))
            .collect();
        self.leave_policies(&values);
    }

    fn leave_policies(&self, values: &[(&str, &str, u32)]) {
        let values = values
            .iter()
            .map(|(key, name, number)| (*key, *name, Data::Dword(*number)));
        let registry = Registry::from_values("a policy", values);
        let evaluation = Evaluation {
            computer: HalfResult {
                registry,
                ..HalfResult::default()
            },
            user: None,
            loopback: Loopback::None,
            failures: Vec::new(),
            notes: Vec::new(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let set = json!({
            "read": now.as_secs(),
            "domain_controller": "dc.corp.test",
            "evaluation": evaluation,
        });
        let folder = self.config.state.join("policy");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{}.json", sid(ALICE)));
        write(&path, &json!({"set": set, "error": null}));
    }

    /// Makes the device one that has joined a server, which does not answer.
    pub(crate) fn pretend_joined(&self) {
        let path = self.config.state.join("device.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut file: Value = serde_json::from_str(&text).unwrap();
        file["data"]["server"] = json!({
            "url": "https://127.0.0.1:9",
            "anchor": "",
            "tenant": "08080808-0808-0808-0808-080808080808",
            "agent": null,
            "certificate": "MAA=",
        });
        std::fs::write(&path, file.to_string()).unwrap();
    }

    /// Forgets that anybody tried a wrong PIN: what is tested is not the wait for the next.
    pub(crate) fn forget_waits(&self) {
        let record = self.config.state.join(format!("tries/{ALICE}.json"));
        if record.exists() {
            std::fs::remove_file(record).unwrap();
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.config.socket).unwrap()
    }

    /// One call on a connection of its own.
    pub(crate) fn call<R: Request>(&self, request: &R) -> Result<R::Answer, Failure> {
        call(&self.config.socket, request)
    }

    pub(crate) fn credential_file(&self) -> PathBuf {
        self.config.state.join(format!("credentials/{ALICE}.json"))
    }
}

pub(crate) fn call<R: Request>(socket: &Path, request: &R) -> Result<R::Answer, Failure> {
    let stream = UnixStream::connect(socket).unwrap();
    let mut connection = Connection::over(stream, Duration::from_secs(30)).unwrap();
    connection.call(request).map_err(|error| match error {
        CallError::Refused(failure) => failure,
        CallError::Unreachable(error) => panic!("the daemon hung up: {error}"),
    })
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.end();
        stop(self.port);
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.folder).unwrap();
        }
    }
}

fn scratch() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("latchkey-device-{}-{number}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

fn stop(port: Option<u16>) {
    let Some(port) = port else { return };
    let stopped = Command::new("swtpm_ioctl")
        .args(["--tcp", &format!("127.0.0.1:{}", port + 1), "-s"])
        .status();
    if !std::thread::panicking() {
        assert!(stopped.unwrap().success(), "swtpm did not stop");
    }
}

/// Sixteen bytes, base64: Alice's, where a program keeps her key.
const SALT: &str = "CQkJCQkJCQkJCQkJCQkJCQ==";

/// The value of the PIN with that salt, made with little effort.
fn stretched() -> String {
    let params = Params::new(1024, 1, 1, Some(32)).unwrap();
    let mut value = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PIN.as_bytes(), &[9; 16], &mut value)
        .unwrap();
    value.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A device with its keys, and Alice's credential, as a join and an enrollment leave them; with a
/// salt, in software.
fn make_state(tcti: &str, state: &Path, salt: Option<&str>) {
    let mut tpm = Tpm::open(tcti).unwrap();
    let auth = [9; 32];
    std::fs::write(state.join("device-keys.auth"), auth).unwrap();
    let auth = model::Secret::new(auth);
    // One key for all, because making them is what takes long; only the root is used here.
    let key = tpm.create_device_key(Role::DeviceRoot, &auth).unwrap();
    let keys = json!({"device": key, "transport": key, "attestation": key, "root": key});
    let device = json!({
        "id": "07070707-0707-0707-0707-070707070707",
        "sid": "S-1-5-21-1-2-3-1000",
        "realm": "CORP.TEST",
        "domain": "corp.test",
        "key_storage": salt.map_or("hardware", |_| "software"),
        "keys": keys,
        "root_certificate": "MAA=",
        "sequence": 1,
        "server": null,
    });
    write(&state.join("device.json"), &device);
    let pin = model::Secret::new(salt.map_or_else(|| PIN.to_owned(), |_| stretched()));
    let scope = sid(ALICE).to_string();
    let holder = tpm::Holder {
        device: model::Guid::from_le_bytes([7; 16]),
        user: sid(ALICE),
    };
    let key = tpm
        .create_user_key(&holder, &pin, Recovery::Destroyed)
        .unwrap();
    let mut credential = json!({
        "uid": ALICE,
        "sid": scope,
        "upn": "alice@corp.test",
        "principal": "alice@CORP.TEST",
        "key": key,
        "created": 1_800_000_000,
        "state": {"kind": "made"},
        "leaf": null,
    });
    if let Some(salt) = salt {
        credential["stretch"] = json!({"salt": salt, "memory_kib": 1024, "passes": 1});
    }
    write(
        &state.join(format!("credentials/{ALICE}.json")),
        &credential,
    );
}

pub(crate) fn write(path: &Path, data: &Value) {
    let text = json!({"version": 1, "data": data}).to_string();
    std::fs::write(path, text).unwrap();
}

/// Starts swtpm on two free neighbouring ports; another program may take one first.
fn launch(folder: &Path, more: &[&str]) -> u16 {
    for _ in 0..50 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        if port == u16::MAX || TcpStream::connect(("127.0.0.1", port + 1)).is_ok() {
            continue;
        }
        // With --daemon the command returns when the sockets listen.
        let started = Command::new("swtpm")
            .args(["socket", "--tpm2", "--daemon"])
            .args(more)
            .args(["--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.display()))
            .arg("--server")
            .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1))
            .output()
            .expect("swtpm is installed");
        if started.status.success() {
            return port;
        }
    }
    panic!("swtpm does not start");
}
