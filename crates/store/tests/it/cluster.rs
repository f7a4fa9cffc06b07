//! A PostgreSQL of the tests' own: Debian's programs, a folder of its own, a socket in it and no
//! port unless a test wants one. It ends with the tests, however they end: a shell waits for the end
//! of its input, which this process holds open.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use store::{PostgresAddress, Store};
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// The cluster of all tests that ask for no other.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&[]));

pub(crate) struct Cluster {
    pub(crate) folder: PathBuf,
    _shell: Child,
}

/// Says so once the cluster answers, ends it when its input ends, and takes the folder away.
const SHELL: &str = r#"
    folder=$1 pg_ctl=$2
    trap '' INT TERM HUP
    "$pg_ctl" --pgdata="$folder/data" --log="$folder/log" --wait start >/dev/null || exit
    echo ready
    cat >/dev/null
    "$pg_ctl" --pgdata="$folder/data" --mode=immediate stop >/dev/null; rm -rf "$folder"
"#;

impl Cluster {
    /// Starts one, with further settings of PostgreSQL.
    pub(crate) fn start(settings: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = format!("latchkey-store-pg-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        let owner = owner();
        if let Some((uid, gid)) = owner {
            chown(&folder, Some(uid), Some(gid)).unwrap();
        }
        let programs = programs();
        let mut initdb = as_owner(&programs.join("initdb"), owner);
        initdb
            .arg("--pgdata")
            .arg(folder.join("data"))
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            // Not how the store wants texts to compare, as most databases that it meets.
            .args(["--encoding=UTF8", "--locale=C.UTF-8"])
            .args(["--locale-provider=icu", "--icu-locale=en-US"]);
        let made = initdb.output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let config = folder.join("data/postgresql.conf");
        let mut config = fs::OpenOptions::new().append(true).open(config).unwrap();
        let socket = format!("unix_socket_directories = '{}'", folder.display());
        let own = [
            "listen_addresses = ''",
            "fsync = off",
            "max_connections = 400",
        ];
        for setting in own.iter().chain([&socket.as_str()]).chain(settings) {
            writeln!(config, "{setting}").unwrap();
        }
        let mut shell = as_owner(Path::new("sh"), owner);
        shell.args(["-c", SHELL, "sh"]).arg(&folder);
        shell.arg(programs.join("pg_ctl"));
        let mut shell = shell
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        output.read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        Self {
            folder,
            _shell: shell,
        }
    }

    /// Ends it and starts it on its settings as they are now.
    pub(crate) fn restart(&self) {
        let mut restart = as_owner(&programs().join("pg_ctl"), owner());
        restart.arg("--pgdata").arg(self.folder.join("data"));
        restart.arg("--log").arg(self.folder.join("log"));
        restart.args(["--mode=fast", "--wait", "restart"]);
        assert!(restart.stdout(Stdio::null()).status().unwrap().success());
    }

    /// A connection to its first database.
    async fn connect(&self) -> tokio_postgres::Client {
        self.connect_at(5432).await
    }

    /// The same, where its settings name a port, which is also part of the socket's name.
    pub(crate) async fn connect_at(&self, port: u16) -> tokio_postgres::Client {
        let folder = self.folder.display();
        let url = format!("host={folder} port={port} user=postgres");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// What comes of trying until it works, for a minute at most. An attempt that fails has waited itself.
pub(crate) async fn eventually<T, E: std::fmt::Display>(
    attempt: impl AsyncFn() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) if begun.elapsed() > Duration::from_secs(60) => panic!("{error}"),
            Err(_) => {}
        }
    }
}

/// Newest first.
fn programs() -> PathBuf {
    let folders = fs::read_dir("/usr/lib/postgresql").expect("the Debian package postgresql");
    let mut found: Vec<(u32, PathBuf)> = folders
        .filter_map(|folder| {
            let folder = folder.unwrap();
            let version = folder.file_name().to_str()?.parse().ok()?;
            Some((version, folder.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").exists())
        .collect();
    found.sort();
    found.pop().expect("the Debian package postgresql").1
}

/// PostgreSQL refuses to run as root: then it is the user that its package made.
fn owner() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> = line.unwrap().split(':').collect();
    Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
}

fn as_owner(program: &Path, owner: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/");
    if let Some((uid, gid)) = owner {
        command.uid(uid).gid(gid);
    }
    command
}

/// A database of a test's own.
pub(crate) struct Database {
    pub(crate) name: String,
}

impl Database {
    /// A copy of one in which a store has made its tables: making them takes longer.
    pub(crate) async fn new() -> Self {
        static TEMPLATE: OnceCell<Database> = OnceCell::const_new();
        let make = async || {
            let database = Self::made_of("template1").await;
            drop(database.open().await);
            database
        };
        let template = TEMPLATE.get_or_init(make).await;
        Self::made_of(&template.name).await
    }

    /// One in which no store has been.
    pub(crate) async fn empty() -> Self {
        Self::made_of("template1").await
    }

    async fn made_of(template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let client = CLUSTER.connect().await;
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template}");
        // Somebody who has just left the template may still be counted: PostgreSQL waits for that, but
        // not for as long as a busy machine takes.
        let made = async || client.batch_execute(&sql).await.map_err(|e| e.to_string());
        eventually(made).await;
        Self { name }
    }

    pub(crate) fn address(&self) -> PostgresAddress {
        let folder = CLUSTER.folder.display();
        PostgresAddress {
            url: format!("host={folder} user=postgres dbname={}", self.name),
            password: None,
            authorities: None,
            connections: 4,
        }
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open_postgres(&self.address()).await.unwrap()
    }

    /// A connection beside the store.
    pub(crate) async fn connect(&self) -> tokio_postgres::Client {
        let address = self.address();
        let connected = tokio_postgres::connect(&address.url, NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    }
}
