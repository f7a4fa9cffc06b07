use super::{
    super::tests::{NOW, change, start},
    *,
};
use crate::testing::{Parts, alice};

/// How many values the removal of a key takes out where these are.
fn removal(values: &[&KeyCredential], is_blind: bool) -> Result<usize, Failure> {
    let parts = Parts::new("removal", "");
    let mut keys = start(&parts);
    let values = values.iter().map(|value| KeyValue {
        blob: value.encode(),
    });
    let holder = KeyHolder {
        user: alice(),
        values: values.collect(),
    };
    let sight = Sight {
        key: public(),
        holder: Some(holder),
        proof: Proof::Absent,
        signed: Err(Refusal::new("bad_device_signature", "")),
        is_blind,
    };
    let step = keys.decide_removal(&change(1, ChangeOp::Remove, 1), &sight, "dc")?;
    Ok(match step {
        Step::Remove(_, values) => values.len(),
        Step::Done(_) | Step::Add(..) => 0,
    })
}

fn public() -> RsaPublicKey {
    RsaPublicKey::from_components(&[0xc1; 256], &[1, 0, 1]).unwrap()
}

#[test]
fn a_removal_takes_out_only_what_the_agent_writes() {
    let device = Guid::from_le_bytes([9; 16]);
    let time = Filetime::from(NOW);
    let ours = KeyCredential::for_user(&public(), device, time, time);
    let others = KeyCredential::for_user(&public(), alice().guid, time, time);
    let reordered = KeyCredential::from_entries(ours.entries().iter().rev().cloned().collect());
    assert_eq!(removal(&[&others, &ours, &ours], false).ok(), Some(2));
    assert_eq!(removal(&[&others], false).ok(), Some(0));
    let refused = removal(&[&reordered], false).err();
    let Some(Failure::Refused(refusal)) = refused else {
        panic!("a foreign value counts as gone");
    };
    assert_eq!(refusal.code, "foreign_value");
}

#[test]
fn a_key_that_may_not_be_seen_is_not_known_to_be_gone() {
    assert!(matches!(removal(&[], true), Err(Failure::Later(_))));
    assert_eq!(removal(&[], false).ok(), Some(0));
}
