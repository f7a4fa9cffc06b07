//! What the merged settings come to: who is offered a PIN, which PIN, which key.

use super::{Effective, Resolved};
use crate::pin::{Characters, PinRules};
use crate::settings::{Effect, Value};

/// What is to happen about enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// It is offered when a session begins.
    Offer {
        /// Who wants it so.
        why: String,
    },
    /// It is not offered, but somebody who asks for it gets it.
    ByHand {
        /// Why it is not offered.
        why: String,
    },
    /// There is none.
    Refuse {
        /// Why.
        why: String,
    },
    /// There is none, because a certificate is asked for that nobody here can give.
    Certificate {
        /// Who asks.
        why: String,
    },
    /// There is none, because it is a server's to decide and what it wants is not known.
    Unknown {
        /// Why not.
        why: String,
    },
}

/// What is done about the proof that a key lives in a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attestation {
    /// It is left out.
    Off,
    /// It is sent where there is one.
    Prefer,
    /// Without it there is no key.
    Require,
}

impl Provision {
    /// The number of the event that says so in the log of prerequisites.
    pub fn event(&self) -> u16 {
        match self {
            Self::Offer { .. } => 358,
            Self::ByHand { .. } | Self::Refuse { .. } | Self::Unknown { .. } => 360,
            Self::Certificate { .. } => 362,
        }
    }

    /// Is enrollment offered when a session begins?
    pub fn is_offered(&self) -> bool {
        matches!(self, Self::Offer { .. })
    }

    /// May somebody who asks for it enroll?
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Offer { .. } | Self::ByHand { .. })
    }

    /// The reason, as a sentence.
    pub fn why(&self) -> &str {
        match self {
            Self::Offer { why }
            | Self::ByHand { why }
            | Self::Refuse { why }
            | Self::Certificate { why }
            | Self::Unknown { why } => why,
        }
    }
}

impl Effective {
    /// What is to happen about enrollment.
    pub fn provision(&self) -> Provision {
        let by = |id| self.winner_name(id);
        let decider = self.decider();
        let decided_by = by(decider);
        if self.is_on(decider) == Some(false) {
            let why = format!("{decided_by} turns Windows Hello for Business off.");
            return Provision::Refuse { why };
        }
        if self.certificate_trust() {
            let why = format!(
                "{} asks for a certificate for each key (certificate-trust), which Latchkey does \
                 not do.",
                by("certificate-trust")
            );
            return Provision::Certificate { why };
        }
        if let (None, Some(reason)) = (self.governed_by(), &self.server_unknown) {
            let why = format!(
                "No group policy turns Windows Hello for Business on or off, and what the server \
                 wants is not known: {reason}"
            );
            return Provision::Unknown { why };
        }
        if self.is_on(decider).is_none() {
            let why = "No policy turns Windows Hello for Business on.".to_owned();
            return Provision::ByHand { why };
        }
        if !self.post_logon_enabled() {
            let why = format!(
                "{} keeps enrollment from starting after sign-in.",
                by("no-provisioning-after-sign-in")
            );
            return Provision::ByHand { why };
        }
        let why = format!("{decided_by} turns Windows Hello for Business on.");
        Provision::Offer { why }
    }

    /// May the PIN be used to sign in? Only where policy turns it off may it not, and the key is to
    /// be removed then.
    pub fn pin_sign_in_allowed(&self) -> bool {
        self.is_on(self.decider()) != Some(false)
    }

    /// Does a policy turn it on?
    pub fn policy_enabled(&self) -> bool {
        self.is_on(self.decider()) == Some(true)
    }

    /// May enrollment start by itself after sign-in?
    pub fn post_logon_enabled(&self) -> bool {
        self.is_on("no-provisioning-after-sign-in") != Some(true)
    }

    /// Is a certificate asked for each key?
    pub fn certificate_trust(&self) -> bool {
        self.is_on("certificate-trust") == Some(true)
    }

    /// Are tickets to come through the cloud?
    pub fn cloud_trust(&self) -> bool {
        self.is_on("cloud-trust") == Some(true)
    }

    /// Must keys live in a TPM?
    pub fn requires_hardware(&self) -> bool {
        self.is_on("require-security-device") == Some(true)
    }

    /// May biometrics be offered?
    pub fn biometrics(&self) -> bool {
        self.is_on("use-biometrics") != Some(false)
    }

    /// Are new keys made so that their PIN can be recovered?
    pub fn pin_recovery(&self) -> bool {
        self.is_on("pin-recovery") == Some(true)
    }

    /// After how many days a PIN has to be changed, if ever.
    pub fn pin_expiration_days(&self) -> Option<u32> {
        self.number("pin-expiration").filter(|days| *days > 0)
    }

    /// Is the PIN taken from those who come over the network?
    pub fn pin_in_remote_sessions(&self) -> bool {
        self.is_on("pin-in-remote-sessions") == Some(true)
    }

    /// What is done about attestation.
    pub fn attestation(&self) -> Attestation {
        match self.number("attestation") {
            Some(0) => Attestation::Off,
            Some(2) => Attestation::Require,
            _ => Attestation::Prefer,
        }
    }

    /// Must a domain controller's certificate be made for KDCs?
    pub fn requires_kdc_eku(&self) -> bool {
        self.is_on("require-kdc-eku") != Some(false)
    }

    /// May the PIN be kept while a session is unlocked?
    pub fn keeps_pin(&self) -> bool {
        self.is_on("keep-pin") != Some(false)
    }

    /// How many days the PIN opens a session without a domain controller.
    pub fn offline_days(&self) -> u32 {
        self.number("offline-days").unwrap_or(30)
    }

    /// What a new PIN must be.
    pub fn pin_rules(&self) -> PinRules {
        self.judged_pin_rules().0
    }

    /// The rules, and what had to be set right to get them.
    fn judged_pin_rules(&self) -> (PinRules, Vec<String>) {
        let mut notes = Vec::new();
        let default = PinRules::default();
        let length = |id| {
            let length = self.number(id).and_then(|n| usize::try_from(n).ok());
            length.filter(|n| (PinRules::SHORTEST..=PinRules::LONGEST).contains(n))
        };
        let mut rules = PinRules {
            min_length: length("min-pin-length").unwrap_or(default.min_length),
            max_length: length("max-pin-length").unwrap_or(default.max_length),
            uppercase: self.characters("uppercase-letters"),
            lowercase: self.characters("lowercase-letters"),
            special: self.characters("special-characters"),
            digits: self.characters("digits"),
            history: self
                .number("pin-history")
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0),
        };
        if rules.min_length >= rules.max_length {
            notes.push(format!(
                "A PIN of at least {} and at most {} characters makes no sense: the minimum must \
                 be below the maximum. Both are as if unset, {} and {}.",
                rules.min_length, rules.max_length, default.min_length, default.max_length
            ));
            (rules.min_length, rules.max_length) = (default.min_length, default.max_length);
        }
        let classes = [
            rules.uppercase,
            rules.lowercase,
            rules.special,
            rules.digits,
        ];
        let all_forbidden = classes.iter().all(|c| *c == Characters::Forbidden);
        let required = classes
            .iter()
            .filter(|c| **c == Characters::Required)
            .count();
        if all_forbidden {
            notes.push(
                "Every class of characters is forbidden in a PIN, so that there could be none. \
                 PINs are digits only, as if the classes were unset."
                    .to_owned(),
            );
        }
        // Nothing required means digits only, unless it is digits that are forbidden.
        if all_forbidden || (required == 0 && rules.digits != Characters::Forbidden) {
            rules.uppercase = default.uppercase;
            rules.lowercase = default.lowercase;
            rules.special = default.special;
            rules.digits = default.digits;
        }
        (rules, notes)
    }

    fn characters(&self, id: &str) -> Characters {
        match self.number(id) {
            Some(1) => Characters::Required,
            Some(2) => Characters::Forbidden,
            _ => Characters::Allowed,
        }
    }

    /// The setting that decides whether there is a PIN at all.
    fn decider(&self) -> &'static str {
        if self.is_on("enable-on-linux").is_some() {
            "enable-on-linux"
        } else {
            "use-hello"
        }
    }

    fn is_on(&self, id: &str) -> Option<bool> {
        self.number(id).map(|number| number == 1)
    }

    fn number(&self, id: &str) -> Option<u32> {
        match &self.resolved(id)?.winner {
            Some((Value::Number(number), _)) => Some(*number),
            _ => None,
        }
    }

    fn winner_name(&self, id: &str) -> String {
        let winner = self
            .resolved(id)
            .and_then(|resolved| resolved.winner.as_ref());
        winner.map_or_else(|| "Nobody".to_owned(), |(_, source)| source.to_string())
    }
}

/// Says what an administrator should know without asking.
pub(super) fn note(effective: &mut Effective) {
    let (_, mut notes) = effective.judged_pin_rules();
    if effective.certificate_trust() {
        notes.push(format!(
            "{} asks for a certificate for each key. Latchkey does key trust only, so nobody \
             enrolls.",
            effective.winner_name("certificate-trust")
        ));
    }
    if effective.cloud_trust() {
        notes.push(format!(
            "{} asks for cloud trust. Latchkey stays with key trust: keys go through the directory.",
            effective.winner_name("cloud-trust")
        ));
    }
    let replaced = effective.decider() == "enable-on-linux";
    effective.notes.append(&mut notes);
    for resolved in &mut effective.resolved {
        if replaced && resolved.setting.id == "use-hello" {
            resolved
                .notes
                .push("enable-on-linux stands in its place on Linux.".to_owned());
        }
        let remark = remark(resolved).map(str::to_owned);
        resolved.notes.extend(remark);
    }
}

fn remark(resolved: &Resolved) -> Option<&'static str> {
    let (value, _) = resolved.winner.as_ref()?;
    match resolved.setting.effect {
        Effect::NotOnLinux => Some("It has no counterpart on Linux and does nothing."),
        Effect::Refused if *value == Value::Number(1) => {
            Some("Latchkey refuses it: nothing is enrolled under it.")
        }
        Effect::Acts if resolved.setting.pending => {
            Some("This version of Latchkey does not act on it.")
        }
        Effect::Acts | Effect::Refused => None,
    }
}
