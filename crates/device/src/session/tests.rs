use policy::{
    gpo::{Data, Registry},
    merge::{Sources, merge},
};

use super::*;

const HELLO: &str = r"SOFTWARE\Policies\Microsoft\PassportForWork";

type Case<'a> = (Facts, &'a [(&'a str, u32)], u16);

const FIT: Facts = Facts {
    joined: true,
    known: true,
    usable: true,
    locked_for_s: None,
    hardware: true,
    remote: false,
    has_credential: false,
    is_whole: false,
};

fn effective(values: &[(&str, u32)]) -> Option<Effective> {
    let values = values
        .iter()
        .map(|(name, number)| (HELLO, *name, Data::Dword(*number)));
    let computer = Registry::from_values("a policy", values);
    Some(merge(&Sources::gpo(&computer, None)))
}

#[test]
fn an_enrollment_is_offered_where_every_prerequisite_is_met_and_nowhere_else() {
    let on = &[("Enabled", 1)][..];
    let cases: [Case<'_>; 12] = [
        (FIT, on, 358),
        (FIT, &[], 360),
        (FIT, &[("Enabled", 0)], 360),
        (
            FIT,
            &[("Enabled", 1), ("DisablePostLogonProvisioning", 1)],
            360,
        ),
        (
            FIT,
            &[("Enabled", 1), ("UseCertificateForOnPremAuth", 1)],
            362,
        ),
        (
            Facts {
                joined: false,
                ..FIT
            },
            on,
            360,
        ),
        (
            Facts {
                known: false,
                ..FIT
            },
            on,
            360,
        ),
        (
            Facts {
                usable: false,
                ..FIT
            },
            on,
            360,
        ),
        (
            Facts {
                locked_for_s: Some(600),
                ..FIT
            },
            on,
            360,
        ),
        (
            Facts {
                remote: true,
                ..FIT
            },
            on,
            360,
        ),
        (
            Facts {
                has_credential: true,
                is_whole: true,
                ..FIT
            },
            on,
            360,
        ),
        // What a crash left of an enrollment is gone on with.
        (
            Facts {
                has_credential: true,
                ..FIT
            },
            on,
            358,
        ),
    ];
    for (facts, values, event) in cases {
        let judged = judge(facts, effective(values), None);
        assert_eq!(judged.event.number(), event, "{values:?}: {}", judged.why);
        let will = judged.prerequisites.pre_req_result == PreReqResult::WillProvision;
        assert_eq!(will, event == 358, "{values:?}");
    }
}

#[test]
fn where_no_policy_was_read_nothing_is_offered_and_the_reason_is_told() {
    let judged = judge(FIT, None, Some("No domain controller answers.".to_owned()));
    assert_eq!(judged.event.number(), 360);
    assert_eq!(judged.why, "No domain controller answers.");
    assert_eq!(judged.prerequisites.policy_enabled, Answered::No);
}
