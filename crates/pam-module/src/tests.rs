use std::cell::RefCell;

use ipc::{
    CallError, Done, Failure, PinChange, PinRules, PinRulesAnswer, PreReqResult, Secret,
    SessionClose, SessionOpen, SessionOpenAnswer, Signin, SigninAnswer, TokenInfo, TokenInfoAnswer,
};

use crate::flow::{Code, Daemon, Options, Person, Visit, authenticate, open_session};

const PIN: &str = "271828";

/// A person who answers as told and hears what is said.
struct Played {
    answer: &'static str,
    heard: Vec<String>,
    asked: usize,
}

impl Person for Played {
    fn ask(&mut self, prompt: &str) -> Result<Secret, Code> {
        assert_eq!(prompt, "PIN: ");
        self.asked += 1;
        Ok(Secret::new(self.answer.into()))
    }

    fn ask_shown(&mut self, prompt: &str) -> Result<Secret, Code> {
        panic!("nothing else is asked for: {prompt}")
    }

    fn tell(&mut self, sentence: &str) {
        self.heard.push(sentence.to_owned());
    }

    fn inform(&mut self, sentence: &str) {
        self.tell(sentence);
    }
}

/// A daemon with one credential; `refusal` is its answer to the right PIN.
struct Scripted {
    present: bool,
    tries_left: u32,
    refusal: Option<Failure>,
    /// Does a policy take the PIN from whoever comes over the network?
    takes_remote: bool,
    /// Does no domain controller answer?
    is_offline: bool,
    /// Is an enrollment offered to whoever sits at the machine? None: not even an answer.
    offers: Option<bool>,
    seen: RefCell<Vec<String>>,
}

impl Default for Scripted {
    fn default() -> Self {
        Self {
            present: true,
            tries_left: 10,
            refusal: None,
            takes_remote: false,
            is_offline: false,
            offers: None,
            seen: RefCell::default(),
        }
    }
}

impl Daemon for Scripted {
    fn token_info(&self, request: TokenInfo) -> Result<TokenInfoAnswer, CallError> {
        assert_eq!(request.uid, 1000);
        if request.remote && !self.takes_remote {
            return Err(Failure::new("remote_refused", "not from there").into());
        }
        let Self {
            present,
            tries_left,
            ..
        } = *self;
        Ok(TokenInfoAnswer {
            present,
            protected_path: false,
            tries_left,
            tries_limit: 10,
            phrase: None,
            retry_after_s: None,
        })
    }

    fn pin_rules(&self, _: PinRules) -> Result<PinRulesAnswer, CallError> {
        panic!("no PIN is to be replaced")
    }

    fn change_pin(&self, _: PinChange) -> Result<Done, CallError> {
        panic!("no PIN is to be replaced")
    }

    fn sign_in(&self, request: Signin) -> Result<SigninAnswer, CallError> {
        assert_eq!(request.user.as_deref(), Some("alice"));
        assert!(self.takes_remote || !request.remote);
        self.seen.borrow_mut().push(request.service);
        if request.pin.expose() != PIN {
            let tries_left = Some(self.tries_left - 1);
            return Err(Failure {
                tries_left,
                ..Failure::new("wrong_pin", "locked now")
            }
            .into());
        }
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone().into());
        }
        Ok(SigninAnswer {
            uid: 1000,
            principal: "alice@CORP.EXAMPLE".into(),
            ccache: (!self.is_offline).then(|| "KCM:1000".into()),
            ticket_server: None,
            notice: self
                .is_offline
                .then(|| "No domain controller answers.".into()),
            took_ms: 1,
        })
    }

    fn open_session(&self, request: SessionOpen) -> Result<SessionOpenAnswer, CallError> {
        assert_eq!(request.user, "alice");
        let Some(offers) = self.offers else {
            return Err(Failure::new("not_allowed", "no").into());
        };
        let result = match offers && !request.remote {
            true => PreReqResult::WillProvision,
            false => PreReqResult::WillNotProvision,
        };
        Ok(SessionOpenAnswer { result })
    }

    fn close_session(&self, request: SessionClose) -> Result<Done, CallError> {
        assert_eq!(request.user, "alice");
        Ok(Done {})
    }
}

fn visit() -> Visit {
    Visit {
        user: "alice".into(),
        uid: 1000,
        caller: 0,
        service: "login".into(),
        remote_host: String::new(),
        earlier: None,
    }
}

struct Outcome {
    answer: Result<Option<String>, Code>,
    heard: Vec<String>,
    asked: usize,
    calls: usize,
}

fn check(visit: Visit, arguments: &[&str], answer: &'static str, daemon: &Scripted) -> Outcome {
    let options = Options::parse(arguments.iter().copied()).unwrap();
    let mut person = Played {
        answer,
        heard: Vec::new(),
        asked: 0,
    };
    let answer = authenticate(visit, &options, &mut person, daemon);
    let Played { heard, asked, .. } = person;
    Outcome {
        answer,
        heard,
        asked,
        calls: daemon.seen.borrow().len(),
    }
}

#[test]
fn the_right_pin_brings_the_cache() {
    let outcome = check(visit(), &[], PIN, &Scripted::default());
    assert_eq!(outcome.answer, Ok(Some("KCM:1000".into())));
    assert!(outcome.heard.is_empty());
}

#[test]
fn without_a_domain_controller_the_person_is_in_and_knows_why_there_is_no_ticket() {
    let daemon = Scripted {
        is_offline: true,
        ..Scripted::default()
    };
    let outcome = check(visit(), &[], PIN, &daemon);
    assert_eq!(outcome.answer, Ok(None));
    assert_eq!(outcome.heard, ["No domain controller answers."]);
}

#[test]
fn a_wrong_pin_says_how_many_tries_are_left() {
    let cases = [
        (10, "Wrong PIN, 9 tries left.", Code::AuthError),
        (2, "Wrong PIN, 1 try left.", Code::AuthError),
        (1, "locked now", Code::MaxTries),
    ];
    for (tries_left, sentence, code) in cases {
        let daemon = Scripted {
            tries_left,
            ..Scripted::default()
        };
        let outcome = check(visit(), &[], "1", &daemon);
        assert_eq!(
            (outcome.answer, outcome.heard),
            (Err(code), vec![sentence.to_owned()])
        );
    }
}

#[test]
fn somebody_else_at_su_leaves_half_of_the_tries_to_the_person() {
    // caller, tries left, whether a PIN is asked
    let cases = [
        (1001, 6, true),
        (1001, 5, false),
        (1000, 5, true),
        (0, 1, true),
    ];
    for (caller, tries_left, is_asked) in cases {
        let daemon = Scripted {
            tries_left,
            ..Scripted::default()
        };
        let outcome = check(Visit { caller, ..visit() }, &[], PIN, &daemon);
        assert_eq!(outcome.asked == 1, is_asked, "{caller} with {tries_left}");
    }
}

#[test]
fn an_empty_answer_is_a_wish_for_the_password() {
    let outcome = check(visit(), &[], "", &Scripted::default());
    assert_eq!((outcome.answer, outcome.calls), (Err(Code::Ignore), 0));
}

#[test]
fn whom_it_cannot_serve_it_asks_nothing() {
    let absent = Scripted {
        present: false,
        ..Scripted::default()
    };
    let cases = [
        (visit(), &absent),
        (Visit { uid: 0, ..visit() }, &Scripted::default()),
        (
            Visit {
                remote_host: "198.51.100.7".into(),
                ..visit()
            },
            &Scripted::default(),
        ),
        (
            Visit {
                service: "sshd".into(),
                ..visit()
            },
            &Scripted::default(),
        ),
    ];
    for (visit, daemon) in cases {
        let outcome = check(visit, &[], PIN, daemon);
        assert_eq!(outcome.answer, Err(Code::AuthInfoUnavailable));
        assert_eq!(
            (outcome.asked, outcome.calls, outcome.heard.len()),
            (0, 0, 0)
        );
    }
}

#[test]
fn over_the_network_the_daemon_decides_and_half_of_the_tries_are_the_person_s() {
    let sshd = || Visit {
        service: "sshd".into(),
        remote_host: "198.51.100.7".into(),
        ..visit()
    };
    let daemon = |takes_remote, tries_left| Scripted {
        takes_remote,
        tries_left,
        ..Scripted::default()
    };
    for (takes_remote, tries_left, is_asked) in
        [(true, 10, true), (true, 5, false), (false, 10, false)]
    {
        let outcome = check(sshd(), &[], PIN, &daemon(takes_remote, tries_left));
        assert_eq!(outcome.asked == 1, is_asked, "{takes_remote} {tries_left}");
        assert_eq!(outcome.answer.is_ok(), is_asked);
        assert!(outcome.heard.is_empty());
    }
}

#[test]
fn a_locked_pin_is_not_asked_for() {
    let daemon = Scripted {
        tries_left: 0,
        ..Scripted::default()
    };
    let outcome = check(visit(), &[], PIN, &daemon);
    assert_eq!(
        (outcome.answer, outcome.asked),
        (Err(Code::AuthInfoUnavailable), 0)
    );
    assert!(outcome.heard[0].contains("locked"));
}

#[test]
fn an_earlier_answer_is_a_pin_only_where_the_line_says_so() {
    let earlier = || Visit {
        earlier: Some(Secret::new(PIN.into())),
        ..visit()
    };
    let cases = [
        (earlier(), "", "typed", 1, false),
        (earlier(), "try_first_pass", "typed", 0, true),
        (earlier(), "use_first_pass", "typed", 0, true),
        (visit(), "try_first_pass", PIN, 1, true),
        (visit(), "use_first_pass", PIN, 0, false),
    ];
    for (visit, argument, typed, asked, works) in cases {
        let arguments: Vec<_> = Some(argument)
            .filter(|text| !text.is_empty())
            .into_iter()
            .collect();
        let outcome = check(visit, &arguments, typed, &Scripted::default());
        assert_eq!(
            (outcome.asked, outcome.answer.is_ok()),
            (asked, works),
            "{argument}"
        );
    }
}

#[test]
fn other_refusals_are_shown_and_sorted() {
    let cases = [
        ("key_not_in_directory", Code::AuthError, 1),
        ("kdc_not_trusted", Code::AuthError, 1),
        ("account_revoked", Code::AccountExpired, 1),
        ("account_disabled", Code::AccountExpired, 1),
        ("outside_hours", Code::AccountExpired, 1),
        ("policy_refused", Code::AccountExpired, 1),
        ("offline_expired", Code::AuthInfoUnavailable, 1),
        ("pin_locked", Code::MaxTries, 1),
        ("no_kdc", Code::AuthInfoUnavailable, 1),
        ("remote_refused", Code::AuthInfoUnavailable, 0),
        ("no_credential", Code::AuthInfoUnavailable, 0),
    ];
    for (code, expected, sentences) in cases {
        let refusal = Some(Failure::new(code, "A sentence."));
        let outcome = check(
            visit(),
            &[],
            PIN,
            &Scripted {
                refusal,
                ..Scripted::default()
            },
        );
        assert_eq!(outcome.answer, Err(expected), "{code}");
        assert_eq!(outcome.heard, vec!["A sentence."; sentences], "{code}");
    }
}

#[test]
fn an_enrollment_is_offered_where_the_daemon_says_so_and_nowhere_else() {
    let root = Visit { uid: 0, ..visit() };
    let remote = Visit {
        remote_host: "198.51.100.7".into(),
        ..visit()
    };
    for (visit, offers, told) in [
        (visit(), Some(true), true),
        (visit(), Some(false), false),
        (visit(), None, false),
        (root, Some(true), false),
        (remote, Some(true), false),
    ] {
        let daemon = Scripted {
            offers,
            ..Scripted::default()
        };
        assert_eq!(open_session(visit, &daemon), told);
    }
}

#[test]
fn an_unknown_argument_is_an_error() {
    assert_eq!(Options::parse(["debug"]), None);
    let socket = Options::parse(["socket=/x"]).unwrap().socket;
    assert_eq!(socket.as_deref(), Some("/x".as_ref()));
}
