//! PIN rules.

/// What a new PIN must be. The default is what holds where no policy says anything: digits only,
/// 6 to 127 of them, and not one of the hundred that everybody tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinRules {
    /// Fewest characters.
    pub min_length: usize,
    /// Most characters.
    pub max_length: usize,
}

impl Default for PinRules {
    fn default() -> Self {
        Self {
            min_length: 6,
            max_length: 127,
        }
    }
}

/// Why a PIN is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRefusal {
    /// Fewer characters than the rules ask for.
    TooShort {
        /// The fewest.
        min: usize,
    },
    /// More characters than the rules allow.
    TooLong {
        /// The most.
        max: usize,
    },
    /// Something else than the digits 0 to 9.
    NotDigits,
    /// Each digit is the same step away from the one before it, as in 111111 or 123456.
    ConstantStep,
}

impl std::fmt::Display for PinRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { min } => write!(f, "The PIN must have at least {min} digits."),
            Self::TooLong { max } => write!(f, "The PIN must have at most {max} digits."),
            Self::NotDigits => f.write_str("The PIN must consist of the digits 0 to 9."),
            Self::ConstantStep => f.write_str(
                "The PIN must not be one digit repeated or count in equal steps, \
                 such as 111111 or 123456.",
            ),
        }
    }
}

impl PinRules {
    /// Does `pin` keep the rules? The first one broken is reported.
    pub fn check(&self, pin: &str) -> Result<(), PinRefusal> {
        if !pin.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PinRefusal::NotDigits);
        }
        if pin.len() < self.min_length {
            return Err(PinRefusal::TooShort {
                min: self.min_length,
            });
        }
        if pin.len() > self.max_length {
            return Err(PinRefusal::TooLong {
                max: self.max_length,
            });
        }
        if has_constant_step(pin.as_bytes()) {
            return Err(PinRefusal::ConstantStep);
        }
        Ok(())
    }

    /// The rules for display, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        vec![
            format!(
                "{} to {} digits, nothing else.",
                self.min_length, self.max_length
            ),
            "Not one digit repeated, and not digits in equal steps (123456, 975319).".to_owned(),
        ]
    }
}

/// Is the step from digit to digit the same all through, counted modulo 10?
fn has_constant_step(digits: &[u8]) -> bool {
    let mut steps = digits
        .iter()
        .zip(digits.iter().skip(1))
        .map(|(a, b)| (10 + b - a) % 10);
    let first = steps.next();
    steps.all(|step| Some(step) == first)
}
