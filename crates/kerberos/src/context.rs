//! Tickets: got by key, password or keytab, proven, kept and handed on.

use std::{
    ffi::CStr,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use model::{Secret, UnixTime};
use zeroize::Zeroizing;

use crate::{
    Error,
    ffi::{Cache, Credentials, Exchange, Keytab, Library, Options, Principal},
};

/// The service that sets passwords.
const CHANGE: &CStr = c"kadmin/changepw";

/// The Kerberos library, ready to be used by one thread.
pub struct Context(Library);

/// A login by the user's key.
#[derive(Debug, Clone)]
pub struct PkinitRequest {
    /// Who: `name@REALM`.
    pub principal: String,
    /// The PKCS#11 module that holds key and certificate.
    pub module: String,
    /// PEM files: the KDCs' authorities and the root of the user's own certificate. They replace
    /// the profile's anchors.
    pub anchors: Vec<String>,
}

/// A ticket with its session key: most often the ticket-granting one.
pub struct Tgt<'c>(Credentials<'c>);

impl Context {
    /// Reads the profile.
    pub fn new() -> Result<Self, Error> {
        Library::new().map(Self)
    }

    /// Gets a ticket with a key whose token has a protected authentication path: libkrb5 logs in
    /// to such a token without a PIN and asks nobody. A token that wants a PIN refuses.
    ///
    /// What comes back is not proven: see [`Context::verify`].
    pub fn pkinit(&self, request: &PkinitRequest) -> Result<Tgt<'_>, Error> {
        let client = Principal::parse(&self.0, &request.principal)?;
        let options = Options::new(&self.0)?;
        options.ask_for_renewable(RENEWABLE);
        options.set(
            "X509_user_identity",
            &format!("PKCS11:module_name={}", request.module),
        )?;
        for anchor in &request.anchors {
            options.set("X509_anchors", &format!("FILE:{anchor}"))?;
        }
        let exchange = Exchange::new(&client, Some(&options))?;
        let heard = self.0.heard();
        heard.forget();
        exchange.run(|code, message| {
            Error::of_pkinit(code, message, (heard.reason(), heard.status()))
        })?;
        exchange.credentials().map(Tgt)
    }

    /// The AS-REP (RFC 4120 5.4.2) of the last such login, as it came: for a diagnosis, and for
    /// nothing that is to be believed.
    pub fn kdc_reply(&self) -> Option<Vec<u8>> {
        self.0.heard().reply()
    }

    /// Reads what [`Tgt::marshal`] wrote.
    pub fn unmarshal(&self, bytes: &[u8]) -> Result<Tgt<'_>, Error> {
        Credentials::unmarshal(&self.0, bytes).map(Tgt)
    }

    /// Has the KDC make a ticket for this host and opens it with the host's key in `keytab`: proves
    /// that the ticket comes from a KDC that knows the host. `account` is the host's own principal
    /// there. A keytab without a key of the host is a failure.
    pub fn verify(&self, tgt: &Tgt<'_>, keytab: &Path, account: &str) -> Result<(), Error> {
        let keytab = Keytab::open(&self.0, keytab)?;
        let opened =
            Principal::parse(&self.0, account).and_then(|service| tgt.0.open(&service, &keytab));
        match opened {
            Ok(opened) if opened.is_proof(account) => Ok(()),
            Err(error @ Error::KdcUnreachable(_)) => Err(error),
            // Not as simple as most: the library has the last word.
            Ok(_) | Err(_) => tgt.0.verify(None, &keytab),
        }
    }

    /// Is this the principal's password? Answered by a KDC that proves with a ticket for `service`
    /// that it knows that service's key in `keytab`; an impostor's yes is refused.
    pub fn password_check(
        &self,
        principal: &str,
        password: &Secret<String>,
        keytab: &Path,
        service: &str,
    ) -> Result<(), Error> {
        let client = Principal::parse(&self.0, principal)?;
        let service = Principal::parse(&self.0, service)?;
        let keytab = Keytab::open(&self.0, keytab)?;
        // One exchange with one KDC: the convenience function would ask a second time where the
        // first KDC is not the primary one, and count two failures for one wrong password.
        let ask = |service: Option<&CStr>| {
            let exchange = Exchange::new(&client, None)?;
            exchange.set_password(password)?;
            service.map_or(Ok(()), |service| exchange.set_service(service))?;
            let heard = self.0.heard();
            heard.forget();
            exchange.run(|code, message| Error::of_password(code, message, heard.status()))?;
            Ok(exchange)
        };
        match ask(None) {
            // Said before the KDC has looked at the password. It looks at it where a new one is to be
            // set (RFC 3244).
            Err(expired @ Error::PasswordExpired(_)) => {
                Err(ask(Some(CHANGE)).err().unwrap_or(expired))
            }
            asked => asked?.credentials()?.verify(Some(&service), &keytab),
        }
    }

    /// Gets a ticket with a key of `keytab` and puts it into the cache `cache`, as for
    /// `KRB5CCNAME`; what was in it is gone.
    pub fn keytab_ccache(&self, principal: &str, keytab: &Path, cache: &str) -> Result<(), Error> {
        let client = Principal::parse(&self.0, principal)?;
        let keytab = Keytab::open(&self.0, keytab)?;
        let exchange = Exchange::new(&client, None)?;
        exchange.set_keytab(&keytab)?;
        exchange.run(Error::from_code)?;
        Cache::resolve(&self.0, cache)?.fill(&exchange.credentials()?)
    }

    /// What the KDC's clock said when it last refused something, and be it only to ask for a proof: for
    /// a sentence about clocks, and for nothing that is to be believed.
    pub fn kdc_time(&self) -> Option<UnixTime> {
        self.0.heard().time()
    }

    /// Who owns the process's default cache: `name@REALM`.
    pub fn owner(&self) -> Result<String, Error> {
        Cache::default_of(&self.0)?.owner()?.text()
    }

    /// A ticket for `service`, as `cifs/host`, in the name of whoever owns the process's default
    /// cache. For a speaker of a protocol that libkrb5's GSS-API does not speak.
    pub fn service_ticket(&self, service: &str) -> Result<Tgt<'_>, Error> {
        let service = Principal::parse(&self.0, service)?;
        Cache::default_of(&self.0)?
            .credentials_for(&service)
            .map(Tgt)
    }
}

impl Tgt<'_> {
    /// The ticket and its session key as bytes, for a process that is trusted with both.
    pub fn marshal(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.0.marshal()
    }

    /// Puts the ticket into the default cache of the calling user and process; answers its name,
    /// as for `KRB5CCNAME`.
    pub fn store_default(&self) -> Result<String, Error> {
        let cache = Cache::default_of(self.0.library())?;
        cache.fill(&self.0)?;
        cache.name()
    }

    /// Whose ticket, as the KDC names the account.
    pub fn client(&self) -> Result<String, Error> {
        self.0.client()
    }

    /// What for: `krbtgt/REALM@REALM`, or the service.
    pub fn server(&self) -> Result<String, Error> {
        self.0.server()
    }

    /// Until when.
    pub fn end(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::from(self.0.end()))
    }
}

/// How long a ticket is asked to be renewable; the KDC's policy shortens it.
const RENEWABLE: Duration = Duration::from_secs(7 * 24 * 3600);
