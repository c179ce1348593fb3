//! From the signal to stop to the last byte: signals, and the order in which things end.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The stages of the end, each cancelled in its turn.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    /// Long polls are answered, and connections end with their request. New ones are still accepted, so that
    /// load balancers hear from `/ready` what happens.
    pub(crate) draining: CancellationToken,
    /// No new connections.
    pub(crate) closing: CancellationToken,
    /// No requests any more: what waits is written, and tasks end.
    pub(crate) stopping: CancellationToken,
}

/// What a process is told by signals.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM or ^C.
    Stop,
    /// SIGHUP.
    Reload,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Waits until the process is told to stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }
}
