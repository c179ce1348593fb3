//! The signing key, in the form that other Matrix servers keep theirs: `ed25519 VERSION SEED`.

use std::io::{self, Read};
use std::path::Path;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hearth_services::clock;
use hearth_store::server::SigningKey;

use super::database;
use super::output::say;
use crate::app::Failure;
use crate::config::Config;

/// Base64 as the specification has it, without padding; padded input is read as well.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Such a file is one line.
const LONGEST: u64 = 4096;

/// Prints the key in use.
pub(super) async fn export(config: &Config) -> Result<(), Failure> {
    let database = database::open(config).await?;
    let keys = database.store.signing_keys().await;
    database.close().await;
    let key = keys?.into_iter().find(|key| key.expired_ts.is_none());
    let key =
        key.ok_or_else(|| Failure::Input("the server has no signing key yet: start it once".to_owned()))?;
    say(&write(&key));
    Ok(())
}

/// Makes another key the one in use.
pub(super) async fn import(config: &Config, file: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Input(format!("cannot read {}: {error}", file.display()));
    let mut text = String::new();
    if file == Path::new("-") {
        io::stdin().lock().take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
            .map_err(failed)?;
    }
    let key = read(&text, clock::now_ms())
        .ok_or_else(|| Failure::Input("expected a line `ed25519 VERSION SEED`".to_owned()))?;
    let database = database::open(config).await?;
    let changed = database.store.change_signing_key(&key).await;
    database.close().await;
    changed?;
    say(&format!("the server signs with {} from its next start on", key.key_id));
    Ok(())
}

fn write(key: &SigningKey) -> String {
    let id = key.key_id.replacen(':', " ", 1);
    format!("{id} {}", BASE64.encode(&key.seed))
}

fn read(text: &str, now: i64) -> Option<SigningKey> {
    let words: Vec<&str> = text.lines().find(|line| !line.trim().is_empty())?.split_whitespace().collect();
    let ["ed25519", version, seed] = *words else { return None };
    let well_formed = version.len() <= 64 && version.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let seed = BASE64.decode(seed).ok().filter(|seed| seed.len() == 32)?;
    let key_id = format!("ed25519:{version}");
    well_formed.then_some(SigningKey { key_id, seed, created_ts: now, expired_ts: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exported_key_can_be_imported() {
        let key = SigningKey {
            key_id: "ed25519:a_AbCd".into(),
            seed: (0..32).collect(),
            created_ts: 7,
            expired_ts: None,
        };
        let line = write(&key);
        assert_eq!(line, "ed25519 a_AbCd AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        assert_eq!(read(&line, 7).as_ref(), Some(&key));
        assert_eq!(read(&format!("\n{line}=\n"), 7), Some(key));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in [
            "",
            "ed25519 a",
            "rsa a AAAA",
            "ed25519 a AAAA",
            "ed25519 a:b AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        ] {
            assert_eq!(read(text, 7), None, "{text}");
        }
    }
}
