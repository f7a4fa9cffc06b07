use super::{Row, columns, quantile};

#[test]
fn quantiles_are_samples_of_the_nearest_rank() {
    let samples = [5.0, 1.0, 4.0, 2.0, 3.0];
    for (share, value) in [(0.0, 1.0), (0.5, 3.0), (0.6, 3.0), (0.61, 4.0), (0.99, 5.0)] {
        assert!(
            (quantile(&samples, share).unwrap() - value).abs() < 1e-9,
            "{share}"
        );
    }
    assert!(quantile(&[], 0.5).is_err());
}

#[test]
fn the_warm_up_is_left_out_and_microseconds_become_milliseconds() {
    let text = "9 9 {}\n9 9 {}\n9 9 {}\n1000 2500 {\"a\": 1}\n3000 4000 {}\n";
    let [ours, reference] = columns(text).unwrap();
    assert_eq!((ours, reference), (vec![1.0, 3.0], vec![2.5, 4.0]));
    assert!(columns::<2>("1 1\n1 1\n1 1\n1\n").is_err());
}

#[test]
fn a_budget_is_met_up_to_its_target() {
    let met = |ours| Row::time("a", ours, 100.0, 0.75, String::new()).met;
    assert_eq!([74.0, 75.0, 76.0].map(met), [true, true, false]);
    let met = |ours| Row::rate("a", ours, 100.0, 0.6, String::new()).met;
    assert_eq!([61.0, 60.0, 59.0].map(met), [true, true, false]);
}
