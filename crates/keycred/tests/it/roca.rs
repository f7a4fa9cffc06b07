//! Keys that the faulty library made, and keys that it did not make.

use keycred::RsaPublicKey;
use openssl::bn::{BigNum, BigNumContext};
use openssl::rsa::Rsa;

/// M of keys with 1,984 to 3,936 bits: the product of the first 126 primes.
fn primorial() -> BigNum {
    let is_prime = |number: &u32| (2..*number).all(|divisor| !number.is_multiple_of(divisor));
    let mut product = BigNum::from_u32(1).unwrap();
    for prime in (2..).filter(is_prime).take(126) {
        product.mul_word(prime).unwrap();
    }
    product
}

/// A prime of 1,024 bits by the faulty way: k·M + 65537^a mod M.
fn faulty_prime(m: &BigNum) -> BigNum {
    let mut context = BigNumContext::new().unwrap();
    let generator = BigNum::from_u32(65537).unwrap();
    loop {
        let (mut k, mut a) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        k.rand(1024 - m.num_bits(), openssl::bn::MsbOption::TWO_ONES, false)
            .unwrap();
        a.rand(62, openssl::bn::MsbOption::MAYBE_ZERO, false)
            .unwrap();
        let (mut power, mut prime) = (BigNum::new().unwrap(), BigNum::new().unwrap());
        power.mod_exp(&generator, &a, m, &mut context).unwrap();
        prime.checked_mul(&k, m, &mut context).unwrap();
        let sum = &prime + &power;
        if sum.is_prime_fasttest(20, &mut context, true).unwrap() {
            return sum;
        }
    }
}

fn key(modulus: &BigNum) -> RsaPublicKey {
    RsaPublicKey::from_components(&modulus.to_vec(), &[1, 0, 1]).unwrap()
}

#[test]
fn a_key_that_is_made_the_faulty_way_is_found() {
    let m = primorial();
    assert_eq!(m.num_bits(), 971);
    let modulus = &faulty_prime(&m) * &faulty_prime(&m);
    assert!(key(&modulus).has_roca_fingerprint());
    // One faulty prime is no whole key.
    let good = Rsa::generate(2048).unwrap();
    let mixed = &faulty_prime(&m) * good.p().unwrap();
    assert!(!key(&mixed).has_roca_fingerprint());
}

#[test]
fn keys_that_are_made_well_are_not_taken_for_faulty_ones() {
    for bits in [1024, 2048, 2048, 3072] {
        let modulus = Rsa::generate(bits).unwrap().n().to_owned().unwrap();
        assert!(!key(&modulus).has_roca_fingerprint());
    }
}
