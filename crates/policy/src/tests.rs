use super::*;

#[test]
fn each_broken_rule_has_its_own_refusal() {
    let rules = PinRules::default();
    let long = "12".repeat(64);
    for (pin, refusal) in [
        ("", PinRefusal::TooShort { min: 6 }),
        ("48151", PinRefusal::TooShort { min: 6 }),
        (&long, PinRefusal::TooLong { max: 127 }),
        ("48151x", PinRefusal::NotDigits),
        ("４８１５１６", PinRefusal::NotDigits),
        ("48151 6", PinRefusal::NotDigits),
        ("777777", PinRefusal::ConstantStep),
        ("123456", PinRefusal::ConstantStep),
        ("987654", PinRefusal::ConstantStep),
        ("703692", PinRefusal::ConstantStep),
        ("890123", PinRefusal::ConstantStep),
    ] {
        assert_eq!(rules.check(pin), Err(refusal), "{pin}");
    }
}

#[test]
fn ordinary_pins_pass() {
    let longest = format!("4{}", "12".repeat(63));
    for pin in ["481516", "123455", "112233", "000001", &longest] {
        assert_eq!(PinRules::default().check(pin), Ok(()), "{pin}");
    }
}

#[test]
fn exactly_a_hundred_six_digit_pins_count_in_equal_steps() {
    let refused = (0..1_000_000)
        .filter(|n| PinRules::default().check(&format!("{n:06}")).is_err())
        .count();
    assert_eq!(refused, 100);
}

#[test]
fn no_refusal_and_no_rule_is_without_words() {
    for refusal in [
        PinRefusal::TooShort { min: 6 },
        PinRefusal::TooLong { max: 127 },
        PinRefusal::NotDigits,
        PinRefusal::ConstantStep,
    ] {
        assert!(refusal.to_string().ends_with('.'), "{refusal}");
    }
    assert!(PinRules::default().sentences()[0].contains("6 to 127"));
}

fn rules(text: &str) -> PinRules {
    let class = |at: usize| match text.as_bytes()[at] {
        b'r' => Characters::Required,
        b'f' => Characters::Forbidden,
        _ => Characters::Allowed,
    };
    PinRules {
        min_length: 4,
        max_length: 8,
        uppercase: class(0),
        lowercase: class(1),
        special: class(2),
        digits: class(3),
        history: 0,
    }
}

/// The four letters stand for uppercase, lowercase, special, digits: r, f or a.
#[test]
fn each_class_of_characters_is_required_allowed_or_forbidden() {
    use PinRefusal::{Forbidden, Missing, NotAscii, NotDigits};
    for (text, pin, verdict) in [
        ("rrrr", "aB3#", Ok(())),
        ("rrrr", "aB3x", Err(Missing(PinClass::Special))),
        ("rrrr", "ab3#", Err(Missing(PinClass::Uppercase))),
        ("rrrr", "AB3#", Err(Missing(PinClass::Lowercase))),
        ("rrrr", "aBc#", Err(Missing(PinClass::Digits))),
        ("faar", "aB3#", Err(Forbidden(PinClass::Uppercase))),
        ("faar", "a33#", Ok(())),
        ("faar", "4815", Ok(())),
        ("raaf", "Abcd", Ok(())),
        ("raaf", "Abc1", Err(Forbidden(PinClass::Digits))),
        ("aaaa", "ab d", Err(NotAscii)),
        ("aaaa", "äbcd", Err(NotAscii)),
        ("aaaa", "`{|}~!\"", Ok(())),
        ("fffa", "481x", Err(NotDigits)),
        ("fffa", "4815", Ok(())),
        ("fffr", "4815", Ok(())),
        ("aaar", "1234", Err(PinRefusal::ConstantStep)),
        ("aaar", "123a", Ok(())),
        ("rafa", "AAAA", Ok(())),
        ("aaar", "a23", Err(PinRefusal::TooShort { min: 4 })),
        ("aaar", "a23456789", Err(PinRefusal::TooLong { max: 8 })),
    ] {
        assert_eq!(rules(text).check(pin), verdict, "{text} {pin}");
    }
}

#[test]
fn the_hundred_simple_pins_are_those_of_windows() {
    for (pin, refused) in [
        ("1111", true),
        ("1234", true),
        ("1357", true),
        ("7036", true),
        ("1593", true),
        ("9630", true),
        ("1231", false),
        ("1872", false),
    ] {
        assert_eq!(rules("fffr").check(pin).is_err(), refused, "{pin}");
    }
}

#[test]
fn the_history_is_asked_only_where_there_is_one_and_only_about_good_pins() {
    let mut asked = Vec::new();
    let mut used = |pin: &str, history: usize| {
        asked.push((pin.to_owned(), history));
        pin == "481516"
    };
    let mut rules = PinRules::default();
    assert_eq!(rules.check_new("481516", &mut used), Ok(()));
    rules.history = 5;
    assert_eq!(
        rules.check_new("481516", &mut used),
        Err(PinRefusal::UsedBefore { history: 5 })
    );
    assert_eq!(rules.check_new("162342", &mut used), Ok(()));
    assert_eq!(
        rules.check_new("111111", &mut used),
        Err(PinRefusal::ConstantStep)
    );
    assert_eq!(asked, [("481516".to_owned(), 5), ("162342".to_owned(), 5)]);
}

#[test]
fn rules_are_told_in_sentences_and_never_tell_the_pin() {
    let mut strict = rules("rfar");
    strict.history = 3;
    assert_eq!(
        strict.sentences(),
        [
            "4 to 8 characters.",
            "At least an uppercase letter (A to Z).",
            "Not a lowercase letter (a to z).",
            "At least a digit (0 to 9).",
            "Not one digit repeated, and not digits in equal steps (123456, 975319).",
            "None of your last 3 PINs.",
        ]
    );
    for refusal in [
        PinRefusal::NotAscii,
        PinRefusal::Forbidden(PinClass::Special),
        PinRefusal::Missing(PinClass::Digits),
        PinRefusal::UsedBefore { history: 1 },
        PinRefusal::UsedBefore { history: 5 },
    ] {
        assert!(refusal.to_string().ends_with('.'), "{refusal}");
    }
}
