//! Password hashes, computed off the async threads.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::timeout;

use super::AccountError;

/// Passes over the memory and lanes, as OWASP recommends for argon2id.
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The longest password, so that hashing one stays cheap beside the argon2 itself.
const MAX_PASSWORD_BYTES: usize = 1024;

/// Passwords that may wait to be hashed; a later one is refused at once. At about fifty milliseconds each
/// the last of them waits some seconds.
const WAITING: usize = 128;

/// Whoever waits longer for it is told to come again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Hashes and checks passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    argon2: Argon2<'static>,
    /// What a password is compared with where there is no account, so that it takes as long.
    nobody: String,
    /// One for each core but one, which the rest of the server keeps.
    running: Semaphore,
    waiting: Arc<Semaphore>,
}

impl Passwords {
    /// Hashes with so much memory. Values that argon2 does not allow become its defaults.
    pub(super) fn new(memory_kib: u32) -> Self {
        let params = Params::new(memory_kib, PASSES, LANES, None).unwrap_or_default();
        let salt = base64_of(&rand::random::<[u8; 16]>());
        let output = base64_of(&rand::random::<[u8; 32]>());
        let nobody = format!("$argon2id$v=19$m={},t={PASSES},p={LANES}${salt}${output}", params.m_cost());
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            nobody,
            running: Semaphore::new(
                thread::available_parallelism().map_or(1, usize::from).saturating_sub(1).max(1),
            ),
            waiting: Arc::new(Semaphore::new(WAITING)),
        }
    }

    /// The PHC string of a new password.
    pub(super) async fn hash(&self, password: String) -> Result<String, AccountError> {
        if password.is_empty() || password.len() > MAX_PASSWORD_BYTES {
            return Err(AccountError::PasswordLength);
        }
        let argon2 = self.argon2.clone();
        self.run(move || {
            let salt = rand::random::<[u8; 16]>();
            argon2.hash_password_with_salt(password.as_bytes(), &salt).map(|hash| hash.to_string())
        })
        .await?
        .map_err(|error| AccountError::Hash(error.to_string()))
    }

    /// Whether this is the password of that hash. With no hash: no, after the same time.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, AccountError> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.nobody.clone());
        if password.len() > MAX_PASSWORD_BYTES {
            return Ok(false);
        }
        let argon2 = self.argon2.clone();
        let right = self
            .run(move || {
                let hash = PasswordHash::new(&hash).map_err(|error| AccountError::Hash(error.to_string()))?;
                Ok::<_, AccountError>(argon2.verify_password(password.as_bytes(), &hash).is_ok())
            })
            .await??;
        Ok(known && right)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AccountError> {
        let waiting = match Arc::clone(&self.waiting).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(AccountError::Busy),
        };
        // The semaphore is never closed; were it, nothing would be limited.
        let Ok(_running) = timeout(LONGEST_WAIT, self.running.acquire()).await else {
            return Err(AccountError::Busy);
        };
        let done = tokio::task::spawn_blocking(work).await;
        drop(waiting);
        done.map_err(|error| AccountError::Hash(error.to_string()))
    }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_right() {
        let passwords = Passwords::new(Params::MIN_M_COST);
        let hash = passwords.hash("wrath of the titans".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=2,p=1$"), "{hash}");
        assert!(passwords.verify("wrath of the titans".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify("wrath of the titan".into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_has_a_right_password_and_it_is_computed_all_the_same() {
        let passwords = Passwords::new(Params::MIN_M_COST);
        assert!(PasswordHash::new(&passwords.nobody).is_ok());
        assert!(!passwords.verify("x".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn an_empty_or_endless_password_is_refused() {
        let passwords = Passwords::new(Params::MIN_M_COST);
        for password in [String::new(), "x".repeat(MAX_PASSWORD_BYTES + 1)] {
            assert!(matches!(passwords.hash(password).await, Err(AccountError::PasswordLength)));
        }
    }
}
