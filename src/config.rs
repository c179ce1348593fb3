//! The configuration: a YAML file, the environment over it, defaults below.
//!
//! The names are a contract that scripts rely on. One table, [`keys`], holds them all.

mod error;
mod example;
mod file;
mod keys;
mod value;
mod values;

use std::path::Path;

use axum::http::Uri;

pub(crate) use self::error::{ConfigError, Origin, Problem};
pub(crate) use self::example::{example, shown};
pub(crate) use self::keys::Config;
pub(crate) use self::value::{Day, Listen, LogFormat, Mode, Size, parse_duration};
use self::values::Values;
use crate::telemetry;

/// The file that is read when none is named, if it is there.
const USUAL_FILE: &str = "hearth.yaml";

/// The least memory that Argon2 is defined for, in KiB.
const SMALLEST_HASH: u32 = 8;

/// A configuration as it was loaded.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) values: Values,
    /// What deserves a word without being wrong.
    pub(crate) warnings: Vec<String>,
}

/// Loads the file that is named, or the usual one if there is one, and the environment.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, ConfigError> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        // A name that is not text is none of ours.
        Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
    });
    load_from(named, Path::new(USUAL_FILE), variables)
}

fn load_from(
    named: Option<&Path>,
    usual: &Path,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let (mut values, mut problems) = (Values::default(), Vec::new());
    let file = named.map(Path::to_owned).or_else(|| usual.exists().then(|| usual.to_owned()));
    if let Some(path) = file {
        match std::fs::read_to_string(&path) {
            Ok(text) => values.add_file(&path, &text, &mut problems),
            Err(error) => problems.push(unreadable(&path, &error)),
        }
    }
    let mut warnings = values.add_environment(variables, &mut problems);
    match Config::read(&values, &mut problems) {
        Some(config) if problems.is_empty() => {
            problems = config.contradictions(&values);
            if !problems.is_empty() {
                return Err(ConfigError(problems));
            }
            warnings.extend(config.warnings(&values));
            Ok(Loaded { config, values, warnings })
        }
        _ => Err(ConfigError(problems)),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    let what = format!("cannot read the configuration {}: {error}", path.display());
    Problem::new(Origin::Default, "", what)
}

impl Config {
    /// The keys whose values differ, as (path, whether a reload suffices).
    pub(crate) fn changes(&self, other: &Self) -> Vec<(&'static str, bool)> {
        let pairs = self.show().into_iter().zip(other.show());
        pairs.filter(|(a, b)| a.1 != b.1).map(|((key, _), _)| (key.path, key.reloads)).collect()
    }

    /// Values that are right alone and impossible together.
    fn contradictions(&self, values: &Values) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut problem = |key: &str, what: &str| problems.push(Problem::new(values.origin(key), key, what));
        if self.listen.is_empty() {
            problem("listen", "expected at least one address");
        }
        if self.metrics_listen.as_ref().is_some_and(|metrics| self.listen.contains(metrics)) {
            problem("metrics.listen", "is also in `listen`; metrics need an address of their own");
        }
        match (&self.registration_terms_url, &self.registration_terms_version) {
            (Some(_), None) => {
                problem("registration.terms.url", "needs `registration.terms.version` beside it");
            }
            (None, Some(_)) => {
                problem("registration.terms.version", "needs `registration.terms.url` beside it");
            }
            _ => {}
        }
        if self.password_argon2_memory_kib < SMALLEST_HASH {
            problem("password.argon2_memory_kib", "expected at least 8: Argon2 does not work with less");
        }
        if self.database_url.is_some() && self.database_programs.is_some() {
            problem("database.programs", "is for a private PostgreSQL, and `database.url` names another one");
        }
        let only_host = |address: &str| {
            address.parse::<Uri>().is_ok_and(|uri| uri.query().is_none() && !address.contains('#'))
        };
        if self.public_url.as_ref().is_some_and(|address| !only_host(&address.0)) {
            problem("public_url", "must not have a query or a fragment");
        }
        if let Some(what) = telemetry::check_level(&self.log_level) {
            problem("log.level", &what);
        }
        problems
    }

    fn warnings(&self, values: &Values) -> Vec<String> {
        let mut warnings = Vec::new();
        if values.origin("server_name") == Origin::Default {
            warnings.push(
                "no `server_name` is set: this server is `localhost`, and its name can never change later"
                    .to_owned(),
            );
        }
        if self.federation_enabled.is_some() {
            warnings.push("`federation.enabled` has nothing to switch yet".to_owned());
        }
        warnings
    }
}

#[cfg(test)]
mod tests;
