//! Media in buckets instead of directories: an S3 service on the loopback, for the whole run.

use std::env;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::hearth::http;

/// The program, and how to get it.
const PROGRAM: &str = "moto_server";
const INSTALL: &str = "pip install 'moto[server]'";

/// The service may compile itself first.
const START: Duration = Duration::from_mins(1);

/// Whoever calls itself so is believed to be somebody.
const SOMEBODY: &str = "AWS4-HMAC-SHA256 Credential=spec/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
                        Signature=none";

static SERVICE: Mutex<Option<Service>> = Mutex::const_new(None);
static BUCKETS: AtomicU64 = AtomicU64::new(1);

struct Service {
    base: String,
    child: Child,
}

/// Whether this run is about buckets.
pub fn is_asked_for() -> bool {
    env::var("HEARTH_SPEC_S3").is_ok_and(|asked| !asked.is_empty() && asked != "0")
}

/// Starts the service; the error says what is missing.
pub async fn start() -> Result<(), String> {
    let port = rand::random_range(20_000..30_000_u16);
    let base = format!("http://127.0.0.1:{port}");
    let mut command = Command::new(PROGRAM);
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let spawned = command.spawn();
    let mut child = spawned.map_err(|error| format!("{PROGRAM}: {error}; it comes with: {INSTALL}"))?;
    let (http, since) = (http(), Instant::now());
    while http.get(&base).send().await.is_err() {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("{PROGRAM} ended with {status}; it comes with: {INSTALL}"));
        }
        if since.elapsed() > START {
            return Err(format!("{PROGRAM} does not answer"));
        }
        sleep(Duration::from_millis(100)).await;
    }
    *SERVICE.lock().await = Some(Service { base, child });
    Ok(())
}

/// Stops the service, if it runs.
pub async fn stop() {
    if let Some(mut service) = SERVICE.lock().await.take() {
        // It may have ended by itself.
        let _ = service.child.kill().await;
    }
}

/// The settings of a new bucket, where this run is about them.
pub async fn settings() -> Option<[(&'static str, String); 4]> {
    let base = SERVICE.lock().await.as_ref()?.base.clone();
    let name = format!("spec-{}", BUCKETS.fetch_add(1, Ordering::Relaxed));
    let made = http().put(format!("{base}/{name}")).header("authorization", SOMEBODY).send().await;
    assert!(made.is_ok_and(|made| made.status().is_success()), "a bucket can be made");
    Some([
        (BUCKET, name),
        (ENDPOINT, base),
        ("HEARTH_MEDIA__S3__ACCESS_KEY", "spec".to_owned()),
        ("HEARTH_MEDIA__S3__SECRET_KEY", "no secret".to_owned()),
    ])
}

/// The variables that name a bucket and its service.
pub const BUCKET: &str = "HEARTH_MEDIA__S3__BUCKET";
pub const ENDPOINT: &str = "HEARTH_MEDIA__S3__ENDPOINT";

/// A request about a bucket or an object, by somebody who may.
pub fn request(method: reqwest::Method, url: &str) -> reqwest::RequestBuilder {
    http().request(method, url).header("authorization", SOMEBODY)
}
