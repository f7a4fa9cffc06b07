//! One command: its handles, its authorisations, its parameters; and the answer, verified.
//!
//! One session of a command carries the parameter encryption, in both directions wherever the
//! command has something to encrypt: the first authorisation, or one that is there for nothing else,
//! where the first would need a value that nobody knows any more. An answer whose HMAC is wrong did not come from the TPM and
//! is not read further.

use openssl::symm::Mode;
use zeroize::Zeroizing;

use crate::session::{Nonce, Session, cipher, fresh_nonce, hmac};
use crate::spec::{handle, rc, session as attribute, tag};
use crate::transport::{HEADER, LARGEST, Transport, wait_before_asking_again};
use crate::wire::{Malformed, Reader, Writer};
use crate::{Error, error};

/// How often a TPM may ask to be asked again: 20 ms each, half a minute in all.
const PATIENCE: u32 = 1500;

/// Something a command acts on. Its name is what the command's HMAC covers.
#[derive(Clone)]
pub(crate) struct Entity {
    pub(crate) handle: u32,
    pub(crate) name: Vec<u8>,
}

impl Entity {
    /// A permanent handle or a session: the name is the handle itself.
    pub(crate) fn by_handle(handle: u32) -> Self {
        Self {
            handle,
            name: handle.to_be_bytes().to_vec(),
        }
    }
}

/// How one handle of a command is authorised.
pub(crate) struct Auth<'a> {
    session: &'a mut Session,
    value: &'a [u8],
    value_after: &'a [u8],
    in_hmac: bool,
    keep: bool,
    /// It authorises nothing and encrypts for the others.
    only_encrypts: bool,
}

impl<'a> Auth<'a> {
    /// An HMAC session that proves `value`, and stays open.
    pub(crate) fn hmac(session: &'a mut Session, value: &'a [u8]) -> Self {
        Self {
            session,
            value,
            value_after: value,
            in_hmac: true,
            keep: true,
            only_encrypts: false,
        }
    }

    /// A policy session with PolicyAuthValue, spent by this command.
    pub(crate) fn policy_with_value(session: &'a mut Session, value: &'a [u8]) -> Self {
        Self {
            session,
            value,
            value_after: value,
            in_hmac: true,
            keep: false,
            only_encrypts: false,
        }
    }

    /// A policy session without PolicyAuthValue, spent by this command. The value still keys the
    /// parameter encryption.
    pub(crate) fn policy(session: &'a mut Session, value: &'a [u8]) -> Self {
        Self {
            session,
            value,
            value_after: value,
            in_hmac: false,
            keep: false,
            only_encrypts: false,
        }
    }

    /// An HMAC session that encrypts and authorises nothing; it stays open, and stands last.
    pub(crate) fn encrypting(session: &'a mut Session) -> Self {
        Self {
            only_encrypts: true,
            ..Self::hmac(session, &[])
        }
    }

    /// The command replaces the authorisation value; the answer is proven with the new one.
    pub(crate) fn becoming(self, value_after: &'a [u8]) -> Self {
        Self {
            value_after,
            ..self
        }
    }

    fn key(&self, value: &[u8]) -> Zeroizing<Vec<u8>> {
        let mut key = Zeroizing::new(Vec::with_capacity(self.session.key.len() + value.len()));
        key.extend_from_slice(&self.session.key);
        key.extend_from_slice(value);
        key
    }

    fn hmac_key(&self, value: &[u8]) -> Zeroizing<Vec<u8>> {
        self.key(if self.in_hmac { value } else { &[] })
    }
}

/// What a command has in its first places that parameter encryption could cover.
#[derive(Clone, Copy, Default)]
pub(crate) struct Encrypts {
    /// The first parameter is a TPM2B.
    pub(crate) command: bool,
    /// The first parameter of the answer is a TPM2B.
    pub(crate) answer: bool,
}

impl Encrypts {
    pub(crate) const NOTHING: Self = Self {
        command: false,
        answer: false,
    };
    pub(crate) const COMMAND: Self = Self {
        command: true,
        answer: false,
    };
    pub(crate) const ANSWER: Self = Self {
        command: false,
        answer: true,
    };
    pub(crate) const BOTH: Self = Self {
        command: true,
        answer: true,
    };
}

/// A command before it is sent.
pub(crate) struct Command<'a> {
    pub(crate) name: &'static str,
    pub(crate) code: u32,
    pub(crate) handles: &'a [&'a Entity],
    pub(crate) encrypts: Encrypts,
    pub(crate) params: Writer,
    /// The answer begins with a handle.
    pub(crate) makes_handle: bool,
}

/// A command's nonces, and its parameters as they are sent.
pub(crate) struct Prepared {
    nonces: Vec<Nonce>,
    pub(crate) params: Zeroizing<Vec<u8>>,
}

/// What a successful command brought.
pub(crate) struct Answer {
    pub(crate) handle: u32,
    pub(crate) params: Zeroizing<Vec<u8>>,
}

impl Command<'_> {
    /// Sends the command without any authorisation.
    pub(crate) fn plain(self, transport: &mut Transport) -> Result<Answer, Error> {
        let packet = self.packet(tag::NO_SESSIONS, &[], &self.params.done_ref())?;
        let answer = exchange(transport, self.name, &packet)?;
        let (handle, params) = self.split(&answer)?;
        Ok(Answer {
            handle,
            params: Zeroizing::new(params.to_vec()),
        })
    }

    /// Sends the command with the empty password: only for the storage key, without which no
    /// session can be salted.
    pub(crate) fn with_empty_password(self, transport: &mut Transport) -> Result<Answer, Error> {
        let area = Writer::new()
            .u32(handle::PASSWORD)
            .u16(0)
            .u8(attribute::CONTINUE)
            .u16(0)
            .plain();
        let packet = self.packet(tag::SESSIONS, &area, &self.params.done_ref())?;
        let answer = exchange(transport, self.name, &packet)?;
        let (handle, body) = self.split(&answer)?;
        let mut body = Reader::new(body);
        let params = parameters(&mut body).map_err(|Malformed| error::malformed(self.name))?;
        Ok(Answer {
            handle,
            params: Zeroizing::new(params.to_vec()),
        })
    }

    /// Sends the command with one authorisation for each of its first handles.
    pub(crate) fn run(
        self,
        transport: &mut Transport,
        auths: &mut [Auth<'_>],
    ) -> Result<Answer, Error> {
        let prepared = self.prepare(auths)?;
        self.run_prepared(transport, auths, &prepared)
    }

    /// Chooses the nonces and encrypts, for these authorisations in the state that they are in.
    pub(crate) fn prepare(&self, auths: &[Auth<'_>]) -> Result<Prepared, Error> {
        let nonces = auths
            .iter()
            .map(|_| fresh_nonce())
            .collect::<Result<Vec<_>, _>>()?;
        let mut params = self.params.done_ref();
        let carrier = carrier(auths);
        if self.encrypts.command
            && let (Some(auth), Some(nonce)) = (auths.get(carrier), nonces.get(carrier))
        {
            let key = auth.key(auth.value);
            replace_first(&mut params, |plain| {
                cipher(Mode::Encrypt, &key, nonce, &auth.session.nonce_tpm, plain)
            })
            .map_err(|failure| failure.into_error(self.name))?;
        }
        Ok(Prepared { nonces, params })
    }

    /// Sends what was prepared, with the same authorisations: their sessions have seen no other
    /// command since.
    pub(crate) fn run_prepared(
        self,
        transport: &mut Transport,
        auths: &mut [Auth<'_>],
        prepared: &Prepared,
    ) -> Result<Answer, Error> {
        let Prepared { nonces, params } = prepared;
        let carrier = carrier(auths);
        let cp_hash = {
            let mut input = Writer::new().u32(self.code);
            for entity in self.handles {
                input = input.bytes(&entity.name);
            }
            model::sha256(&input.bytes(params).done())
        };
        let mut area = Writer::new();
        for (index, (auth, nonce)) in auths.iter().zip(nonces).enumerate() {
            let attributes = self.attributes(index == carrier, auth);
            // The first HMAC covers the nonce of the session that encrypts beside it (part 1, 19.6).
            let beside = match auths.get(carrier) {
                Some(other) if index == 0 && carrier != 0 => &other.session.nonce_tpm[..],
                _ => &[],
            };
            let own = &auth.session.nonce_tpm;
            let proof = hmac(
                &auth.hmac_key(auth.value),
                &[&cp_hash, nonce, own, beside, &[attributes]],
            )?;
            area = area
                .u32(auth.session.handle)
                .sized(nonce)
                .u8(attributes)
                .sized(&proof);
        }

        let packet = self.packet(tag::SESSIONS, &area.done(), params)?;
        let answer = exchange(transport, self.name, &packet)?;
        self.verify(&answer, auths, nonces)
    }

    fn attributes(&self, carries: bool, auth: &Auth<'_>) -> u8 {
        let mut attributes = 0;
        if auth.keep {
            attributes |= attribute::CONTINUE;
        }
        if carries && self.encrypts.command {
            attributes |= attribute::DECRYPT;
        }
        if carries && self.encrypts.answer {
            attributes |= attribute::ENCRYPT;
        }
        attributes
    }

    fn packet(&self, tag: u16, area: &[u8], params: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut body = Writer::new();
        for entity in self.handles {
            body = body.u32(entity.handle);
        }
        if !area.is_empty() {
            body = body
                .u32(u32::try_from(area.len()).unwrap_or(u32::MAX))
                .bytes(area);
        }
        let body = body.bytes(params).done();
        match u32::try_from(HEADER + body.len()) {
            Ok(length) if body.len() <= LARGEST - HEADER => {
                let head = Writer::new().u16(tag).u32(length).u32(self.code);
                Ok(head.bytes(&body).done())
            }
            // Longer than any TPM takes: said here as it would say it.
            _ => Err(Error::Refused {
                command: self.name,
                code: rc::COMMAND_SIZE,
            }),
        }
    }

    /// Takes the header and the handle off an answer.
    fn split<'b>(&self, answer: &'b [u8]) -> Result<(u32, &'b [u8]), Error> {
        let read = || {
            let mut reader = Reader::new(answer);
            reader.take(HEADER)?;
            let handle = if self.makes_handle { reader.u32()? } else { 0 };
            Ok((handle, reader.rest()))
        };
        read().map_err(|Malformed| error::malformed(self.name))
    }

    fn verify(
        &self,
        answer: &[u8],
        auths: &mut [Auth<'_>],
        nonces: &[Nonce],
    ) -> Result<Answer, Error> {
        let malformed = |Malformed| error::malformed(self.name);
        let (handle, body) = self.split(answer)?;
        let mut body = Reader::new(body);
        let params = parameters(&mut body).map_err(malformed)?;
        let rp_hash = model::sha256(
            &Writer::new()
                .u32(rc::SUCCESS)
                .u32(self.code)
                .bytes(params)
                .done(),
        );
        for (auth, nonce) in auths.iter_mut().zip(nonces) {
            let nonce_tpm = body.sized().map_err(malformed)?;
            let attributes = body.u8().map_err(malformed)?;
            let proof = body.sized().map_err(malformed)?;
            let expected = hmac(
                &auth.hmac_key(auth.value_after),
                &[&rp_hash, nonce_tpm, nonce, &[attributes]],
            )?;
            if proof.len() != expected.len() || !openssl::memcmp::eq(proof, &expected) {
                return Err(Error::Unavailable(format!(
                    "the answer to TPM2_{} was not made by the TPM",
                    self.name
                )));
            }
            auth.session.nonce_tpm = nonce_tpm.to_vec();
        }
        let mut params = Zeroizing::new(params.to_vec());
        let carrier = carrier(auths);
        if self.encrypts.answer
            && let (Some(auth), Some(nonce)) = (auths.get(carrier), nonces.get(carrier))
        {
            let key = auth.key(auth.value_after);
            replace_first(&mut params, |hidden| {
                cipher(Mode::Decrypt, &key, &auth.session.nonce_tpm, nonce, hidden)
            })
            .map_err(|failure| failure.into_error(self.name))?;
        }
        Ok(Answer { handle, params })
    }
}

/// Which session encrypts.
fn carrier(auths: &[Auth<'_>]) -> usize {
    auths
        .iter()
        .position(|auth| auth.only_encrypts)
        .unwrap_or(0)
}

enum Failure {
    Malformed,
    Crypto(openssl::error::ErrorStack),
}

impl Failure {
    fn into_error(self, name: &'static str) -> Error {
        match self {
            Self::Malformed => error::malformed(name),
            Self::Crypto(stack) => stack.into(),
        }
    }
}

/// Replaces the bytes of the leading TPM2B, whose length stays.
fn replace_first(
    params: &mut [u8],
    turn: impl FnOnce(&[u8]) -> Result<Zeroizing<Vec<u8>>, openssl::error::ErrorStack>,
) -> Result<(), Failure> {
    let (length, rest) = params.split_at_mut_checked(2).ok_or(Failure::Malformed)?;
    let length = usize::from(
        Reader::new(length)
            .u16()
            .map_err(|Malformed| Failure::Malformed)?,
    );
    let first = rest.get_mut(..length).ok_or(Failure::Malformed)?;
    let turned = turn(first).map_err(Failure::Crypto)?;
    if turned.len() != first.len() {
        return Err(Failure::Malformed);
    }
    first.copy_from_slice(&turned);
    Ok(())
}

fn parameters<'a>(body: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(body.u32()?).map_err(|_| Malformed)?;
    body.take(length)
}

/// Sends until the TPM stops asking for another time, and turns its refusal into an error.
fn exchange(
    transport: &mut Transport,
    name: &'static str,
    packet: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    for _ in 0..PATIENCE {
        let answer =
            Zeroizing::new(transport.exchange(packet).map_err(|error| {
                Error::Unavailable(format!("no answer to TPM2_{name}: {error}"))
            })?);
        let code = code_of(&answer).map_err(|Malformed| error::malformed(name))?;
        match code {
            rc::SUCCESS => return Ok(answer),
            rc::RETRY | rc::YIELDED | rc::TESTING | rc::NV_RATE => wait_before_asking_again(),
            code => return Err(error::refused(name, code)),
        }
    }
    Err(Error::Unavailable(format!(
        "the TPM is too busy for TPM2_{name}"
    )))
}

fn code_of(answer: &[u8]) -> Result<u32, Malformed> {
    let mut reader = Reader::new(answer);
    reader.take(6)?;
    reader.u32()
}
