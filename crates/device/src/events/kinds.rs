//! Which events there are: the original's numbers and levels, and what they mean here.

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    /// As syslog numbers it.
    pub(crate) fn priority(self) -> u8 {
        match self {
            Self::Info => 6,
            Self::Warning => 4,
            Self::Error => 3,
        }
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $number:literal $level:ident $text:literal),* $(,)?) => {
        /// An event's kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Id { $($(#[$doc])* $name),* }

        impl Id {
            /// Every one of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            pub(crate) fn number(self) -> u16 {
                match self { $(Self::$name => $number),* }
            }

            pub(crate) fn level(self) -> Level {
                match self { $(Self::$name => Level::$level),* }
            }

            pub(crate) fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

events! {
    /// Fields: KeyID, UPN, Attestation, Kid.
    KeyRegistered = 300 Info "The server took the person's key.",
    /// Fields: KeyID, UPN, ErrorCode, Message.
    KeyNotRegistered = 301 Error "The server did not take the person's key.",
    /// Fields: KeyID, UPN.
    RegistrationSent = 302 Info "A key was sent to the server.",
    /// Fields: ErrorCode, Message.
    JoinFailed = 304 Error "The machine could not join: the server did not take it.",
    /// Fields: ErrorCode, Message.
    JoinNotProven = 305 Error "The machine could not join: it could not prove which computer it is.",
    /// Fields: Server, DeviceId, Thumbprint.
    Joined = 306 Info "The machine joined a server.",
    /// Fields: ErrorCode, Message.
    NoServicePoint = 307 Error "The machine could not join: the directory names no server.",
    /// Fields: ErrorCode, Message.
    NotDiscovered = 309 Error "The machine could not join: the server did not say what it offers.",
    /// Fields: KeyID, UPN.
    KeyRemovedFromServer = 346 Info "The person's key was deleted at the server, hence in the directory.",
    /// Fields: KeyID, UPN, ErrorCode, Message.
    KeyNotRemovedFromServer = 347 Error "The person's key could not be deleted at the server.",
    /// Fields: KeyID, UPN, KeyStorage.
    KeySaved = 350 Info "A key was made for the person, and what it needs was saved.",
    /// Fields: KeyID, UPN, KeyStorage, ErrorCode, Message.
    KeyNotSaved = 351 Error "What the person's key needs could not be saved.",
    /// Fields: KeyID, UPN.
    KeyDeleted = 352 Info "The person's key was removed from this machine.",
    /// Fields: KeyID, UPN, ErrorCode, Message.
    KeyNotDeleted = 353 Error "The person's key could not be removed from this machine.",
    /// Fields as the prerequisites have them.
    WillProvision = 358 Info "An enrollment will be launched.",
    /// Fields: ErrorCode, Message.
    PolicyNotEvaluated = 359 Error "The policies could not be evaluated.",
    /// Fields as the prerequisites have them.
    WillNotProvision = 360 Warning "No enrollment will be launched.",
    /// Fields as the prerequisites have them.
    WaitsForCertificate = 362 Warning "No enrollment will be launched: a policy wants certificates.",
    /// Fields: KeyID, UPN.
    KeyMissing = 363 Error "The TPM does not have the person's key any more: enroll again.",
    /// Fields: Server, DeviceId.
    Left = 370 Info "The machine left its server.",
    /// Fields: Server, DeviceId, ErrorCode, Message.
    NotLeft = 371 Error "The machine could not leave its server.",
    /// Fields: KeyID, UPN.
    PinRecovered = 383 Info "A PIN that was forgotten was replaced; the key is the same.",
    /// Fields: KeyID, UPN, ErrorCode, Message.
    PinNotRecovered = 384 Error "A PIN that was forgotten could not be replaced.",
    /// Fields: KeyID, UPN.
    DeletedByPolicy = 3601 Warning "The person's credential was removed because policy does not allow it any more.",
    /// Fields: KeyID, UPN.
    PinChanged = 3901 Info "The PIN was changed by whoever knew it.",
    /// Fields: KeyStorage, Manufacturer, Firmware, Ready.
    TpmFound = 5000 Info "The TPM was looked at.",
    /// Fields: By, WasLocked.
    TpmUnlocked = 5001 Info "The TPM's count of failures was set back.",
    /// Fields: By, ErrorCode, Message.
    TpmNotUnlocked = 5002 Error "The TPM's count of failures could not be set back.",
    /// Fields: Server.
    LockoutValueLeft = 5003 Info "The TPM's lockout value was left with the server.",
    /// Fields: KeyID, UPN, Before, Principal.
    Renamed = 5004 Info "The person has another name in the domain now.",
    /// Fields: Server, DeviceId, Deleted.
    DeviceDeleted = 5005 Warning "The machine was deleted at its server: every PIN on it is gone.",
    /// Fields: DeploymentType, ErrorCode, Message.
    SignInFailed = 7001 Error "A sign-in with the PIN failed.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_for_one_event() {
        let mut numbers: Vec<u16> = Id::ALL.iter().map(|id| id.number()).collect();
        let sorted = numbers.is_sorted();
        numbers.dedup();
        assert!(sorted && numbers.len() == Id::ALL.len());
    }

    #[test]
    fn the_reference_lists_every_event() {
        let page = include_str!("../../../../docs/reference/events.md");
        for id in Id::ALL {
            let (number, level, text) = (id.number(), id.level().word(), id.text());
            let row = format!("| {number} | {level} | {text} |");
            assert!(page.contains(&row), "{row}");
        }
    }
}
