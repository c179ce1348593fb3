//! Logs and metrics of this process.

use std::io::{self, IsTerminal};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::LogFormat;

/// Bounds of the buckets of every histogram of seconds: from a request answered from memory to a long poll.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Bounds for counts: rows of a commit, say.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Libraries whose every statement would drown our own lines; what is configured goes over it.
const QUIET: [&str; 5] = [hearth_store::connect::DRIVER_LOGS_AS, "hyper", "h2", "rustls", "ruma_state_res"];

/// Changes what is logged while the process runs.
#[derive(Clone, Debug)]
pub(crate) struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Puts another level in force.
    pub(crate) fn set(&self, level: &str) -> Result<(), String> {
        let filter = filter(level)?;
        self.0.reload(filter).map_err(|error| error.to_string())
    }
}

/// Begins to log to standard error.
pub(crate) fn start_logging(level: &str, format: LogFormat) -> Result<LogLevel, String> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let lines = match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
        LogFormat::Text => fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .with_writer(io::stderr)
            .boxed(),
    };
    // It fails when a subscriber is there already, as in tests; that one is as good.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(LogLevel(handle))
}

/// What is wrong with a level, if anything.
pub(crate) fn check_level(level: &str) -> Option<String> {
    filter(level).err()
}

/// Begins to gather metrics; the handle renders them.
pub(crate) fn start_metrics() -> Result<PrometheusHandle, String> {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|builder| builder.set_buckets(&COUNTS))
        .map_err(|error| error.to_string())?
        .build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    Ok(handle)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    // A word that is no level would silently be taken for the name of a part.
    for word in level.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        word.parse::<LevelFilter>().map_err(|_| {
            format!("expected error, warn, info, debug or trace, or part=level pairs of them, not “{word}”")
        })?;
    }
    let quiet: Vec<String> = QUIET.iter().map(|part| format!("{part}=warn")).collect();
    EnvFilter::try_new(format!("{},{level}", quiet.join(","))).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_checked_before_it_is_used() {
        assert_eq!(check_level("info,hearth_store=debug"), None);
        assert!(check_level("inof").is_some_and(|what| what.contains("“inof”")));
        assert!(check_level("hearth=loud").is_some());
    }
}
