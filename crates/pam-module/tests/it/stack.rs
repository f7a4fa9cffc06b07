//! The module in a real PAM stack: pamtester under libpam-wrapper, without privileges, against a
//! daemon that follows a script.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use ipc::{
    Failure, PreReqResult, Request, SessionOpen, SessionOpenAnswer, Signin, SigninAnswer,
    TokenInfo, TokenInfoAnswer, decode_request, encode_answer,
};

const USER: &str = "nobody";
const UID: u32 = 65534;
const PIN: &str = "271828";

/// A folder with the module, a stack that ends in a password, and a daemon.
struct Stage {
    folder: PathBuf,
}

impl Stage {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("latchkey-pam-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("services")).unwrap();
        let module = std::env::current_exe()
            .unwrap()
            .with_file_name("libpam_latchkey.so");
        fs::copy(module, folder.join("pam_latchkey.so")).unwrap();
        fs::write(
            folder.join("passwords"),
            format!("{USER}:the password:latchkey\n"),
        )
        .unwrap();
        let at = folder.display();
        let stack = format!(
            "auth sufficient {at}/pam_latchkey.so socket={at}/socket\n\
             auth required {PAM_WRAPPER}/pam_matrix.so passdb={at}/passwords\n\
             account required {at}/pam_latchkey.so\n\
             account required pam_permit.so\n\
             session optional {at}/pam_latchkey.so socket={at}/socket\n\
             session required pam_exec.so stdout /usr/bin/env\n"
        );
        fs::write(folder.join("services/latchkey"), stack).unwrap();
        for path in [
            "",
            "services",
            "services/latchkey",
            "passwords",
            "pam_latchkey.so",
        ] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(folder.join(path), mode).unwrap();
        }
        Self { folder }
    }

    fn with_daemon(tries_left: u32) -> Self {
        let stage = Self::new();
        let socket = stage.folder.join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
        thread::spawn(move || serve(&listener, tries_left));
        stage
    }

    /// Runs pamtester with these answers to what is asked; `item=value` among the operations sets
    /// a PAM item.
    fn run(&self, answers: &str, operations: &[&str]) -> Output {
        let mut command = Command::new("pamtester");
        let (items, operations): (Vec<&str>, Vec<&str>) = operations
            .iter()
            .partition(|operation| operation.contains('='));
        for item in items {
            command.args(["-I", item]);
        }
        command.args(["latchkey", USER]).args(operations);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LD_PRELOAD", "libpam_wrapper.so");
        command.env("PAM_WRAPPER", "1");
        command.env("PAM_WRAPPER_SERVICE_DIR", self.folder.join("services"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.current_dir("/").uid(UID).gid(UID);
        let mut child = command.spawn().expect("pamtester is installed");
        child
            .stdin
            .take()
            .unwrap()
            .write_all(answers.as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Where the Debian package libpam-wrapper puts its modules.
const PAM_WRAPPER: &str = "/usr/lib/x86_64-linux-gnu/pam_wrapper";

fn serve(listener: &UnixListener, tries_left: u32) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut text = vec![0; u32::from_le_bytes(length) as usize];
        stream.read_exact(&mut text).unwrap();
        let request = decode_request(&text).unwrap();
        let answer = match request.op {
            TokenInfo::OP => {
                let arguments: TokenInfo = request.args().unwrap();
                assert_eq!(arguments.uid, UID);
                let answer = match arguments.remote {
                    true => Err(Failure::new("remote_refused", "Not over the network.")),
                    false => Ok(TokenInfoAnswer {
                        present: true,
                        protected_path: false,
                        tries_left,
                        tries_limit: 10,
                        phrase: None,
                        retry_after_s: None,
                    }),
                };
                encode_answer(request.id, answer.as_ref())
            }
            Signin::OP => {
                let arguments: Signin = request.args().unwrap();
                assert_eq!(arguments.user.as_deref(), Some(USER));
                assert_eq!(
                    (arguments.service.as_str(), arguments.remote),
                    ("latchkey", false)
                );
                encode_answer(
                    request.id,
                    sign_in(arguments.pin.expose(), tries_left).as_ref(),
                )
            }
            SessionOpen::OP => {
                assert_eq!(request.args::<SessionOpen>().unwrap().user, USER);
                let result = PreReqResult::WillProvision;
                encode_answer(request.id, Ok(&SessionOpenAnswer { result }))
            }
            other => panic!("{other} is none of the module's operations"),
        };
        stream.write_all(&answer).unwrap();
    }
}

fn sign_in(pin: &str, tries_left: u32) -> Result<SigninAnswer, Failure> {
    if pin != PIN {
        let tries_left = Some(tries_left - 1);
        return Err(Failure {
            tries_left,
            ..Failure::new("wrong_pin", "The PIN is locked.")
        });
    }
    Ok(SigninAnswer {
        uid: UID,
        principal: "nobody@CORP.EXAMPLE".into(),
        ccache: Some("FILE:/tmp/krb5cc_of_the_test".into()),
        ticket_server: None,
        notice: None,
        took_ms: 1,
    })
}

fn texts(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[track_caller]
fn check(stage: &Stage, answers: &str, operations: &[&str], works: bool, said: &[&str]) -> String {
    // The wrapper takes the first free folder of a fixed row, and two at once take the same.
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let turn = TURN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = stage.run(answers, operations);
    drop(turn);
    let texts = texts(&output);
    assert_eq!(output.status.success(), works, "{texts}");
    for sentence in said {
        assert!(texts.contains(sentence), "{sentence:?} is not in {texts}");
    }
    texts
}

#[test]
fn the_right_pin_is_enough_and_the_session_gets_the_cache() {
    let operations = ["authenticate", "acct_mgmt", "setcred", "open_session"];
    let said = [
        "PIN: ",
        "KRB5CCNAME=FILE:/tmp/krb5cc_of_the_test",
        "run `latchkey enroll`",
    ];
    let texts = check(
        &Stage::with_daemon(10),
        "271828\n",
        &operations,
        true,
        &said,
    );
    assert!(!texts.contains("Password"), "{texts}");
    assert!(!texts.contains(PIN), "{texts}");
}

#[test]
fn a_wrong_pin_is_said_and_does_not_become_a_password() {
    let stage = Stage::with_daemon(10);
    let said = ["Wrong PIN, 9 tries left.", "Password"];
    check(
        &stage,
        "111111\nno password\n",
        &["authenticate"],
        false,
        &said,
    );
    check(
        &stage,
        "the password\nno password\n",
        &["authenticate"],
        false,
        &said,
    );
}

#[test]
fn the_last_wrong_pin_says_that_it_is_locked() {
    let stage = Stage::with_daemon(1);
    check(
        &stage,
        "111111\nx\n",
        &["authenticate"],
        false,
        &["The PIN is locked."],
    );
}

#[test]
fn an_empty_pin_leads_to_the_password() {
    let stage = Stage::with_daemon(10);
    let operations = ["authenticate", "setcred", "open_session"];
    let texts = check(
        &stage,
        "\nthe password\n",
        &operations,
        true,
        &["PIN: ", "Password"],
    );
    assert!(!texts.contains("KRB5CCNAME"), "{texts}");
}

#[test]
fn without_a_daemon_only_the_password_is_asked() {
    let stage = Stage::new();
    let texts = check(
        &stage,
        "the password\n",
        &["authenticate"],
        true,
        &["Password"],
    );
    assert!(!texts.contains("PIN"), "{texts}");
}

#[test]
fn a_person_from_elsewhere_is_not_asked_for_a_pin() {
    let stage = Stage::with_daemon(10);
    let operations = ["rhost=198.51.100.7", "authenticate"];
    let texts = check(&stage, "the password\n", &operations, true, &["Password"]);
    assert!(
        !texts.contains("PIN") && !texts.contains("network"),
        "{texts}"
    );
}
