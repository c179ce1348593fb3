//! The thread that is PostgreSQL's parent.
//!
//! The parent-death signal follows the *thread* that forked, so that thread must live as long as the process:
//! none of the runtime's. It waits for its child, and starts it again when it ended without being told to.

use std::process::{Child, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::error::PrivatePostgresError;

/// Waits between two starts of a database that keeps ending: doubled from the first to the last.
const RESTART_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// A database that ran this long is not one that keeps ending.
const STEADY: Duration = Duration::from_mins(1);

/// How long a stop may take before it is made without a checkpoint, and then by force.
const STOPS: [(Signal, Duration); 3] = [
    (Signal::SIGINT, Duration::from_secs(20)),
    (Signal::SIGQUIT, Duration::from_secs(3)),
    (Signal::SIGKILL, Duration::from_secs(3)),
];

/// Our hold on the running database.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    child: Option<Pid>,
    /// It answered once: from then on it is started again when it ends.
    answered: bool,
    stopping: bool,
    /// The thread is done; how its last child ended.
    ended: Option<String>,
}

impl Keeper {
    /// Starts the database on a thread of its own. What `prepare` returns is kept until the thread ends.
    pub(super) async fn start<P, L>(prepare: P) -> Result<(Self, Cluster), PrivatePostgresError>
    where
        P: FnOnce() -> Result<(Cluster, L), PrivatePostgresError> + Send + 'static,
        L: Send + 'static,
    {
        let keeper = Self { shared: Arc::default() };
        let (started, hear) = oneshot::channel();
        let shared = Arc::clone(&keeper.shared);
        thread::Builder::new()
            .name("postgres-parent".to_owned())
            .spawn(move || {
                let first = prepare().and_then(|(cluster, locks)| Ok((spawn(&cluster)?, cluster, locks)));
                match first {
                    Ok((child, cluster, _locks)) => {
                        shared.lock().child = Some(pid(&child));
                        // A starter that is gone has dropped the keeper as well, which stops the child.
                        let _ = started.send(Ok(cluster.clone()));
                        keep(&shared, &cluster, child);
                    }
                    Err(error) => {
                        shared.end(error.to_string());
                        let _ = started.send(Err(error));
                    }
                }
            })
            .map_err(|source| PrivatePostgresError::Io {
                doing: "start a thread for",
                path: "postgres".into(),
                source,
            })?;
        match hear.await {
            Ok(started) => Ok((keeper, started?)),
            Err(_) => Err(PrivatePostgresError::Program {
                program: "postgres",
                status: "its thread ended".to_owned(),
                message: String::new(),
            }),
        }
    }

    /// Notes that the database answered: from now on it is started again whenever it ends.
    pub(super) fn answered(&self) {
        self.shared.lock().answered = true;
    }

    /// How it ended, once it will not be started again.
    pub(super) fn ended(&self) -> Option<String> {
        self.shared.lock().ended.clone()
    }

    /// The postmaster's process id, while there is one.
    pub(super) fn pid(&self) -> Option<i32> {
        self.shared.lock().child.map(Pid::as_raw)
    }

    /// Asks the database to shut down, without waiting.
    pub(super) fn ask_to_stop(&self) {
        let mut state = self.shared.lock();
        state.stopping = true;
        signal(&state, Signal::SIGINT);
        self.shared.changed.notify_all();
    }

    /// Shuts the database down and waits for its end. Blocks for as long as that takes.
    pub(super) fn stop(&self) {
        self.ask_to_stop();
        for (how, patience) in STOPS {
            let state = self.shared.lock();
            signal(&state, how);
            let (state, _) = self
                .shared
                .changed
                .wait_timeout_while(state, patience, |state| state.ended.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            if state.ended.is_some() {
                return;
            }
            tracing::warn!("PostgreSQL did not end within {} s of {how}", patience.as_secs());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves these plain values as good as they were.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: String) {
        self.lock().ended = Some(how);
        self.changed.notify_all();
    }

    /// Waits unless the database is to stop meanwhile; says whether it is.
    fn pause(&self, pause: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.stopping);
        waited.unwrap_or_else(PoisonError::into_inner).0.stopping
    }
}

/// Waits for the child, and for the next one, until it ended because it was told to.
fn keep(shared: &Shared, cluster: &Cluster, mut child: Child) {
    let mut pause = RESTART_PAUSE.0;
    loop {
        let since = Instant::now();
        let how = reap(shared, &mut child);
        if since.elapsed() > STEADY {
            pause = RESTART_PAUSE.0;
        }
        let state = shared.lock();
        let (stopping, answered) = (state.stopping, state.answered);
        drop(state);
        if stopping || !answered {
            return shared.end(how);
        }
        tracing::error!("PostgreSQL ended by itself ({how}); starting it again");
        child = loop {
            if shared.pause(pause) {
                return shared.end(how);
            }
            pause = (pause * 2).min(RESTART_PAUSE.1);
            match cluster.clear().and_then(|()| spawn(cluster)) {
                Ok(child) => break child,
                Err(error) => tracing::error!("cannot start PostgreSQL again: {error}"),
            }
        };
        let mut state = shared.lock();
        state.child = Some(pid(&child));
        if state.stopping {
            signal(&state, Signal::SIGINT);
        }
    }
}

/// Waits for the child's end. Its process id is forgotten before it can become somebody else's.
fn reap(shared: &Shared, child: &mut Child) -> String {
    // Any failure means that there is nothing to wait for.
    let _ = waitid(Id::Pid(pid(child)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
    let mut state = shared.lock();
    state.child = None;
    child.wait().map_or_else(|error| error.to_string(), describe)
}

fn describe(status: ExitStatus) -> String {
    status.to_string()
}

fn spawn(cluster: &Cluster) -> Result<Child, PrivatePostgresError> {
    cluster.postgres()?.spawn().map_err(|source| PrivatePostgresError::Io {
        doing: "start",
        path: cluster.launcher.exe.clone(),
        source,
    })
}

fn signal(state: &State, signal: Signal) {
    if let Some(pid) = state.child {
        // One that has just ended needs no signal.
        let _ = kill(pid, signal);
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX))
}
