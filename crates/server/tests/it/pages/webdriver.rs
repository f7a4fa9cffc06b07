//! A real browser: Chromium, driven by the WebDriver protocol (W3C), with a virtual authenticator
//! (WebAuthn level 2, section 11) in place of a security key.
//!
//! The client blocks: whoever waits for a page has nothing else to do, and the server of the test runs
//! in threads of its own. Waiting for an element is the driver's, which looks again until it is there.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// How long an element may take to appear, in milliseconds: machines are slow when all tests run.
const PATIENCE_MS: u32 = 60_000;

/// The name of an element's reference (WebDriver 12.2).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A driver that runs until it is dropped.
pub(super) struct Driver {
    process: Child,
    port: u16,
    folder: PathBuf,
}

/// A browser window with cookies of its own.
pub(super) struct Window<'a> {
    driver: &'a Driver,
    session: String,
}

impl Driver {
    pub(super) fn start() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-browser-{}-{count}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        // The driver ends with the test, also with one that is killed; and the browser with the pipe
        // that the driver talks to it by.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "chromedriver", "--port=0"])
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is of the package chromium-driver");
        let told = BufReader::new(process.stdout.take().unwrap());
        let port = told.lines().find_map(|line| {
            let line = line.unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        Self {
            process,
            port: port.expect("chromedriver says its port"),
            folder,
        }
    }

    /// Opens a window that takes the server's certificate for good, by its key alone.
    pub(super) fn open(&self, spki_sha256: [u8; 32]) -> Window<'_> {
        let pin = STANDARD.encode(spki_sha256);
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": PATIENCE_MS, "pageLoad": 120_000, "script": 60_000 },
            "goog:chromeOptions": { "args": [
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--window-size=1000,900",
                format!("--ignore-certificate-errors-spki-list={pin}"),
            ] },
        } } });
        let answer = self.send("POST", "/session", &capabilities);
        Window {
            driver: self,
            session: answer["sessionId"].as_str().unwrap().to_owned(),
        }
    }

    /// One command; its value.
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = match method {
            "GET" | "DELETE" => String::new(),
            _ => body.to_string(),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].clone();
        assert!(value["error"].is_null(), "{method} {path}: {value}");
        value
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Window<'_> {
    fn send(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/session/{}{path}", self.session);
        self.driver.send(method, &path, body)
    }

    /// Goes to an address.
    pub(super) fn go(&self, url: &str) {
        self.send("POST", "/url", &json!({ "url": url }));
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        let url = self.send("GET", "/url", &Value::Null);
        url.as_str().unwrap().to_owned()
    }

    /// What it shows, as HTML.
    pub(super) fn source(&self) -> String {
        let source = self.send("GET", "/source", &Value::Null);
        source.as_str().unwrap().to_owned()
    }

    fn element(&self, css: &str) -> String {
        let found = self.send(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": css }),
        );
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Waits for an element; its text.
    pub(super) fn text(&self, css: &str) -> String {
        let element = self.element(css);
        let text = self.send("GET", &format!("/element/{element}/text"), &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    /// Waits for an element, and clicks on it.
    pub(super) fn click(&self, css: &str) {
        let element = self.element(css);
        self.send("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Waits for an element, and types into it; `\n` is the enter key.
    pub(super) fn type_into(&self, css: &str, text: &str) {
        let element = self.element(css);
        let text = text.replace('\n', "\u{e007}");
        let path = format!("/element/{element}/value");
        self.send("POST", &path, &json!({ "text": text }));
    }

    /// Plugs in a security key that knows its user and says yes to everything.
    pub(super) fn plug_in(&self) {
        let authenticator = json!({
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": true,
            "hasUserVerification": true,
            "isUserConsenting": true,
            "isUserVerified": true,
        });
        self.send("POST", "/webauthn/authenticator", &authenticator);
    }

    /// Keeps a picture of the page where `LATCHKEY_PICTURES` names a folder for them.
    pub(super) fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("LATCHKEY_PICTURES") else {
            return;
        };
        let picture = self.send("GET", "/screenshot", &Value::Null);
        let picture = STANDARD.decode(picture.as_str().unwrap()).unwrap();
        let path = PathBuf::from(folder).join(format!("{name}.png"));
        std::fs::write(path, picture).unwrap();
    }
}

impl Drop for Window<'_> {
    /// Closes the window, with the browser behind it; where the test has failed as well.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.send("DELETE", "", &Value::Null);
            return;
        }
        // What goes wrong now says nothing about why the test failed.
        let path = format!("/session/{}", self.session);
        let close = || self.driver.send("DELETE", &path, &Value::Null);
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(close));
    }
}
