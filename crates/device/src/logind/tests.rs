use std::{
    io::Read,
    process::{Child, Command},
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use testkit::wait::until;
use tokio::runtime::Runtime;
use zbus::connection::Builder;

use super::*;
use crate::{config::Config, daemon::tests::Folder, peer::Process, presence::tests::key};

const ALICE: u32 = 1000;
const BOB: u32 = 1001;
const LONG: Duration = Duration::from_secs(20);

fn path_of(uid: u32) -> String {
    format!("{PLACE}/session/_{uid}")
}

/// What stands for logind, which sends no machine to sleep that others work on.
struct Manager(Sender<std::io::PipeReader>);

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: &str, who: &str, _why: &str, mode: &str) -> OwnedFd {
        assert_eq!((what, who, mode), ("sleep", "latchkeyd", "delay"));
        let (ours, theirs) = std::io::pipe().unwrap();
        self.0.send(ours).unwrap();
        std::os::fd::OwnedFd::from(theirs).into()
    }

    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let of = |uid: u32| {
            let path = OwnedObjectPath::try_from(path_of(uid)).unwrap();
            (format!("c{uid}"), uid, String::new(), String::new(), path)
        };
        vec![of(ALICE), of(BOB)]
    }
}

/// A bus of its own, with a daemon on it in whose memory two people's PINs are.
struct Scene {
    runtime: Runtime,
    daemon: Arc<Daemon>,
    logind: Connection,
    inhibitors: Receiver<std::io::PipeReader>,
    stranger: Connection,
    bus: Child,
    _folder: Folder,
}

impl Scene {
    fn set(name: &str) -> Self {
        let folder = Folder::new(&format!("logind-{name}"));
        let socket = folder.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let bus = Command::new("dbus-daemon")
            .args([
                "--session",
                "--nofork",
                "--nopidfile",
                "--address",
                &address,
            ])
            .spawn()
            .expect("dbus-daemon is installed");
        until("the bus", LONG, || socket.exists()).unwrap();
        let runtime = Runtime::new().unwrap();
        let (sender, inhibitors) = channel();
        let connect = || runtime.block_on(Builder::address(&*address).unwrap().build());
        let logind = runtime.block_on(async {
            let builder = Builder::address(&*address).unwrap().name(LOGIND).unwrap();
            builder
                .serve_at(PLACE, Manager(sender))
                .unwrap()
                .build()
                .await
        });
        let (stranger, listener) = (connect().unwrap(), connect().unwrap());
        let daemon = folder.daemon(Config::default());
        let listening = Arc::clone(&daemon);
        runtime.spawn(async move { listen(&listener, &listening).await });
        let scene = Self {
            runtime,
            daemon,
            logind: logind.unwrap(),
            inhibitors,
            stranger,
            bus,
            _folder: folder,
        };
        scene.keep();
        scene
    }

    /// Both people are here, and have typed their PINs.
    fn keep(&self) {
        for uid in [ALICE, BOB] {
            let pin = ipc::Secret::new("161803".into());
            self.daemon.presence.keep(uid, &key(), &pin, Instant::now());
            let (pid, start) = (1, 7);
            let process = Process { uid: 0, pid, start };
            self.daemon.presence.opened(uid, process);
        }
    }

    fn kept(&self) -> (bool, bool) {
        let is_kept = |uid| self.daemon.presence.usable(uid).is_some();
        (is_kept(ALICE), is_kept(BOB))
    }

    fn becomes(&self, kept: (bool, bool)) {
        until(&format!("{kept:?}"), LONG, || self.kept() == kept).unwrap();
    }

    fn tell<B: serde::Serialize + DynamicType>(
        &self,
        who: &Connection,
        (path, interface, member): (&str, &str, &str),
        body: &B,
    ) {
        let to = None::<BusName<'_>>;
        let told = who.emit_signal(to, path, interface, member, body);
        self.runtime.block_on(told).unwrap();
    }

    fn sleep(&self, who: &Connection, begins: bool) {
        self.tell(who, (PLACE, MANAGER, "PrepareForSleep"), &begins);
    }

    fn inhibitor(&self) -> std::io::PipeReader {
        self.inhibitors.recv_timeout(LONG).unwrap()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.bus.kill().unwrap();
        self.bus.wait().unwrap();
    }
}

#[test]
fn a_lock_wipes_the_pin_of_whose_session_it_is_and_an_unknown_one_wipes_all() {
    let scene = Scene::set("lock");
    let _held = scene.inhibitor();
    scene.tell(&scene.logind, (&path_of(ALICE), SESSION, "Lock"), &());
    scene.becomes((false, true));
    scene.keep();
    let hint = |locked: bool| {
        let changed = HashMap::from([("LockedHint", zbus::zvariant::Value::from(locked))]);
        let body = (SESSION, changed, Vec::<String>::new());
        let what = (&*path_of(BOB), PROPERTIES, "PropertiesChanged");
        scene.tell(&scene.logind, what, &body);
    };
    hint(false);
    scene.tell(&scene.logind, (&path_of(ALICE), SESSION, "Unlock"), &());
    hint(true);
    scene.becomes((true, false));
    scene.keep();
    scene.tell(&scene.logind, (&path_of(7), SESSION, "Lock"), &());
    scene.becomes((false, false));
}

#[test]
fn the_machine_sleeps_when_no_pin_is_kept_and_not_before() {
    let scene = Scene::set("sleep");
    for _ in 0..2 {
        let mut held = scene.inhibitor();
        scene.keep();
        scene.sleep(&scene.logind, true);
        // The other end is closed: the machine may sleep.
        assert_eq!(held.read(&mut [0]).unwrap(), 0);
        assert_eq!(scene.kept(), (false, false));
        scene.sleep(&scene.logind, false);
    }
    let _held = scene.inhibitor();
}

#[test]
fn nobody_else_s_word_counts_and_the_next_logind_s_does() {
    let mut scene = Scene::set("others");
    let _held = scene.inhibitor();
    let stranger = scene.stranger.clone();
    scene.sleep(&stranger, true);
    scene.tell(&stranger, (&path_of(ALICE), SESSION, "Lock"), &());
    // What is sent to somebody by name needs no match.
    let names = scene.runtime.block_on(async {
        let dbus = DBusProxy::new(&stranger).await.unwrap();
        dbus.list_names().await.unwrap()
    });
    for name in names.into_iter().filter(|name| name.starts_with(':')) {
        let path = path_of(ALICE);
        let lock = stranger.emit_signal(Some(name), &*path, SESSION, "Lock", &());
        scene.runtime.block_on(lock).unwrap();
    }
    scene.tell(&scene.logind, (&path_of(BOB), SESSION, "Lock"), &());
    scene.becomes((true, false));

    let (sender, inhibitors) = channel();
    scene.runtime.block_on(async {
        scene.logind.release_name(LOGIND).await.unwrap();
        stranger
            .object_server()
            .at(PLACE, Manager(sender))
            .await
            .unwrap();
        stranger.request_name(LOGIND).await.unwrap();
    });
    scene.inhibitors = inhibitors;
    let _held = scene.inhibitor();
    scene.tell(&stranger, (&path_of(ALICE), SESSION, "Lock"), &());
    scene.becomes((false, false));
}
