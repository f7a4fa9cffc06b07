//! What libkrb5 tells besides its results: why its PKINIT module failed, and the KDC's own answer.
//!
//! What must hold: listening changes nothing. Nothing that was heard is a reason to believe or
//! refuse a ticket: the answer is what somebody on the network sent, unchecked.

pub(crate) mod ffi;
mod refusal;

use std::cell::{Cell, RefCell};

use model::UnixTime;

/// Tag of an AS-REP (RFC 4120 5.4.2), the one answer that is kept whole.
const AS_REP: u8 = 0x6b;

/// Of one context.
#[derive(Default)]
pub(crate) struct Heard {
    reason: RefCell<Option<String>>,
    reply: RefCell<Option<Vec<u8>>>,
    status: Cell<Option<u32>>,
    time: Cell<Option<UnixTime>>,
}

impl Heard {
    /// Why the PKINIT module last failed, in its own words.
    pub(crate) fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// The last AS-REP.
    pub(crate) fn reply(&self) -> Option<Vec<u8>> {
        self.reply.borrow().clone()
    }

    /// The NTSTATUS of the last refusal, where a domain controller gave one.
    pub(crate) fn status(&self) -> Option<u32> {
        self.status.get()
    }

    /// When the last refusal was sent, by the sender's clock.
    pub(crate) fn time(&self) -> Option<UnixTime> {
        self.time.get()
    }

    /// Before a new attempt.
    pub(crate) fn forget(&self) {
        self.status.set(None);
        self.time.set(None);
        self.reason.replace(None);
        self.reply.replace(None);
    }

    /// One line of the trace. It has the module's own error, which the call's result no longer has;
    /// nothing else of it is kept.
    fn traced(&self, line: &str) {
        let told = line
            .split_once("Preauth module pkinit ")
            .and_then(|(_, told)| told.split_once("(real) returned: "));
        let Some((_, told)) = told else { return };
        if told.starts_with("0/") {
            return;
        }
        if let Ok(mut reason) = self.reason.try_borrow_mut() {
            *reason = Some(told.trim_end().to_owned());
        }
    }

    /// One answer of a KDC.
    fn answered(&self, bytes: &[u8]) {
        if let Some(status) = refusal::status(bytes) {
            self.status.set(Some(status));
        }
        if let Some(time) = refusal::time(bytes) {
            self.time.set(Some(time));
        }
        if bytes.first() == Some(&AS_REP)
            && let Ok(mut reply) = self.reply.try_borrow_mut()
        {
            *reply = Some(bytes.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_of_the_module_and_an_as_rep_are_kept() {
        let heard = Heard::default();
        heard.traced("[1] 2: Preauth module pkinit (16) (real) returned: 0/Success\n");
        heard.traced("[1] 2: Sending request");
        heard.answered(&[0x7e, 0x00]);
        heard.answered(&[]);
        assert_eq!((heard.reason(), heard.reply()), (None, None));
        heard.traced("[1] 2: Preauth module pkinit (17) (real) returned: -1/No match\n");
        heard.answered(&[AS_REP, 0x00]);
        assert_eq!(heard.reason().as_deref(), Some("-1/No match"));
        assert_eq!(heard.reply(), Some(vec![AS_REP, 0x00]));
        heard.forget();
        assert_eq!((heard.reason(), heard.reply()), (None, None));
    }
}
