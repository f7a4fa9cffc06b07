//! A real swtpm for one test, on ports of its own, and tpm2-tools as somebody else's hand on it.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use model::{Guid, Secret};
use tpm::{Holder, Tpm};

/// A running swtpm with fresh state; stopped politely when dropped.
pub(crate) struct Swtpm {
    pub(crate) port: u16,
    pub(crate) folder: PathBuf,
}

impl Swtpm {
    pub(crate) fn start() -> Self {
        Self::start_in(Self::folder())
    }

    /// One that left a factory of the test's: with an endorsement certificate of an authority whose
    /// certificate is in `ca/issuercert.pem`.
    pub(crate) fn manufactured() -> Self {
        let folder = Self::folder();
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::create_dir(folder.join("ca")).unwrap();
        let authority = format!(
            "statedir = {0}\nsigningkey = {0}/signkey.pem\nissuercert = {0}/issuercert.pem\n\
             certserial = {0}/certserial\n",
            path("ca")
        );
        let options =
            "--platform-manufacturer Nobody\n--platform-version 1\n--platform-model lab\n";
        let setup = format!(
            "create_certs_tool = /usr/bin/swtpm_localca\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\n",
            path("localca.conf"),
            path("localca.options")
        );
        std::fs::write(folder.join("localca.conf"), authority).unwrap();
        std::fs::write(folder.join("localca.options"), options).unwrap();
        std::fs::write(folder.join("setup.conf"), setup).unwrap();
        let made = Command::new("swtpm_setup")
            .args(["--tpm2", "--create-ek-cert", "--runas", "root", "--config"])
            .arg(folder.join("setup.conf"))
            .arg("--tpmstate")
            .arg(&folder)
            .output()
            .expect("swtpm-tools are installed");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stdout)
        );
        Self::start_in(folder)
    }

    fn folder() -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("tpm-it-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    fn start_in(folder: PathBuf) -> Self {
        let port = launch(&folder);
        Self { port, folder }
    }

    /// Stops and starts it with the same state, as a machine does with its TPM.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.port = launch(&self.folder);
    }

    fn stop(&self) {
        assert!(self.asked_to_stop(), "swtpm did not stop");
    }

    fn asked_to_stop(&self) -> bool {
        Command::new("swtpm_ioctl")
            .arg("--tcp")
            .arg(format!("127.0.0.1:{}", self.port + 1))
            .arg("-s")
            .status()
            .is_ok_and(|status| status.success())
    }

    pub(crate) fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    pub(crate) fn open(&self) -> Tpm {
        Tpm::open(&self.tcti()).unwrap()
    }

    /// One of tpm2-tools, in the folder of this TPM. Nothing else may have it open.
    pub(crate) fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command
            .env("TPM2TOOLS_TCTI", self.tcti())
            .current_dir(&self.folder);
        command
    }

    /// Runs a tool whose arguments have no spaces in them.
    pub(crate) fn tool(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let mut command = self.command(words.next().unwrap());
        command
            .args(words)
            .output()
            .expect("tpm2-tools are installed")
    }

    /// A tool that must succeed.
    pub(crate) fn succeeds(&self, line: &str) -> String {
        let output = self.tool(line);
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// A tool that the TPM must refuse, with this response code.
    pub(crate) fn refuses(&self, line: &str, code: &str) {
        let output = self.tool(line);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{line} succeeded");
        assert!(said.to_lowercase().contains(code), "{line}: {said}");
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.join(name), bytes).unwrap();
    }

    /// Writes a TPM2B, the form in which the tools read public and private areas.
    pub(crate) fn write_sized(&self, name: &str, bytes: &[u8]) {
        let mut sized = u16::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        sized.extend_from_slice(bytes);
        self.write(name, &sized);
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(name)).unwrap()
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The folder stays, to be looked at.
            self.asked_to_stop();
            return;
        }
        self.stop();
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// Starts swtpm on free ports. Between choosing a port and swtpm's taking it another program may,
/// and an swtpm that was just stopped may still have the folder: then it is tried again.
fn launch(folder: &Path) -> u16 {
    for _ in 0..50 {
        let port = free_pair();
        // With --daemon the command returns when the sockets listen.
        let started = Command::new("swtpm")
            .args([
                "socket",
                "--tpm2",
                "--daemon",
                "--flags",
                "not-need-init,startup-clear",
            ])
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

/// A port that is free together with the next one, which is where tools look for the control
/// channel.
fn free_pair() -> u16 {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        if port < u16::MAX && TcpStream::connect(("127.0.0.1", port + 1)).is_err() {
            return port;
        }
    }
}

/// What the TPM is told in place of a PIN, computed here once more.
pub(crate) fn auth_value(scope: &str, pin: &str) -> [u8; 32] {
    model::sha256(
        &[
            b"latchkey pin v1\0",
            scope.as_bytes(),
            b"\0",
            pin.as_bytes(),
        ]
        .concat(),
    )
}

pub(crate) fn pin(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// A user's part in this machine's TPM.
pub(crate) fn holder(user: &str) -> Holder {
    Holder {
        device: Guid::from_le_bytes([0x31; 16]),
        user: user.parse().unwrap(),
    }
}

pub(crate) const ALICE: &str = "S-1-5-21-1004336348-1177238915-682003330-1104";
pub(crate) const BOB: &str = "S-1-5-21-1004336348-1177238915-682003330-1105";
