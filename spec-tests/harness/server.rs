//! The real server program, started for the tests.

use std::collections::BTreeMap;
use std::env;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::storage::{DIRECTORY, Storage};
use super::{bucket, cluster};

/// The part of every user's name behind the colon.
pub const SERVER_NAME: &str = "hearth.test";
/// The variable that names the database.
const DATABASE_URL: &str = "HEARTH_DATABASE__URL";
/// A first start makes a database cluster, on a busy machine.
const START: Duration = Duration::from_mins(2);
/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// The environment that a server is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    variables: BTreeMap<String, String>,
    private_database: bool,
    /// Another server's folder that must not go before this one's settings.
    shared: Option<Arc<TempDir>>,
}

impl Settings {
    /// Open registration, no rate limits, cheap password hashes.
    pub fn new() -> Self {
        let settings = Self { variables: BTreeMap::new(), private_database: false, shared: None };
        settings
            .set("HEARTH_SERVER_NAME", SERVER_NAME)
            .set("HEARTH_REGISTRATION__MODE", "open")
            .set("HEARTH_LIMITS__ENABLED", "false")
            .set("HEARTH_LOG__FORMAT", "json")
            .set("HEARTH_PASSWORD__ARGON2_MEMORY_KIB", "64")
            // What a device said at another replica is believed for as long; no test waits for more.
            .set("HEARTH_PRESENCE__OFFLINE_AFTER", "10s")
    }

    /// With one variable more, or another value of it.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a PostgreSQL of the server's own, as when none is configured.
    pub fn private_database(mut self) -> Self {
        self.private_database = true;
        self
    }

    /// With a database in the cluster that the servers share, unless it has one.
    async fn with_database(self) -> Result<Self, Refusal> {
        if self.private_database || self.variables.contains_key(DATABASE_URL) {
            return Ok(self);
        }
        match cluster::new_database().await {
            Ok(url) => Ok(self.set(DATABASE_URL, &url)),
            Err(error) => Err(Refusal { status: None, said: vec![error.to_string()] }),
        }
    }

    /// With a bucket of the server's own, where the run is about them and no storage is set.
    async fn with_bucket(self) -> Self {
        if self.variables.contains_key(DIRECTORY) || self.variables.contains_key(bucket::BUCKET) {
            return self;
        }
        let settings = bucket::settings().await;
        settings.into_iter().flatten().fold(self, |all, (name, value)| all.set(name, &value))
    }

    /// With the media of a server that another replica is to share.
    fn with_media_of(mut self, server: &Server) -> Self {
        let Storage::Directory(directory) = Storage::of(server) else { return self };
        self.shared = server.settings.shared.clone().or_else(|| Some(Arc::clone(&server.folder)));
        self.set(DIRECTORY, &directory.to_string_lossy())
    }

    /// The database that is set.
    pub fn database_url(&self) -> &str {
        self.variables.get(DATABASE_URL).map_or("", String::as_str)
    }

    /// All variables.
    pub const fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Without a variable.
    pub fn unset(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }
}

/// The server's program with nothing of our own environment that would configure it.
pub fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("HEARTH_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// A server process, its folder and what it said.
#[derive(Debug)]
pub struct Server {
    base: String,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    said: Arc<Mutex<Vec<String>>>,
    settings: Settings,
    folder: Arc<TempDir>,
}

impl Server {
    /// Starts a server in a new folder and waits until it is ready.
    pub async fn start(settings: Settings) -> Self {
        match Self::try_start(settings).await {
            Ok(server) => server,
            Err(refusal) => panic!("the server did not start: {refusal}"),
        }
    }

    /// Starts a server in a new folder; the error is what it said when it ended instead.
    pub async fn try_start(settings: Settings) -> Result<Self, Refusal> {
        let settings = settings.with_database().await?.with_bucket().await;
        Self::try_start_in(settings, Arc::new(new_folder())).await
    }

    /// Starts a server in a folder that may have been another's.
    pub async fn start_in(settings: Settings, folder: Arc<TempDir>) -> Self {
        match Self::try_start_in(settings, folder).await {
            Ok(server) => server,
            Err(refusal) => panic!("the server did not start: {refusal}"),
        }
    }

    /// Starts a server; the error is what it said when it ended instead.
    pub async fn try_start_in(settings: Settings, folder: Arc<TempDir>) -> Result<Self, Refusal> {
        let mut server = Self::spawn(settings, folder);
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Starts a server that has its database, and does not wait until it is ready.
    pub fn spawn(settings: Settings, folder: Arc<TempDir>) -> Self {
        let address = settings.variables.get("HEARTH_LISTEN").cloned();
        let address = address.unwrap_or_else(|| format!("127.0.0.1:{}", free_port()));
        let base = format!("http://{address}");
        let mut command = program(folder.path());
        command.arg("serve").env("HEARTH_DATA_DIR", folder.path().join("data"));
        command.env("HEARTH_LISTEN", address).env("HEARTH_PUBLIC_URL", &base);
        command.envs(&settings.variables).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the server's program runs");
        let said = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            tokio::spawn(listen(child.stdout.take().expect("its output"), Arc::clone(&said))),
            tokio::spawn(listen(child.stderr.take().expect("its errors"), Arc::clone(&said))),
        ];
        Self { base, child, readers, said, settings, folder }
    }

    /// Waits until it is ready; the error is what it said when it ended instead.
    pub async fn wait_until_ready(&mut self) -> Result<(), Refusal> {
        let http = super::hearth::http();
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the server can be waited for") {
                // What it said last is still being read.
                for reader in self.readers.drain(..) {
                    let _ = timeout(Duration::from_secs(5), reader).await;
                }
                return Err(Refusal { status: Some(status), said: self.said() });
            }
            let ready = http.get(format!("{}/ready", self.base)).timeout(Duration::from_secs(5)).send().await;
            if ready.is_ok_and(|reply| reply.status() == 200) {
                return Ok(());
            }
            if since.elapsed() > START {
                return Err(Refusal { status: None, said: self.said() });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until it is ready again after something was taken away from it.
    pub async fn wait_until_ready_again(&self) {
        let (http, since) = (super::hearth::http(), Instant::now());
        while since.elapsed() < START {
            let ready = http.get(format!("{}/ready", self.base)).timeout(Duration::from_secs(5)).send().await;
            if ready.is_ok_and(|reply| reply.status() == 200) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("it is not ready again: {}", Refusal { status: None, said: self.said() });
    }

    /// Where it listens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the server runs")
    }

    /// How much memory it holds, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Every line it said so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }

    /// The lines it logged as errors, and panics.
    pub fn errors(&self) -> Vec<String> {
        let bad = |line: &String| {
            line.contains(r#""level":"ERROR""#) || line.contains(" ERROR ") || line.contains("panicked at")
        };
        self.said().into_iter().filter(bad).collect()
    }

    /// Asks it to stop, as a service manager does, and waits for the end.
    pub async fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM").await;
        let status = timeout(STOP, self.child.wait()).await.expect("it stops in time").expect("it ran");
        (status, self.said())
    }

    /// Kills it without a word, and its database with it.
    pub async fn kill(mut self) -> (Settings, Arc<TempDir>) {
        self.child.kill().await.expect("it can be killed");
        (self.settings.clone(), Arc::clone(&self.folder))
    }

    /// What another server needs to go on from its files.
    pub fn estate(&self) -> (Settings, Arc<TempDir>) {
        (self.settings.clone(), Arc::clone(&self.folder))
    }

    /// Sends it a signal by its name.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.expect("kill is a program");
        assert!(sent.success(), "a signal can be sent");
    }

    /// Starts another process on this one's database and media.
    pub async fn start_replica(&self) -> Result<Self, Refusal> {
        Self::try_start(self.settings.clone().with_media_of(self)).await
    }

    /// What it was started with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// A server that ended, or hung, instead of starting.
#[derive(Debug)]
pub struct Refusal {
    pub status: Option<ExitStatus>,
    pub said: Vec<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}")?,
            None => write!(f, "it was not ready in time")?,
        }
        let skipped = self.said.len().saturating_sub(20);
        self.said.iter().skip(skipped).try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// A folder that the user who runs the database can pass.
pub fn new_folder() -> TempDir {
    let passable = Permissions::from_mode(0o711);
    let mut builder = tempfile::Builder::new();
    let folder = builder.prefix("hearth-spec-").permissions(passable).tempdir();
    folder.expect("a temporary folder")
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

async fn listen(stream: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        said.lock().unwrap().push(line);
    }
}
