//! PIN rules.

/// What a new PIN must be. The default is what holds where no policy says anything: digits only,
/// 6 to 127 of them, and not one of the hundred that everybody tries first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PinRules {
    /// Fewest characters.
    pub min_length: usize,
    /// Most characters.
    pub max_length: usize,
    /// The letters A to Z.
    pub uppercase: Characters,
    /// The letters a to z.
    pub lowercase: Characters,
    /// The punctuation of ASCII, without the blank.
    pub special: Characters,
    /// The digits 0 to 9.
    pub digits: Characters,
    /// How many PINs, the current one included, may not be chosen again.
    pub history: usize,
}

/// What the rules say about a class of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Characters {
    /// The PIN may have them.
    #[default]
    Allowed,
    /// The PIN must have one of them.
    Required,
    /// The PIN must have none of them.
    Forbidden,
}

impl PinRules {
    /// The least that any policy may ask for.
    pub const SHORTEST: usize = 4;
    /// The most that any policy may allow.
    pub const LONGEST: usize = 127;
}

impl Default for PinRules {
    fn default() -> Self {
        Self {
            min_length: 6,
            max_length: Self::LONGEST,
            uppercase: Characters::Forbidden,
            lowercase: Characters::Forbidden,
            special: Characters::Forbidden,
            digits: Characters::Required,
            history: 0,
        }
    }
}

/// A class of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A to Z.
    Uppercase,
    /// a to z.
    Lowercase,
    /// Punctuation.
    Special,
    /// 0 to 9.
    Digits,
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
    /// Something else than the digits 0 to 9, where nothing else may be.
    NotDigits,
    /// A character that is in none of the four classes, such as a blank or a letter with an accent.
    NotAscii,
    /// A character of a class that must not be there.
    Forbidden(Class),
    /// No character of a class that must be there.
    Missing(Class),
    /// Each digit is the same step away from the one before it, as in 111111 or 123456.
    ConstantStep,
    /// One of the PINs that the history remembers.
    UsedBefore {
        /// How many it remembers.
        history: usize,
    },
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Uppercase => "an uppercase letter (A to Z)",
            Self::Lowercase => "a lowercase letter (a to z)",
            Self::Special => "a special character (such as ! or #)",
            Self::Digits => "a digit (0 to 9)",
        })
    }
}

impl std::fmt::Display for PinRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { min } => write!(f, "The PIN must have at least {min} characters."),
            Self::TooLong { max } => write!(f, "The PIN must have at most {max} characters."),
            Self::NotDigits => f.write_str("The PIN must consist of the digits 0 to 9."),
            Self::NotAscii => f.write_str(
                "The PIN must consist of the letters a to z, digits and punctuation, without \
                 accents and blanks.",
            ),
            Self::Forbidden(class) => write!(f, "The PIN must not have {class}."),
            Self::Missing(class) => write!(f, "The PIN must have {class}."),
            Self::ConstantStep => f.write_str(
                "The PIN must not be one digit repeated or count in equal steps, \
                 such as 111111 or 123456.",
            ),
            Self::UsedBefore { history: 1 } => f.write_str("The PIN must not be the current one."),
            Self::UsedBefore { history } => write!(
                f,
                "The PIN must not be one of the last {history}, the current one included."
            ),
        }
    }
}

impl PinRules {
    /// Does `pin` keep the rules, leaving aside what was used before? The first one broken is
    /// reported.
    pub fn check(&self, pin: &str) -> Result<(), PinRefusal> {
        if self.is_digits_only() && !pin.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PinRefusal::NotDigits);
        }
        if !pin.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(PinRefusal::NotAscii);
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
        for (class, rule) in self.classes() {
            let present = pin.bytes().any(|byte| class.has(byte));
            match rule {
                Characters::Required if !present => return Err(PinRefusal::Missing(class)),
                Characters::Forbidden if present => return Err(PinRefusal::Forbidden(class)),
                _ => {}
            }
        }
        // Only a PIN of nothing but digits can count.
        if pin.bytes().all(|b| b.is_ascii_digit()) && has_constant_step(pin.as_bytes()) {
            return Err(PinRefusal::ConstantStep);
        }
        Ok(())
    }

    /// Does `pin` keep the rules, and is it none of the last ones? Only the caller can tell what was
    /// used: `used` is asked whether `pin` is one of the last `history` PINs, and only where that is
    /// a question.
    pub fn check_new(
        &self,
        pin: &str,
        used: &mut dyn FnMut(&str, usize) -> bool,
    ) -> Result<(), PinRefusal> {
        self.check(pin)?;
        if self.history > 0 && used(pin, self.history) {
            return Err(PinRefusal::UsedBefore {
                history: self.history,
            });
        }
        Ok(())
    }

    /// The rules for display, one sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let (min, max) = (self.min_length, self.max_length);
        let mut sentences = Vec::new();
        if self.is_digits_only() {
            sentences.push(format!("{min} to {max} digits, nothing else."));
        } else {
            sentences.push(format!("{min} to {max} characters."));
            sentences.extend(
                self.classes()
                    .into_iter()
                    .filter_map(|(class, rule)| match rule {
                        Characters::Required => Some(format!("At least {class}.")),
                        Characters::Forbidden => Some(format!("Not {class}.")),
                        Characters::Allowed => None,
                    }),
            );
        }
        if self.digits != Characters::Forbidden {
            sentences.push(
                "Not one digit repeated, and not digits in equal steps (123456, 975319)."
                    .to_owned(),
            );
        }
        match self.history {
            0 => {}
            1 => sentences.push("Not the current PIN.".to_owned()),
            n => sentences.push(format!("None of your last {n} PINs.")),
        }
        sentences
    }

    fn is_digits_only(&self) -> bool {
        self.digits != Characters::Forbidden
            && [self.uppercase, self.lowercase, self.special] == [Characters::Forbidden; 3]
    }

    fn classes(&self) -> [(Class, Characters); 4] {
        [
            (Class::Uppercase, self.uppercase),
            (Class::Lowercase, self.lowercase),
            (Class::Special, self.special),
            (Class::Digits, self.digits),
        ]
    }
}

impl Class {
    fn has(self, byte: u8) -> bool {
        match self {
            Self::Uppercase => byte.is_ascii_uppercase(),
            Self::Lowercase => byte.is_ascii_lowercase(),
            Self::Special => byte.is_ascii_punctuation(),
            Self::Digits => byte.is_ascii_digit(),
        }
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
