//! Bytes that nobody made: cut short, lengthened, turned over.

use attest::{Certified, Malformed, NvPublic, Public, Signature};

use crate::forge::{Plan, Registration, ak_public};

/// Numbers that look random and are the same in every run (Knuth's 64-bit generator).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

type Reads = fn(&[u8]) -> Result<(), Malformed>;

/// Every structure with its reader.
fn structures() -> Vec<(&'static str, Vec<u8>, Reads)> {
    let public: Reads = |bytes| Public::read(bytes).map(drop);
    let good = Plan::good().certified();
    let rsa = [&[0, 0x14, 0, 0x0B, 1, 0][..], &good.signature].concat();
    let number = [&[0, 32][..], &[9; 32]].concat();
    let ecdsa = [&[0, 0x18, 0, 0x0B][..], &number, &number].concat();
    let signature: Reads = |bytes| Signature::read(bytes).map(drop);
    vec![
        ("a user's key", good.public, public),
        ("an attestation key", ak_public(), public),
        ("K", good.recovery_public, public),
        ("an index", good.nv_public, |b| NvPublic::read(b).map(drop)),
        ("a statement", good.certify, |b| {
            Certified::read(b).map(drop)
        }),
        ("RSASSA", rsa, signature),
        ("ECDSA", ecdsa, signature),
    ]
}

#[test]
fn a_structure_is_read_whole_and_no_part_of_it_is_one() {
    for (what, bytes, read) in structures() {
        read(&bytes).unwrap_or_else(|malformed| panic!("{what}: {malformed}"));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_err(), "{what}: {length} bytes");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(read(&longer).unwrap_err().field, "end", "{what}");
    }
}

#[test]
fn any_bytes_are_read_or_refused_and_nothing_else() {
    let mut dice = Dice(1);
    for (_, bytes, read) in structures() {
        for _ in 0..2000 {
            let mut bytes = bytes.clone();
            for _ in 0..=dice.below(4) {
                let at = dice.below(bytes.len());
                bytes[at] = u8::try_from(dice.below(256)).unwrap();
            }
            // Whatever it says, it says something.
            let _ = read(&bytes);
        }
    }
}

/// The parts of a registration that a device sends, each changed by its number.
fn part(registration: &mut Registration, number: usize) -> &mut Vec<u8> {
    match number {
        0 => &mut registration.public,
        1 => &mut registration.nv_public,
        2 => &mut registration.recovery_public,
        3 => &mut registration.branches,
        4 => &mut registration.certify,
        _ => &mut registration.signature,
    }
}

#[test]
fn a_part_that_was_cut_short_is_never_accepted() {
    let good = Plan::good().certified();
    for number in 0..6 {
        let whole = part(&mut good.clone(), number).len();
        for length in 0..whole {
            let mut cut = good.clone();
            part(&mut cut, number).truncate(length);
            assert!(cut.judged().is_err(), "part {number}: {length} of {whole}");
        }
    }
}

#[test]
fn a_part_with_one_bit_turned_over_is_never_accepted() {
    let good = Plan::good().certified();
    for number in 0..6 {
        let bits = 8 * part(&mut good.clone(), number).len();
        for bit in 0..bits {
            let mut turned = good.clone();
            part(&mut turned, number)[bit / 8] ^= 1 << (bit % 8);
            assert!(turned.judged().is_err(), "part {number}: bit {bit}");
        }
    }
}

#[test]
fn changes_at_random_are_never_accepted_even_where_the_tpm_signs_them() {
    let good = Plan::good().certified();
    let mut dice = Dice(2);
    for round in 0..1000 {
        let mut changed = good.clone();
        // The statement is signed anew, as if the TPM had been made to say it.
        for _ in 0..=dice.below(3) {
            let bytes = part(&mut changed, dice.below(5));
            let at = dice.below(bytes.len());
            match dice.below(4) {
                0 => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
                1 => drop(bytes.remove(at)),
                _ => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
            }
        }
        let same = changed.public == good.public
            && changed.nv_public == good.nv_public
            && changed.recovery_public == good.recovery_public
            && changed.branches == good.branches
            && Certified::read(&changed.certify) == Certified::read(&good.certify);
        changed.sign_anew();
        let judged = changed.judged();
        // Clock and parent's name may be anything.
        assert!(judged.is_err() || same, "round {round}");
    }
}
