//! Argon2id for the passwords of the server's own accounts, so many at a time as there are cores:
//! each takes a core and 19 MiB for a while, and whoever sends passwords must not take all of them.

use anyhow::anyhow;
use argon2::{
    Argon2,
    password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString},
};
use model::Secret;
use tokio::sync::Semaphore;

use crate::random;

/// Computations that may wait for a core; beyond it the server says that it is busy.
const QUEUE: usize = 64;

/// The room for computations.
pub(crate) struct Hashing {
    cores: Semaphore,
    queue: Semaphore,
}

/// Too many wait already.
pub(crate) struct Busy;

impl Default for Hashing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            cores: Semaphore::new(cores),
            queue: Semaphore::new(QUEUE),
        }
    }
}

impl Hashing {
    /// Whether the password is that of the hash. Without a hash it is not, and that takes as long.
    pub(crate) async fn verify(
        &self,
        hash: Option<String>,
        password: Secret<String>,
    ) -> anyhow::Result<Result<bool, Busy>> {
        let verify = move || match hash {
            Some(hash) => Ok(PasswordHash::new(&hash).is_ok_and(|hash| {
                let password = password.expose().as_bytes();
                Argon2::default().verify_password(password, &hash).is_ok()
            })),
            None => hashed(password.expose()).map(|_| false),
        };
        self.run(verify).await
    }

    /// The hash of a new password.
    pub(crate) async fn hash(
        &self,
        password: Secret<String>,
    ) -> anyhow::Result<Result<String, Busy>> {
        self.run(move || hashed(password.expose())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Result<T, Busy>> {
        let Ok(_place) = self.queue.try_acquire() else {
            return Ok(Err(Busy));
        };
        let _core = self.cores.acquire().await?;
        Ok(Ok(tokio::task::spawn_blocking(work).await??))
    }
}

/// Argon2id in PHC form.
fn hashed(password: &str) -> anyhow::Result<String> {
    let failed = |error| anyhow!("the password could not be hashed: {error}");
    let salt = SaltString::encode_b64(&random::bytes::<16>()?).map_err(failed)?;
    let hash = Argon2::default()
        .hash_password(password.as_bytes(), &salt)
        .map_err(failed)?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_verifies_against_its_own_hash_alone() {
        let hashing = Hashing::default();
        let secret = |text: &str| Secret::new(text.to_owned());
        let Ok(hash) = hashing.hash(secret("right")).await.unwrap() else {
            panic!("busy");
        };
        for (hash, password, expected) in [
            (Some(hash.clone()), "right", true),
            (Some(hash), "wrong", false),
            (None, "right", false),
            (Some("x".to_owned()), "right", false),
        ] {
            let verified = hashing.verify(hash, secret(password)).await.unwrap();
            assert!(verified.is_ok_and(|is_right| is_right == expected));
        }
    }

    #[tokio::test]
    async fn more_than_may_wait_are_told_so_at_once() {
        let hashing = Hashing::default();
        let _all = hashing.queue.try_acquire_many(QUEUE as u32).unwrap();
        let answer = hashing.verify(None, Secret::new(String::new())).await;
        assert!(answer.unwrap().is_err());
    }
}
