//! How many uploads of a user are under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hearth_core::id::UserNid;

use crate::media::MediaError;

/// Uploads of one user at a time: what a client sends a folder with, and no more than the memory of that many pieces.
const MOST: usize = 64;

/// The uploads under way, by user.
#[derive(Default)]
pub(in crate::media) struct Underway(Arc<Mutex<HashMap<UserNid, usize>>>);

/// An upload's place among those of its user.
pub(super) struct Place {
    underway: Arc<Mutex<HashMap<UserNid, usize>>>,
    user: UserNid,
}

impl Underway {
    /// Takes a place, where the user has one left.
    pub(super) fn enter(&self, user: UserNid) -> Result<Place, MediaError> {
        let mut underway = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = underway.entry(user).or_default();
        if *count >= MOST {
            return Err(MediaError::Busy);
        }
        *count += 1;
        Ok(Place { underway: Arc::clone(&self.0), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut underway = self.underway.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = underway.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                underway.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_so_many_places_and_gets_them_back() {
        let underway = Underway::default();
        let (alice, bob) = (UserNid::new(1), UserNid::new(2));
        let places: Vec<Place> = (0..MOST).map(|_| underway.enter(alice).unwrap()).collect();
        assert!(underway.enter(alice).is_err() && underway.enter(bob).is_ok());
        drop(places);
        assert!(underway.enter(alice).is_ok() && underway.0.lock().unwrap().is_empty());
    }
}
