//! Who this server is: decided at the first start, checked at every other.

use hearth_core::pdu::SigningKey as EventKey;
use hearth_services::clock;
use hearth_store::server::{Server, SigningKey};
use hearth_store::{Store, StoreError};
use rand::RngExt;
use ruma::ServerName;

/// What tokens and key versions are made of: nothing that is easily taken for something else.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// 24 of 31 letters are 118 bits: nobody guesses them.
const TOKEN_LENGTH: usize = 24;

/// A key's version only tells it from the others of this server.
const KEY_VERSION_LENGTH: usize = 6;

/// Why this database is not this server's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// It has another name.
    #[error(
        "this database belongs to the server `{stored}`, and a server's name can never change, \
         but `server_name` is `{configured}`: set it back, or use another `data_dir`"
    )]
    OtherName {
        /// The name it was made with.
        stored: String,
        /// The name that is configured.
        configured: String,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds out who this server is, or decides it at the first start.
pub(crate) async fn establish(store: &Store, name: &ServerName) -> Result<Server, IdentityError> {
    let now = clock::now_ms();
    let server = if let Some(server) = store.server().await? {
        server
    } else {
        let new = Server {
            server_name: name.to_string(),
            registration_token: random_letters(TOKEN_LENGTH),
            created_ts: now,
        };
        store.found_server(&new, &new_key(now)).await?
    };
    if server.server_name != *name.as_str() {
        return Err(IdentityError::OtherName { stored: server.server_name, configured: name.to_string() });
    }
    Ok(server)
}

/// The key this server signs with.
pub(crate) async fn signing_key(store: &Store, name: &ServerName) -> Result<EventKey, IdentityError> {
    let lost = || StoreError::corrupt("signing_key", "the one in use");
    let stored = store.signing_keys().await?.into_iter().find(|key| key.expired_ts.is_none());
    let stored = stored.ok_or_else(lost)?;
    let version = stored.key_id.strip_prefix("ed25519:").ok_or_else(lost)?;
    let seed = <[u8; 32]>::try_from(stored.seed.as_slice()).map_err(|_| lost())?;
    Ok(EventKey::from_seed(name.to_owned(), version, &seed).map_err(|_| lost())?)
}

/// A token that nobody guesses.
pub(crate) fn new_registration_token() -> String {
    random_letters(TOKEN_LENGTH)
}

fn new_key(now: i64) -> SigningKey {
    let seed: [u8; 32] = rand::rng().random();
    let key_id = format!("ed25519:{}", random_letters(KEY_VERSION_LENGTH));
    SigningKey { key_id, seed: seed.to_vec(), created_ts: now, expired_ts: None }
}

fn random_letters(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .filter_map(|_| LETTERS.get(rng.random_range(..LETTERS.len())))
        .map(|letter| char::from(*letter))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_named_with_its_algorithm() {
        let key = new_key(7);
        let version = key.key_id.strip_prefix("ed25519:").unwrap();
        assert_eq!((version.len(), key.seed.len(), key.created_ts, key.expired_ts), (6, 32, 7, None));
        assert_ne!(new_key(7).seed, key.seed);
    }
}
