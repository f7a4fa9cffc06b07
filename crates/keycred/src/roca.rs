//! The fingerprint of keys by the faulty library of CVE-2017-15361 (ROCA), whose private half can be
//! computed from the public one.
//!
//! That library makes primes of the form k·M + 65537^a mod M, with M the product of the first primes.
//! So its moduli are powers of 65537 modulo each of them, which a modulus by any other way is with a
//! probability below 2^-150 (Nemec, Sys, Svenda, Klinec, Matyas: The Return of Coppersmith's Attack,
//! 2017). M of every key length holds the primes up to 167.

/// The odd primes that divide M for every length of a key.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
    101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

/// What the powers are of.
const GENERATOR: u32 = 65537;

/// Whether a modulus, big-endian, has the fingerprint.
pub(crate) fn has_fingerprint(modulus: &[u8]) -> bool {
    PRIMES
        .iter()
        .all(|prime| is_power(remainder(modulus, *prime), *prime))
}

fn remainder(number: &[u8], prime: u32) -> u32 {
    number
        .iter()
        .fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

/// Whether there is an `a` with 65537^a = `rest` modulo `prime`: the discrete logarithm, by trying.
fn is_power(rest: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 1..prime {
        if power == rest {
            return true;
        }
        power = power * (GENERATOR % prime) % prime;
    }
    false
}
