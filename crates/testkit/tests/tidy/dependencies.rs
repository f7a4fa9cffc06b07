//! What comes from outside: how much, under which licence, and whose cryptography.

use std::collections::BTreeSet;

use crate::{expect_none, graph::GRAPH, tree::Text};

/// The most external packages that the lock file may hold.
const MOST_PACKAGES: usize = 450;

/// The licences that are accepted, as their packages spell them.
const LICENCES: [&str; 21] = [
    "(MIT OR Apache-2.0) AND Unicode-3.0",
    "0BSD OR MIT OR Apache-2.0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
    "Apache-2.0 OR BSL-1.0",
    "Apache-2.0 OR BSL-1.0 OR MIT",
    "Apache-2.0 OR MIT",
    "BSD-2-Clause OR Apache-2.0 OR MIT",
    "BSD-3-Clause",
    "BSD-3-Clause OR MIT OR Apache-2.0",
    "ISC",
    "MIT",
    "MIT AND BSD-3-Clause",
    "MIT OR Apache-2.0",
    "MIT OR Zlib OR Apache-2.0",
    "MIT/Apache-2.0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense OR MIT",
    "Zlib",
    "Zlib OR Apache-2.0 OR MIT",
];

/// Implementations of cryptography that packages are known to bring.
const PROVIDERS: [&str; 33] = [
    "aes",
    "aes-gcm",
    "argon2",
    "aws-lc-rs",
    "aws-lc-sys",
    "bcrypt",
    "blake2",
    "blake3",
    "boring-sys",
    "chacha20",
    "chacha20poly1305",
    "curve25519-dalek",
    "des",
    "ed25519-dalek",
    "hkdf",
    "hmac",
    "k256",
    "libsodium-sys",
    "md-5",
    "md4",
    "mbedtls",
    "openssl-src",
    "p256",
    "p384",
    "pbkdf2",
    "ring",
    "rsa",
    "rustls",
    "scrypt",
    "sha1",
    "sha2",
    "sha3",
    "x25519-dalek",
];

/// The providers that are in the build beside OpenSSL, each with its reason.
const OTHER_PROVIDERS: [(&str, &str); 11] = [
    ("aes", "what the SMB library of SYSVOL signs and seals with"),
    (
        "aes-gcm",
        "what the SMB library of SYSVOL signs and seals with",
    ),
    (
        "argon2",
        "passwords of administrators, PINs without a TPM: OpenSSL 3.0 has no Argon2",
    ),
    ("blake2", "what argon2 hashes with"),
    (
        "chacha20",
        "what the PostgreSQL library draws its nonce with when it proves a password",
    ),
    (
        "hmac",
        "what the SMB library of SYSVOL signs and seals with, and PostgreSQL's proves a password",
    ),
    (
        "md-5",
        "the SMB library has NTLM, the PostgreSQL library an older proof of a password",
    ),
    ("md4", "the SMB library has NTLM, which is never spoken"),
    (
        "pbkdf2",
        "the SMB library has Kerberos by password, which is never spoken",
    ),
    (
        "sha1",
        "the SMB library speaks Kerberos with a given ticket",
    ),
    (
        "sha2",
        "what the SMB library of SYSVOL signs and seals with, and PostgreSQL's proves a password",
    ),
];

/// Names of all packages in the lock file, for every platform; external ones have a source.
fn locked() -> Vec<(String, bool)> {
    let lock = Text::read("Cargo.lock");
    let packages = lock.content.split("[[package]]").skip(1);
    packages
        .map(|package| {
            let name = package
                .lines()
                .find_map(|line| line.strip_prefix("name = "));
            (
                name.unwrap().trim_matches('"').to_owned(),
                package.contains("\nsource = "),
            )
        })
        .collect()
}

#[test]
fn the_lock_file_stays_below_its_cap() {
    let external = locked()
        .into_iter()
        .filter(|(_, external)| *external)
        .count();
    assert!(
        external <= MOST_PACKAGES,
        "{external} external packages, at most {MOST_PACKAGES}"
    );
}

#[test]
fn every_licence_is_one_that_was_accepted() {
    let broken: Vec<String> = GRAPH
        .packages()
        .filter(|package| !LICENCES.contains(&package.license.as_str()))
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            )
        })
        .collect();
    expect_none(
        "a licence must be permissive or MPL, and on the list of this test",
        &broken,
    );
}

#[test]
fn openssl_is_the_only_crypto_provider_but_for_those_with_a_reason() {
    let found: BTreeSet<String> = locked()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|n| PROVIDERS.contains(&n.as_str()))
        .collect();
    let expected: BTreeSet<String> = OTHER_PROVIDERS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(
        found, expected,
        "providers in Cargo.lock, and those with a reason"
    );
    let page = Text::read("docs/decisions/0003-one-crypto-provider.md");
    let broken: Vec<String> = expected
        .into_iter()
        .filter(|name| !page.content.contains(&format!("`{name}`")))
        .collect();
    expect_none(
        "docs/decisions/0003-one-crypto-provider.md names each with its reason",
        &broken,
    );
}
