//! Confidentiality by Kerberos: the GSSAPI mechanism of SASL (RFC 4752).

use crate::{
    Error,
    ffi::{CONFIDENTIALITY, Context, INTEGRITY, MUTUAL, Name, REPLAY, SEQUENCE},
};

/// The longest sealed buffer that we take and say so: the most that three octets can announce.
pub(crate) const MAX_SEALED: usize = 0xff_ffff;

/// Layers in the negotiation's first octet.
const LAYER_CONFIDENTIAL: u8 = 4;

/// A context that both sides have agreed on, with confidentiality.
pub(crate) struct Seal {
    context: Context,
    max_send: usize,
}

/// A context on the way.
pub(crate) struct Handshake {
    context: Context,
    target: Name,
    standing: bool,
}

/// What to do next in a handshake.
pub(crate) enum Next {
    /// Send this token in the next bind request.
    Send(Vec<u8>),
    /// The layers are agreed: send this, and seal everything after the answer.
    Last(Vec<u8>, Seal),
}

const WANTED: u32 = MUTUAL | REPLAY | SEQUENCE | CONFIDENTIALITY | INTEGRITY;

impl Handshake {
    /// Begins with the service `ldap/host/domain@REALM`, a name of three parts: any computer may
    /// give itself `ldap/host`, but only a domain controller may have one that ends in the domain
    /// (MS-ADTS 3.1.1.5.3.1.1.4). Blocks: a KDC may be asked.
    pub(crate) fn begin(host: &str, realm: &str) -> Result<(Self, Vec<u8>), Error> {
        let domain = realm.to_ascii_lowercase();
        let service = format!("ldap/{host}/{domain}@{realm}");
        let target = Name::principal(&service).map_err(Error::Kerberos)?;
        let mut handshake = Self {
            context: Context::new(),
            target,
            standing: false,
        };
        let token = handshake.step(None)?;
        Ok((handshake, token))
    }

    /// Takes the domain controller's answer.
    pub(crate) fn next(mut self, answer: &[u8]) -> Result<(Option<Self>, Next), Error> {
        if !self.standing {
            let token = self.step(Some(answer))?;
            return Ok((Some(self), Next::Send(token)));
        }
        let (offer, _) = self.context.unwrap(answer).map_err(Error::Kerberos)?;
        let [layers, size @ ..] = offer.as_slice() else {
            return Err(Error::Malformed("an empty offer of security layers"));
        };
        if layers & LAYER_CONFIDENTIAL == 0 {
            return Err(Error::NotSealed(
                "the domain controller offers no confidentiality",
            ));
        }
        let max_send = size
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let [_, size @ ..] = (MAX_SEALED as u32).to_be_bytes();
        let mut choice = vec![LAYER_CONFIDENTIAL];
        choice.extend(size);
        let (choice, _) = self.context.wrap(false, &choice).map_err(Error::Kerberos)?;
        Ok((
            None,
            Next::Last(
                choice,
                Seal {
                    context: self.context,
                    max_send,
                },
            ),
        ))
    }

    fn step(&mut self, input: Option<&[u8]>) -> Result<Vec<u8>, Error> {
        let step = self
            .context
            .step(&self.target, WANTED, input)
            .map_err(Error::Kerberos)?;
        if let Some(granted) = step.granted {
            if granted & WANTED != WANTED {
                return Err(Error::NotSealed(
                    "the ticket does not allow confidentiality",
                ));
            }
            self.standing = true;
        }
        Ok(step.token)
    }
}

impl Seal {
    /// One sealed buffer with its length in front.
    pub(crate) fn seal(&mut self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let (sealed, confidential) = self
            .context
            .wrap(true, message)
            .map_err(Error::Unreachable)?;
        if !confidential {
            return Err(Error::NotSealed("a message could not be encrypted"));
        }
        if sealed.len() > self.max_send {
            return Err(Error::Malformed(
                "a request is longer than the domain controller takes",
            ));
        }
        let mut framed = (sealed.len() as u32).to_be_bytes().to_vec();
        framed.extend(sealed);
        Ok(framed)
    }

    /// The content of one sealed buffer.
    pub(crate) fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (message, confidential) = self.context.unwrap(sealed).map_err(Error::Unreachable)?;
        if !confidential {
            return Err(Error::NotSealed("an answer was not encrypted"));
        }
        Ok(message)
    }
}
