//! The master key: opens the secrets in the store and is kept outside it, so that a copy of the
//! store alone gives nothing away.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use model::{Secret, sha256};
use openssl::{
    error::ErrorStack,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use zeroize::Zeroizing;

use crate::{config::read_private, random};

/// Begins the file; the number is the version of its form.
const FIRST_LINE: &str = "latchkey master key 1";

const IV: usize = 12;
const TAG: usize = 16;

/// A key of 256 bits.
pub(crate) struct MasterKey(Secret<Vec<u8>>);

impl MasterKey {
    /// A new one.
    pub(crate) fn make() -> Result<Self, ErrorStack> {
        Ok(Self(Secret::new(random::bytes::<32>()?.to_vec())))
    }

    /// Writes the file, which must not be there yet.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        let text = Zeroizing::new(format!(
            "{FIRST_LINE}\n{}\n",
            STANDARD.encode(self.0.expose())
        ));
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Reads the file; one that others may read is refused.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = read_private(path)?;
        let mut lines = text.lines();
        if lines.next() != Some(FIRST_LINE) {
            bail!("{shown} is not a master key of version 1: a newer release may have written it");
        }
        let key = lines.next().and_then(|line| STANDARD.decode(line).ok());
        match key {
            Some(key) if key.len() == 32 => Ok(Self(Secret::new(key))),
            _ => bail!("{shown} is damaged: bring it back from a backup"),
        }
    }

    /// Seals `plain` by AES-256-GCM; it opens under the same `name` only.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let iv = random::bytes::<IV>()?;
        let mut tag = [0; TAG];
        let key = self.0.expose();
        let sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            key,
            Some(&iv),
            name.as_bytes(),
            plain,
            &mut tag,
        )?;
        Ok([&iv[..], &tag, &sealed].concat())
    }

    /// Opens what was sealed under `name`.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> anyhow::Result<Secret<Vec<u8>>> {
        let parts = || {
            let (iv, rest) = sealed.split_first_chunk::<IV>()?;
            let (tag, rest) = rest.split_first_chunk::<TAG>()?;
            Some((iv, tag, rest))
        };
        let (iv, tag, rest) = parts().context("a sealed value in the store is cut off")?;
        decrypt_aead(
            Cipher::aes_256_gcm(),
            self.0.expose(),
            Some(iv),
            name.as_bytes(),
            rest,
            tag,
        )
        .map(Secret::new)
        .with_context(|| format!("the master key does not open {name}: it is another store's"))
    }

    /// A key for another purpose, from which this one cannot be told.
    pub(crate) fn derive(&self, purpose: &str) -> Secret<Vec<u8>> {
        let mut input = Zeroizing::new(b"latchkey derived key\0".to_vec());
        input.extend_from_slice(self.0.expose());
        input.extend_from_slice(purpose.as_bytes());
        Secret::new(sha256(&input).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_under_its_own_name_only() {
        let master = MasterKey::make().unwrap();
        let sealed = master.seal("a", b"secret").unwrap();
        assert_eq!(master.open("a", &sealed).unwrap().expose(), b"secret");
        assert!(master.open("b", &sealed).is_err());
        assert!(MasterKey::make().unwrap().open("a", &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(master.open("a", &sealed[..cut]).is_err(), "{cut}");
        }
    }
}
