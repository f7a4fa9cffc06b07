use anyhow::bail;

use super::*;

#[test]
fn steps_are_numbered_from_one_and_kept_in_order() {
    let mut teller = Teller::new(|_| {});
    teller.step("first", || Ok(((), "a".to_owned()))).unwrap();
    let value = teller.step("second", || Ok((7, "b".to_owned()))).unwrap();
    assert_eq!(value, 7);
    let told: Vec<_> = teller
        .told()
        .steps
        .iter()
        .map(|step| (step.number, step.name))
        .collect();
    assert_eq!(told, [(1, "first"), (2, "second")]);
}

#[test]
fn a_step_that_fails_is_named_and_not_told() {
    let mut teller = Teller::new(|_| {});
    let fault = teller
        .step("ticket", || -> Result<((), String)> { bail!("no KDC") })
        .unwrap_err();
    assert_eq!(format!("{fault:#}"), "step 1, ticket: no KDC");
    assert!(teller.told().steps.is_empty());
}
