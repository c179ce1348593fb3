//! How many requests are worked on at a time. More would only make each other slow: they are refused at once,
//! so that those which are admitted are answered as fast as ever.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Error, Result};

/// Turns at being worked on. Syncs have none: they wait, and have bounds of their own.
#[derive(Debug)]
pub struct Admission(Arc<Semaphore>);

/// The turn of a request. It is laid down while the request waits for its client.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    turns: Arc<Semaphore>,
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Admission {
    /// So many at a time.
    #[must_use]
    pub fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(most)))
    }

    /// Takes a turn, if there is one.
    pub(crate) fn enter(&self) -> Result<Turn> {
        let turn = Turn { turns: Arc::clone(&self.0), permit: Arc::default() };
        turn.resume()?;
        Ok(turn)
    }
}

impl Turn {
    /// Lays it down: others may be worked on.
    pub(crate) fn pause(&self) {
        *self.permit.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Takes it up again, if there is one left.
    pub(crate) fn resume(&self) -> Result<()> {
        let mut permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if permit.is_none() {
            let taken = Arc::clone(&self.turns).try_acquire_owned();
            *permit = Some(taken.map_err(|_| Error::overloaded())?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_free_for_others_while_it_is_laid_down() {
        let admission = Admission::new(1);
        let first = admission.enter().unwrap();
        assert!(admission.enter().is_err());
        first.pause();
        let second = admission.enter().unwrap();
        assert!(first.resume().is_err());
        drop(second);
        assert!(first.resume().is_ok() && first.resume().is_ok());
    }
}
