use std::cell::{Cell, RefCell};

use ipc::{CallError, CertAnswer, Failure, Secret, Ticket, TokenInfoAnswer};

use crate::{
    daemon::Daemon,
    object::{
        CKA_CLASS, CKA_ID, CKA_ISSUER, CKA_MODULUS, CKA_PRIVATE_EXPONENT, CKA_SERIAL_NUMBER,
        CKA_SUBJECT, CKA_VALUE, CKO_CERTIFICATE, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY, Kind, to_hex,
    },
    rv::Rv,
    token::{
        PROTECTED_AUTHENTICATION_PATH, RSA_PKCS, SERIAL_SESSION, SIGNATURE, Token, USER,
        USER_PIN_COUNT_LOW, USER_PIN_FINAL_TRY, USER_PIN_LOCKED,
    },
};

/// A daemon that knows one PIN and remembers what it signed.
struct Scripted {
    protected_path: bool,
    tries_left: u32,
    ticket_life: u32,
    signed: RefCell<Vec<String>>,
    asked: Cell<u32>,
}

impl Default for Scripted {
    fn default() -> Self {
        let signed = RefCell::default();
        Self {
            protected_path: false,
            tries_left: 10,
            ticket_life: 30,
            signed,
            asked: Cell::new(0),
        }
    }
}

impl Daemon for &Scripted {
    fn token_info(&self) -> Result<TokenInfoAnswer, CallError> {
        let Scripted {
            protected_path,
            tries_left,
            ..
        } = **self;
        self.asked.set(self.asked.get() + 1);
        Ok(TokenInfoAnswer {
            present: true,
            protected_path,
            tries_left,
            tries_limit: 10,
            phrase: None,
            retry_after_s: None,
        })
    }

    fn cert(&self) -> Result<CertAnswer, CallError> {
        self.asked.set(self.asked.get() + 1);
        Ok(CertAnswer {
            certificate: to_hex(&certificate()),
            issuer: String::new(),
            key_id: "0102".into(),
            modulus: "c0".repeat(256),
            exponent: "010001".into(),
        })
    }

    fn unlock(&self, pin: Option<Secret>) -> Result<Ticket, CallError> {
        let right = pin.map_or(self.protected_path, |pin| pin.expose() == "271828");
        if right {
            return Ok(Ticket {
                ticket: "t".into(),
                expires_in_s: self.ticket_life,
            });
        }
        let tries_left = Some(self.tries_left - 1);
        Err(Failure {
            tries_left,
            ..Failure::new("wrong_pin", "The PIN is wrong.")
        }
        .into())
    }

    fn sign(&self, ticket: String, digest_info: String) -> Result<String, CallError> {
        assert_eq!(ticket, "t");
        self.signed.borrow_mut().push(digest_info);
        Ok("5a".repeat(SIGNATURE))
    }
}

/// The outline of a certificate: only what the token reads has content.
fn certificate() -> Vec<u8> {
    let serial = [0x02, 0x01, 0x07];
    let (issuer, subject) = ([0x30, 0x01, 0x41], [0x30, 0x01, 0x42]);
    let (version, empty) = ([0xa0, 0x03, 0x02, 0x01, 0x02], [0x30, 0x00]);
    let signed = [
        &version[..],
        &serial[..],
        &empty[..],
        &issuer[..],
        &empty[..],
        &subject[..],
    ]
    .concat();
    let wrapped = [&[0x30, signed.len() as u8][..], &signed[..]].concat();
    [&[0x30, 0x81, wrapped.len() as u8][..], &wrapped[..]].concat()
}

fn digest_info() -> Vec<u8> {
    let prefix = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    [&prefix[..], &[0xab; 32]].concat()
}

fn pin(text: &str) -> Option<Secret> {
    Some(Secret::new(text.into()))
}

#[test]
fn one_look_at_the_token_asks_the_daemon_once() {
    let daemon = Scripted::default();
    let mut token = Token::new(&daemon);
    assert!(token.present() && token.present());
    token.flags().unwrap();
    assert_eq!(daemon.asked.get(), 1);
    // A login may have changed it.
    let session = token.open_session(SERIAL_SESSION).unwrap();
    assert!(token.login(session, USER, pin("0")).is_err());
    token.flags().unwrap();
    assert_eq!(daemon.asked.get(), 2);
    for _ in 0..2 {
        token.find_begin(session, &[]).unwrap();
        token.find_end(session).unwrap();
    }
    assert_eq!(daemon.asked.get(), 3);
    token.close_session(session).unwrap();
    let session = token.open_session(SERIAL_SESSION).unwrap();
    token.find_begin(session, &[]).unwrap();
    assert_eq!(daemon.asked.get(), 4);
}

#[test]
fn one_login_is_one_signature() {
    let daemon = Scripted::default();
    let mut token = Token::new(&daemon);
    let session = token.open_session(SERIAL_SESSION).unwrap();
    let key = Kind::PrivateKey.handle();
    assert_eq!(
        token.sign_begin(session, RSA_PKCS, key),
        Err(Rv::USER_NOT_LOGGED_IN)
    );
    for round in 1..=2 {
        token.login(session, USER, pin("271828")).unwrap();
        assert_eq!(
            token.login(session, USER, pin("1")),
            Err(Rv::USER_ALREADY_LOGGED_IN)
        );
        token.sign_begin(session, RSA_PKCS, key).unwrap();
        assert_eq!(
            token.sign(session, &digest_info()).unwrap(),
            vec![0x5a; 256]
        );
        assert_eq!(
            token.sign_begin(session, RSA_PKCS, key),
            Err(Rv::USER_NOT_LOGGED_IN)
        );
        assert_eq!(*daemon.signed.borrow(), vec![to_hex(&digest_info()); round]);
    }
}

#[test]
fn a_lapsed_ticket_is_no_login() {
    let daemon = Scripted {
        ticket_life: 0,
        ..Scripted::default()
    };
    let mut token = Token::new(&daemon);
    let session = token.open_session(SERIAL_SESSION).unwrap();
    token.login(session, USER, pin("271828")).unwrap();
    let begun = token.sign_begin(session, RSA_PKCS, Kind::PrivateKey.handle());
    assert_eq!(begun, Err(Rv::USER_NOT_LOGGED_IN));
    assert_eq!(token.login(session, USER, pin("271828")), Ok(()));
}

#[test]
fn only_a_digest_info_of_sha256_is_signed() {
    let daemon = Scripted {
        protected_path: true,
        ..Scripted::default()
    };
    let mut token = Token::new(&daemon);
    let session = token.open_session(SERIAL_SESSION).unwrap();
    let mut sha1_name = digest_info();
    sha1_name[8] = 0x2b;
    let refused = [
        (vec![0xff; 256], Rv::DATA_LEN_RANGE),
        (vec![0xab; 32], Rv::DATA_LEN_RANGE),
        (vec![0xab; 51], Rv::DATA_INVALID),
        (sha1_name, Rv::DATA_INVALID),
    ];
    token.login(session, USER, None).unwrap();
    for (data, rv) in refused {
        token
            .sign_begin(session, RSA_PKCS, Kind::PrivateKey.handle())
            .unwrap();
        assert_eq!(token.sign(session, &data), Err(rv));
    }
    assert!(daemon.signed.borrow().is_empty());
    for (mechanism, object, rv) in [
        (0x40, Kind::PrivateKey, Rv::MECHANISM_INVALID),
        (RSA_PKCS, Kind::PublicKey, Rv::KEY_HANDLE_INVALID),
    ] {
        assert_eq!(
            token.sign_begin(session, mechanism, object.handle()),
            Err(rv)
        );
    }
}

#[test]
fn refusals_of_the_daemon_keep_their_meaning() {
    let locked = Failure {
        tries_left: Some(0),
        ..Failure::new("wrong_pin", "")
    };
    let cases = [
        (Failure::new("wrong_pin", ""), Rv::PIN_INCORRECT),
        (locked, Rv::PIN_LOCKED),
        (Failure::new("pin_locked", ""), Rv::PIN_LOCKED),
        (Failure::new("pin_paused", ""), Rv::PIN_LOCKED),
        (Failure::new("phrase_required", ""), Rv::PIN_LOCKED),
        (Failure::new("pin_change_required", ""), Rv::PIN_EXPIRED),
        (Failure::new("not_yours", ""), Rv::FUNCTION_FAILED),
    ];
    for (failure, rv) in cases {
        assert_eq!(Rv::from(CallError::from(failure)), rv);
    }
    let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
    assert_eq!(Rv::from(CallError::from(absent)), Rv::DEVICE_ERROR);
}

#[test]
fn the_flags_say_how_the_pin_stands_and_whether_it_is_asked_for() {
    let of_pin = USER_PIN_COUNT_LOW | USER_PIN_FINAL_TRY | USER_PIN_LOCKED;
    let cases = [
        (10, 0),
        (9, USER_PIN_COUNT_LOW),
        (1, USER_PIN_COUNT_LOW | USER_PIN_FINAL_TRY),
        (0, USER_PIN_LOCKED),
    ];
    for (tries_left, flags) in cases {
        let daemon = Scripted {
            tries_left,
            ..Scripted::default()
        };
        assert_eq!(
            Token::new(&daemon).flags().unwrap() & of_pin,
            flags,
            "{tries_left} tries"
        );
    }
    for protected_path in [false, true] {
        let daemon = Scripted {
            protected_path,
            ..Scripted::default()
        };
        let flags = Token::new(&daemon).flags().unwrap();
        assert_eq!(flags & PROTECTED_AUTHENTICATION_PATH != 0, protected_path);
    }
}

#[test]
fn a_search_finds_what_matches_every_attribute() {
    let daemon = Scripted::default();
    let mut token = Token::new(&daemon);
    let session = token.open_session(SERIAL_SESSION).unwrap();
    let class = |class: u64| (CKA_CLASS, class.to_ne_bytes().to_vec());
    type Case<'a> = (&'a [(u64, Vec<u8>)], &'a [u64]);
    let cases: [Case<'_>; 5] = [
        (&[], &[1, 2, 3]),
        (&[class(CKO_CERTIFICATE)], &[1]),
        (&[class(CKO_PRIVATE_KEY), (CKA_ID, vec![1, 2])], &[2]),
        (&[class(CKO_PRIVATE_KEY), (CKA_ID, vec![9])], &[]),
        (
            &[class(CKO_PUBLIC_KEY), (CKA_MODULUS, vec![0xc0; 256])],
            &[3],
        ),
    ];
    for (wanted, handles) in cases {
        token.find_begin(session, wanted).unwrap();
        assert_eq!(token.find_begin(session, wanted), Err(Rv::OPERATION_ACTIVE));
        let first = token.find_more(session, 1).unwrap();
        let rest = token.find_more(session, 9).unwrap();
        assert_eq!([first, rest].concat(), handles);
        token.find_end(session).unwrap();
    }
    assert_eq!(
        token.find_more(session, 1),
        Err(Rv::OPERATION_NOT_INITIALIZED)
    );
}

#[test]
fn the_certificate_is_taken_apart_and_the_key_is_not() {
    let daemon = Scripted::default();
    let mut token = Token::new(&daemon);
    let session = token.open_session(SERIAL_SESSION).unwrap();
    assert_eq!(
        token.attribute(session, 1, CKA_VALUE),
        Err(Rv::OBJECT_HANDLE_INVALID)
    );
    token.find_begin(session, &[]).unwrap();
    let mut of_certificate = |attribute| token.attribute(session, 1, attribute).unwrap();
    assert_eq!(of_certificate(CKA_VALUE), certificate());
    assert_eq!(of_certificate(CKA_SERIAL_NUMBER), [0x02, 0x01, 0x07]);
    assert_eq!(of_certificate(CKA_ISSUER), [0x30, 0x01, 0x41]);
    assert_eq!(of_certificate(CKA_SUBJECT), [0x30, 0x01, 0x42]);
    let secret = token.attribute(session, 2, CKA_PRIVATE_EXPONENT);
    assert_eq!(secret, Err(Rv::ATTRIBUTE_SENSITIVE));
    assert_eq!(
        token.attribute(session, 4, CKA_ID),
        Err(Rv::OBJECT_HANDLE_INVALID)
    );
}

#[test]
fn a_certificate_that_is_none_makes_no_object() {
    let whole = certificate();
    for length in 0..whole.len() {
        let certificate = to_hex(&whole[..length]);
        let answer = CertAnswer {
            certificate,
            ..(&Scripted::default()).cert().unwrap()
        };
        assert!(
            crate::object::Material::read(&answer).is_none(),
            "{length} bytes"
        );
    }
}

#[test]
fn the_last_session_takes_the_login_along() {
    let daemon = Scripted::default();
    let mut token = Token::new(&daemon);
    let first = token.open_session(SERIAL_SESSION).unwrap();
    let second = token.open_session(SERIAL_SESSION).unwrap();
    token.login(first, USER, pin("271828")).unwrap();
    token.close_session(first).unwrap();
    assert_eq!(token.session_state(second).unwrap().state, 1);
    token.close_session(second).unwrap();
    let third = token.open_session(SERIAL_SESSION).unwrap();
    assert_eq!(token.session_state(third).unwrap().state, 0);
    assert_eq!(token.close_session(second), Err(Rv::SESSION_HANDLE_INVALID));
}
