//! Access tokens and other unguessable strings.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hearth_store::account::TokenHash;
use sha2::{Digest, Sha256};

/// What every access token begins with, so that scanners for leaked secrets know one.
const PREFIX: &str = "hth_";

/// The same of refresh tokens.
const REFRESH_PREFIX: &str = "hthr_";

/// A new access token: 256 random bits.
pub(super) fn access_token() -> String {
    format!("{PREFIX}{}", random())
}

/// A new refresh token: as many.
pub(super) fn refresh_token() -> String {
    format!("{REFRESH_PREFIX}{}", random())
}

/// 256 random bits, fit for a URL.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is kept of a token.
pub(super) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// A hash as the log carries it.
pub(super) fn hex(hash: &TokenHash) -> String {
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 0xf])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

/// Whether two secrets are equal; takes as long whatever they are.
pub(super) fn equal(left: &str, right: &str) -> bool {
    // Hashes that begin alike say nothing of how alike the secrets are.
    hash(left) == hash(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_random_and_kept_as_its_sha256() {
        let token = access_token();
        assert_eq!((token.len(), token.starts_with("hth_")), (47, true));
        assert_ne!(token, access_token());
        assert_eq!(hex(&hash("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
