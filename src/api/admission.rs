//! How many requests are worked on at a time. More would only make each other slow: they are refused, so that those
//! which are admitted are answered as fast as ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// How long a request waits for a turn: long enough for a burst to pass, and too short to be noticed.
const WAIT: Duration = Duration::from_millis(100);

/// Requests that may wait for a turn, for each turn there is.
const WAITING: usize = 4;

/// Passwords that may wait to be hashed: some seconds of it.
const PASSWORDS: usize = 128;

/// Where a request waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// It does not: it waits most of the time, or is asked for by those who look after the server.
    None,
    /// With most others.
    Main,
    /// With those that anybody can send and that wait for a password to be hashed, so that no number of them keeps
    /// the others waiting.
    Passwords,
}

/// Turns at being worked on. Syncs have none: they wait, and have bounds of their own.
#[derive(Debug)]
pub struct Admission {
    main: Queue,
    passwords: Queue,
}

#[derive(Clone, Debug)]
struct Queue {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

/// The turn of a request. It is laid down while the request waits for its client.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    queue: Queue,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Admission {
    /// So many at a time, beside those that wait for a password.
    #[must_use]
    pub fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self { main: Queue::new(most), passwords: Queue::new(PASSWORDS) }
    }

    /// Takes a turn where the line has any, or finds none in time.
    pub(crate) async fn enter(&self, line: Line) -> Result<Option<Turn>> {
        let queue = match line {
            Line::None => return Ok(None),
            Line::Main => &self.main,
            Line::Passwords => &self.passwords,
        };
        let permit = Arc::new(Mutex::new(Some(queue.wait().await?)));
        Ok(Some(Turn { queue: queue.clone(), permit }))
    }
}

impl Queue {
    fn new(turns: usize) -> Self {
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self { turns: semaphore(turns), waiting: semaphore(turns.saturating_mul(WAITING)) }
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| Error::overloaded())?;
        let permit = tokio::time::timeout(WAIT, Arc::clone(&self.turns).acquire_owned()).await;
        // It is never closed.
        permit.ok().and_then(std::result::Result::ok).ok_or_else(Error::overloaded)
    }
}

impl Turn {
    /// Lays it down: others may be worked on.
    pub(crate) fn pause(&self) {
        self.set(None);
    }

    /// Takes it up again, if it was laid down.
    pub(crate) async fn resume(&self) -> Result<()> {
        let held = self.permit.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !held {
            self.set(Some(self.queue.wait().await?));
        }
        Ok(())
    }

    fn set(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_free_for_others_while_it_is_laid_down() {
        let admission = Admission::new(1);
        let first = admission.enter(Line::Main).await.unwrap().unwrap();
        assert!(admission.enter(Line::Main).await.is_err());
        first.pause();
        let second = admission.enter(Line::Main).await.unwrap();
        assert!(first.resume().await.is_err());
        drop(second);
        assert!(first.resume().await.is_ok() && first.resume().await.is_ok());
    }

    #[tokio::test]
    async fn passwords_keep_nobody_else_waiting() {
        let admission = Admission::new(1);
        let mut passwords = Vec::new();
        for _ in 0..PASSWORDS {
            passwords.push(admission.enter(Line::Passwords).await.unwrap());
        }
        assert!(admission.enter(Line::Passwords).await.is_err());
        assert!(admission.enter(Line::Main).await.is_ok());
        assert!(admission.enter(Line::None).await.unwrap().is_none());
    }
}
