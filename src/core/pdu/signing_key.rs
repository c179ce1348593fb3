//! The key this server signs with.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ed25519_dalek::Signer as _;
use ruma::{
    AnyKeyName, CanonicalJsonObject, OwnedServerName, OwnedSigningKeyId, ServerName, SigningKeyId,
    signatures::{JsonError, KeyPair, Signature, sign_json},
};

/// An ed25519 key, the server it belongs to, and the name by which others ask for it.
pub struct SigningKey {
    server_name: OwnedServerName,
    key_id: OwnedSigningKeyId<AnyKeyName>,
    key: ed25519_dalek::SigningKey,
}

/// A key's version, the part of its id after `ed25519:`, has other characters than `a-zA-Z0-9_`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a signing key's version consists of letters, digits and underscores, not {0:?}")]
pub struct BadKeyVersion(pub String);

impl SigningKey {
    /// The key of a seed, which is 32 random bytes that only this server knows.
    pub fn from_seed(
        server_name: OwnedServerName,
        key_version: &str,
        seed: &[u8; 32],
    ) -> Result<Self, BadKeyVersion> {
        let well_formed =
            !key_version.is_empty() && key_version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let key_id = SigningKeyId::<AnyKeyName>::parse(format!("ed25519:{key_version}"));
        match key_id {
            Ok(key_id) if well_formed => {
                Ok(Self { server_name, key_id, key: ed25519_dalek::SigningKey::from_bytes(seed) })
            }
            _ => Err(BadKeyVersion(key_version.to_owned())),
        }
    }

    /// The server that signs.
    #[must_use]
    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// The key's id, `ed25519:` and its version.
    #[must_use]
    pub fn key_id(&self) -> &SigningKeyId<AnyKeyName> {
        &self.key_id
    }

    /// The public key as other servers read it, in unpadded base64.
    #[must_use]
    pub fn public_key(&self) -> String {
        STANDARD_NO_PAD.encode(self.key.verifying_key().as_bytes())
    }

    /// Adds this server's signature to an object that is not an event.
    pub fn sign_json(&self, object: &mut CanonicalJsonObject) -> Result<(), JsonError> {
        sign_json(self.server_name.as_str(), self, object)
    }

    /// The signature of a text, in unpadded base64.
    pub(super) fn sign_text(&self, text: &str) -> String {
        STANDARD_NO_PAD.encode(self.key.sign(text.as_bytes()).to_bytes())
    }
}

impl KeyPair for SigningKey {
    fn sign(&self, message: &[u8]) -> Signature {
        Signature::new(self.key_id.clone(), self.key.sign(message).to_bytes().to_vec())
    }
}

impl fmt::Debug for SigningKey {
    /// Never the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("server_name", &self.server_name)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
