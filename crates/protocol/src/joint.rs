//! The joints of one credential's life: the moments at which any part may die.
//!
//! A test stops the chain at each joint, kills each part there, and expects the enrollment to
//! complete or to be cleanly repeated. A new joint without a place in [`Joint::ALL`] does not
//! compile.

/// A moment between two steps of the chain, named for what has just become true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Joint {
    /// Device: the enrollment has begun; nothing is kept yet.
    EnrollStarted,
    /// Server: the second factor is right; no code is answered yet.
    FactorApproved,
    /// Device: the key exists in the TPM and on disk; the server knows nothing.
    KeyMade,
    /// Device: the user's process has made the Kerberos proof.
    ProofMade,
    /// Device: the registration is about to be posted.
    KeyPosting,
    /// Server: the key is committed; the device has no answer yet.
    KeyStored,
    /// Device: the answer is here; it is not on disk yet.
    KeyAcknowledged,
    /// Server: the change is about to be handed to the agent.
    ChangeServed,
    /// Agent: the change is here; nothing is checked.
    ChangeReceived,
    /// Agent: signature, proof and limits hold; AD is untouched.
    ChangeVerified,
    /// Agent: the value is in AD; it is not read back.
    ValueWritten,
    /// Agent: the value is read back; the server does not know.
    ValueConfirmed,
    /// Server: the confirmation is committed; the agent has no answer yet.
    StatusStored,
    /// Device: the confirmation is seen; it is not on disk yet.
    ReadySeen,
}

impl Joint {
    /// Every joint, in the order of the chain.
    pub const ALL: [Self; Self::ReadySeen as usize + 1] = [
        Self::EnrollStarted,
        Self::FactorApproved,
        Self::KeyMade,
        Self::ProofMade,
        Self::KeyPosting,
        Self::KeyStored,
        Self::KeyAcknowledged,
        Self::ChangeServed,
        Self::ChangeReceived,
        Self::ChangeVerified,
        Self::ValueWritten,
        Self::ValueConfirmed,
        Self::StatusStored,
        Self::ReadySeen,
    ];

    /// The name that test points use.
    pub fn name(self) -> &'static str {
        match self {
            Self::EnrollStarted => "enroll-started",
            Self::FactorApproved => "factor-approved",
            Self::KeyMade => "key-made",
            Self::ProofMade => "proof-made",
            Self::KeyPosting => "key-posting",
            Self::KeyStored => "key-stored",
            Self::KeyAcknowledged => "key-acknowledged",
            Self::ChangeServed => "change-served",
            Self::ChangeReceived => "change-received",
            Self::ChangeVerified => "change-verified",
            Self::ValueWritten => "value-written",
            Self::ValueConfirmed => "value-confirmed",
            Self::StatusStored => "status-stored",
            Self::ReadySeen => "ready-seen",
        }
    }
}
