//! SIGHUP: reads the configuration again and puts in force what can change in a running server.

use std::path::PathBuf;

use hearth_api::App;
use hearth_services::accounts::RegistrationPolicy;

use super::foundation::registration;
use super::limits;
use crate::config::{self, Config};
use crate::telemetry::LogLevel;

/// What a reload changes.
pub(crate) struct Reloader {
    pub(crate) file: Option<PathBuf>,
    /// What is in force.
    pub(crate) current: Config,
    pub(crate) level: LogLevel,
    pub(crate) policy: RegistrationPolicy,
    pub(crate) app: App,
}

impl Reloader {
    /// Reads the configuration again, and says what became of it. One that is wrong changes nothing.
    pub(crate) fn reload(&mut self) {
        let new = match config::load(self.file.as_deref()) {
            Ok(loaded) => loaded.config,
            Err(error) => {
                return tracing::error!("nothing was reloaded, the configuration is wrong: {error}");
            }
        };
        let changes = self.current.changes(&new);
        let (reloaded, waiting): (Vec<_>, Vec<_>) = changes.into_iter().partition(|(_, reloads)| *reloads);
        if let Err(error) = self.level.set(&new.log_level) {
            return tracing::error!("nothing was reloaded, `log.level` is wrong: {error}");
        }
        self.policy.set(registration(&new));
        self.app.limits.set(limits::rates(&new));
        self.app.accounts.set_patience(limits::patience(&new));
        let names = |keys: &[(&str, bool)]| {
            let names: Vec<_> = keys.iter().map(|(path, _)| *path).collect();
            if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
        };
        tracing::info!("reloaded the configuration; changed: {}", names(&reloaded));
        if !waiting.is_empty() {
            tracing::warn!("changed in the configuration, and waiting for a restart: {}", names(&waiting));
        }
        self.current = self.current.with_reloaded(new);
    }
}
