//! Composes the server, bottom-up: the only file that names all of it.

mod failure;
mod foundation;
mod http;
mod identity;
mod limits;
mod listener;
pub(crate) mod media;
mod metrics;
mod reload;
mod systemd;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use hearth_api::Readiness;
use metrics_exporter_prometheus::PrometheusHandle;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

pub(crate) use self::failure::Failure;
pub(crate) use self::foundation::{Foundation, Role, pool, source};
pub(crate) use self::identity::new_registration_token;
use self::listener::{Crowd, Listener, Patience, Serving};
use self::reload::Reloader;
use crate::cli::output::say;
use crate::config::{Config, Loaded, Mode};
use crate::lifecycle::{Asked, Signals};
use crate::telemetry;

/// The writer commits what waits within this; then the database is stopped under it.
const FLUSH: Duration = Duration::from_secs(5);

/// Whoever scrapes metrics needs one or two.
const METRICS_CONNECTIONS: u32 = 16;

/// Runs the server until it is told to stop.
pub(crate) async fn serve(loaded: Loaded, file: Option<PathBuf>) -> Result<(), Failure> {
    let started = Instant::now();
    let config = &loaded.config;
    let level = telemetry::start_logging(&config.log_level, config.log_format).map_err(Failure::Start)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut signals = Signals::listen().map_err(|error| Failure::Start(error.to_string()))?;
    raise_descriptor_limit();
    let listeners = config.listen.iter().map(Listener::open).collect::<Result<Vec<_>, _>>()?;
    let metrics_listener = config.metrics_listen.as_ref().map(Listener::open).transpose()?;
    let metrics = telemetry::start_metrics().map_err(Failure::Start)?;
    let mut foundation = tokio::select! {
        foundation = Foundation::open(config, Role::Server) => foundation?,
        // The private PostgreSQL, if it was on its way, ends with this process.
        () = signals.stop() => return Ok(()),
    };
    let readiness = Readiness::default();
    let key = identity::signing_key(foundation.store(), &config.server_name).await?;
    let app = http::compose(config, &foundation, key, readiness.clone()).await?;
    foundation.begin();
    let serving = Serving {
        router: hearth_api::router(app.clone()),
        supervisor: foundation.supervisor.clone(),
        stages: foundation.stages.clone(),
        crowd: Crowd::new(
            config.limits_max_connections,
            config.limits_max_connections_per_address,
            config.trusted_proxies.clone(),
        ),
        patience: Patience {
            header: config.http_header_timeout,
            stall: config.http_stall_timeout,
            idle: config.http_idle_timeout,
        },
    };
    if let Some(listener) = metrics_listener {
        serve_metrics(listener, metrics, &serving);
    }
    let addresses: Vec<String> = listeners.iter().map(Listener::describe).collect();
    for listener in listeners {
        let stop = foundation.stages.closing.clone();
        foundation.supervisor.run("listener", stop, listener.run(serving.clone()));
    }
    welcome(config, &foundation, &addresses, started).await?;
    readiness.set_ready();
    systemd::begin_watchdog(&foundation.supervisor, foundation.stages.stopping.clone());
    systemd::ready();
    let policy = foundation.policy.clone();
    let mut reloader = Reloader { file, current: loaded.config.clone(), level, policy, app };
    let healthy = wait_for_the_end(&foundation, &mut signals, &mut reloader).await;
    readiness.set_stopping();
    systemd::stopping();
    tokio::select! {
        () = stop(foundation, config) => {}
        () = signals.stop() => tracing::warn!("told to stop again: stopping at once"),
    }
    if healthy { Ok(()) } else { Err(Failure::TaskFailed) }
}

/// Waits until the server is told to stop, or has to; says whether it was told.
async fn wait_for_the_end(foundation: &Foundation, signals: &mut Signals, reloader: &mut Reloader) -> bool {
    loop {
        tokio::select! {
            asked = signals.next() => match asked {
                Asked::Stop => return true,
                Asked::Reload => {
                    systemd::reloading();
                    reloader.reload();
                    systemd::ready();
                }
            },
            () = foundation.supervisor.failed() => return false,
        }
    }
}

/// Ends everything in the reverse order of its beginning.
async fn stop(foundation: Foundation, config: &Config) {
    let since = Instant::now();
    tracing::info!("stopping");
    tokio::time::sleep(config.shutdown_notice).await;
    foundation.stages.draining.cancel();
    let drain = config.shutdown_drain;
    let left = foundation.supervisor.wait_for_connections(drain).await;
    if left > 0 {
        tracing::warn!("{left} connections were still busy after {} s and are cut off", drain.as_secs_f32());
    }
    foundation.close(FLUSH).await;
    tracing::info!("stopped after {:.1} s", since.elapsed().as_secs_f32());
}

/// Serves metrics by a listener of their own, for as long as anything is served.
fn serve_metrics(listener: Listener, metrics: PrometheusHandle, serving: &Serving) {
    let stop = serving.stages.closing.clone();
    let upkeep = metrics::upkeep(metrics.clone(), stop.clone());
    serving.supervisor.run("metrics upkeep", stop.clone(), upkeep);
    let router = metrics::router(metrics);
    let crowd = Crowd::new(METRICS_CONNECTIONS, METRICS_CONNECTIONS, Vec::new());
    let serving = Serving { router, crowd, ..serving.clone() };
    serving.supervisor.clone().run("metrics listener", stop, listener.run(serving));
}

/// Tells the administrator, on standard output, where the server is and what to do next.
async fn welcome(
    config: &Config,
    foundation: &Foundation,
    addresses: &[String],
    started: Instant,
) -> Result<(), Failure> {
    let first = !foundation.store().has_accounts().await?;
    let took = started.elapsed().as_secs_f32();
    let kind = if foundation.is_new { "first start" } else { "start" };
    say(&format!("Hearth {} serves {}", env!("CARGO_PKG_VERSION"), foundation.server.server_name));
    say(&format!("  listening on        {}", addresses.join(", ")));
    if first {
        if config.registration_mode == Mode::Token && config.registration_token.is_none() {
            say(&format!("  registration token  {}", foundation.server.registration_token));
        }
        let program = std::env::args().next().unwrap_or_else(|| "hearth".to_owned());
        say(&format!("  first account       {program} user create NAME --admin"));
    }
    say(&format!("  {kind} took {took:.1} s"));
    Ok(())
}

/// Every connection is a file descriptor, and the usual limit is there for programs that use select(2).
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard));
    match raised {
        Ok(limit) => tracing::debug!("up to {limit} file descriptors"),
        Err(error) => tracing::warn!("cannot raise the limit of file descriptors: {error}"),
    }
}
