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
