use std::cell::RefCell;

use ipc::{
    CallError, Done, Failure, PinChange, PinRules, PinRulesAnswer, Secret, SessionClose,
    SessionOpen, SessionOpenAnswer, Signin, SigninAnswer, TokenInfo, TokenInfoAnswer,
};

use crate::flow::{Code, Daemon, Options, Person, Visit, authenticate};

const OLD: &str = "271828";
const NEW: &str = "314159";

/// A person who answers in a row and writes down what is asked and said.
struct Played {
    answers: Vec<&'static str>,
    log: Vec<String>,
}

impl Person for Played {
    fn ask(&mut self, prompt: &str) -> Result<Secret, Code> {
        self.log.push(prompt.to_owned());
        if self.answers.is_empty() {
            return Err(Code::ConversationError);
        }
        Ok(Secret::new(self.answers.remove(0).to_owned()))
    }

    fn ask_shown(&mut self, prompt: &str) -> Result<Secret, Code> {
        self.log.push(format!("shown: {prompt}"));
        self.ask("")
    }

    fn tell(&mut self, sentence: &str) {
        self.log.push(sentence.to_owned());
    }

    fn inform(&mut self, sentence: &str) {
        self.tell(sentence);
    }
}

/// A daemon whose only PIN is due; [`NEW`] is the only one that it takes instead.
#[derive(Default)]
struct Due {
    phrase: Option<&'static str>,
    retry_after_s: Option<u32>,
    changed: RefCell<bool>,
    /// What was typed as the phrase with each sign-in.
    phrases: RefCell<Vec<Option<String>>>,
}

impl Daemon for Due {
    fn token_info(&self, _: TokenInfo) -> Result<TokenInfoAnswer, CallError> {
        Ok(TokenInfoAnswer {
            present: true,
            protected_path: false,
            tries_left: 7,
            tries_limit: 10,
            phrase: self.phrase.map(str::to_owned),
            retry_after_s: self.retry_after_s,
        })
    }

    fn sign_in(&self, request: Signin) -> Result<SigninAnswer, CallError> {
        self.phrases.borrow_mut().push(request.phrase);
        match (request.pin.expose(), *self.changed.borrow()) {
            (OLD, false) => Err(Failure::new("pin_change_required", "It is due.").into()),
            (NEW, true) => Ok(SigninAnswer {
                uid: 1000,
                principal: String::new(),
                ccache: Some("KCM:1000".into()),
                ticket_server: None,
                notice: None,
                took_ms: 1,
            }),
            _ => Err(Failure::new("wrong_pin", "Wrong.").into()),
        }
    }

    fn pin_rules(&self, request: PinRules) -> Result<PinRulesAnswer, CallError> {
        assert_eq!(request.user.as_deref(), Some("alice"));
        let rules = vec!["Six digits.".to_owned(), "No other.".to_owned()];
        Ok(PinRulesAnswer { rules })
    }

    fn change_pin(&self, request: PinChange) -> Result<Done, CallError> {
        assert_eq!(request.user.as_deref(), Some("alice"));
        assert_eq!(request.old.expose(), OLD);
        if request.new.expose() != NEW {
            return Err(Failure::new("pin_refused", "Not that one.").into());
        }
        *self.changed.borrow_mut() = true;
        Ok(Done {})
    }

    fn open_session(&self, _: SessionOpen) -> Result<SessionOpenAnswer, CallError> {
        panic!("no session is opened")
    }

    fn close_session(&self, _: SessionClose) -> Result<Done, CallError> {
        panic!("no session is closed")
    }
}

fn check(
    arguments: &[&str],
    answers: &[&'static str],
    daemon: &Due,
) -> (Result<Option<String>, Code>, Vec<String>) {
    let visit = Visit {
        user: "alice".into(),
        uid: 1000,
        caller: 0,
        service: "login".into(),
        remote_host: String::new(),
        earlier: Some(Secret::new(OLD.to_owned())),
    };
    let mut person = Played {
        answers: answers.to_vec(),
        log: Vec::new(),
    };
    let options = Options::parse(arguments.iter().copied()).unwrap();
    let answer = authenticate(visit, &options, &mut person, daemon);
    (answer, person.log)
}

#[test]
fn a_pin_that_is_due_is_replaced_before_the_sign_in_goes_on() {
    let daemon = Due::default();
    let (answer, log) = check(&[], &[OLD, NEW, NEW], &daemon);
    assert_eq!(answer, Ok(Some("KCM:1000".to_owned())));
    let told = [
        "PIN: ",
        "It is due.",
        "Six digits.",
        "No other.",
        "New PIN: ",
        "New PIN again: ",
    ];
    assert_eq!(log, told);
}

#[test]
fn each_refusal_is_said_and_another_pin_asked_for() {
    let daemon = Due::default();
    let answers = [OLD, "111111", "111111", NEW, "314158", NEW, NEW];
    let (answer, log) = check(&[], &answers, &daemon);
    assert!(answer.is_ok());
    assert!(log.contains(&"Not that one.".to_owned()), "{log:?}");
    assert!(log.contains(&"The two PINs differ.".to_owned()), "{log:?}");
}

#[test]
fn after_three_new_pins_that_are_refused_the_sign_in_fails_and_the_old_one_opens_nothing() {
    let daemon = Due::default();
    let answers = [OLD, "1", "1", "2", "2", "3", "3", NEW, NEW];
    let (answer, log) = check(&[], &answers, &daemon);
    assert_eq!(answer, Err(Code::AuthError));
    assert!(log.last().unwrap().contains("password"), "{log:?}");
    assert!(!*daemon.changed.borrow());
    assert_eq!(daemon.phrases.borrow().len(), 1);
}

#[test]
fn whoever_breaks_off_has_no_session() {
    for answers in [&[OLD][..], &[OLD, NEW]] {
        let (answer, _) = check(&[], answers, &Due::default());
        assert_eq!(answer, Err(Code::AuthError));
    }
}

#[test]
fn where_nobody_may_be_asked_a_pin_that_is_due_is_a_refusal() {
    let (answer, log) = check(&["use_first_pass"], &[], &Due::default());
    assert_eq!(
        (answer, log),
        (Err(Code::AuthError), vec!["It is due.".to_owned()])
    );
    let phrase = Due {
        phrase: Some("XYZ"),
        ..Due::default()
    };
    let (answer, log) = check(&["use_first_pass"], &[], &phrase);
    assert_eq!((answer, log), (Err(Code::AuthInfoUnavailable), Vec::new()));
}

#[test]
fn the_phrase_is_typed_before_the_pin_is_asked_for_and_goes_along_with_it() {
    let daemon = Due {
        phrase: Some("XYZ"),
        ..Due::default()
    };
    *daemon.changed.borrow_mut() = true;
    let (answer, log) = check(&[], &["xyz ", NEW], &daemon);
    assert!(answer.is_ok());
    assert!(
        log[0].starts_with("shown: ") && log[0].contains("XYZ"),
        "{log:?}"
    );
    assert_eq!(*daemon.phrases.borrow(), [Some("xyz ".to_owned())]);

    let (answer, log) = check(&[], &["no", NEW], &daemon);
    assert_eq!(answer, Err(Code::AuthInfoUnavailable));
    assert!(!log.contains(&"PIN: ".to_owned()), "{log:?}");
}

#[test]
fn while_the_next_pin_waits_none_is_asked_for() {
    let daemon = Due {
        phrase: Some("XYZ"),
        retry_after_s: Some(42),
        ..Due::default()
    };
    let (answer, log) = check(&[], &[OLD], &daemon);
    assert_eq!((answer, log.len()), (Err(Code::AuthInfoUnavailable), 1));
    assert!(log[0].contains("42 s"), "{log:?}");
}
