//! What this process sees of users' devices.

use std::collections::{HashMap, HashSet};

use hearth_core::id::UserNid;
use hearth_store::presence::PresenceState;
use ruma::{OwnedDeviceId, OwnedUserId};

/// When somebody is taken for what, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// One who did something so lately does something right now.
    pub(super) active_for: i64,
    /// One who did nothing for so long is not at the keyboard.
    pub(super) idle_after: i64,
    /// A device not heard of for so long is gone.
    pub(super) offline_after: i64,
}

/// A user's device.
#[derive(Clone, Copy, Debug)]
struct Device {
    /// What it says of itself.
    state: PresenceState,
    /// Syncs that wait.
    polls: u32,
    /// When it was last heard of, milliseconds since the epoch.
    last_seen: i64,
    /// When its user last did something with it.
    last_active: i64,
}

/// What the devices make of their user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) state: PresenceState,
    pub(super) last_active: i64,
    pub(super) currently_active: bool,
}

impl Seen {
    /// Nothing is seen of the user.
    pub(super) const NOTHING: Self =
        Self { state: PresenceState::Offline, last_active: 0, currently_active: false };
}

/// The devices of a user.
#[derive(Debug)]
struct Watched {
    id: OwnedUserId,
    devices: HashMap<OwnedDeviceId, Device>,
    /// What was last reported of them.
    told: Option<(PresenceState, bool)>,
}

/// The devices that this process sees.
#[derive(Debug)]
pub(super) struct Devices {
    times: Times,
    users: HashMap<UserNid, Watched>,
    /// Users whose devices did something that may be a transition.
    moved: HashSet<UserNid>,
}

/// Whose device.
pub(super) type Owner<'a> = (UserNid, &'a OwnedUserId, &'a OwnedDeviceId);

impl Devices {
    pub(super) fn new(times: Times) -> Self {
        Self { times, users: HashMap::new(), moved: HashSet::new() }
    }

    /// A sync begins, and says what its device is to be taken for. Says whether that may be a transition.
    pub(super) fn poll(&mut self, owner: Owner<'_>, state: PresenceState, now: i64) -> bool {
        let times = self.times;
        let device = self.device(owner, now);
        // Clients go on to sync as online; that one is busy their user said.
        let stays_busy = device.state == PresenceState::Busy && device.is_there(times, now);
        let state = if stays_busy && state == PresenceState::Online { PresenceState::Busy } else { state };
        let moved = device.state != state || !device.is_there(times, now);
        if state == PresenceState::Online && moved {
            device.last_active = now;
        }
        device.state = state;
        device.polls += 1;
        device.last_seen = now;
        if moved {
            self.moved.insert(owner.0);
        }
        moved
    }

    /// A sync ends.
    pub(super) fn end_poll(&mut self, (user, _, device): Owner<'_>, now: i64) {
        let device = self.users.get_mut(&user).and_then(|watched| watched.devices.get_mut(device));
        if let Some(device) = device {
            device.polls = device.polls.saturating_sub(1);
            device.last_seen = now;
        }
    }

    /// The user does something. A device that was not heard of says nothing by that alone. Says whether that may
    /// be a transition.
    pub(super) fn act(&mut self, (user, _, device): Owner<'_>, now: i64) -> bool {
        let Some(watched) = self.users.get_mut(&user) else { return false };
        let Some(device) = watched.devices.get_mut(device) else { return false };
        device.last_active = now;
        device.last_seen = now;
        let moved = !watched.told.is_some_and(|(_, currently_active)| currently_active);
        if moved {
            self.moved.insert(user);
        }
        moved
    }

    /// The user says what they are to be taken for.
    pub(super) fn set(&mut self, owner: Owner<'_>, state: PresenceState, now: i64) {
        let device = self.device(owner, now);
        device.state = state;
        device.last_seen = now;
        if state == PresenceState::Online {
            device.last_active = now;
        }
    }

    /// The user said elsewhere that they are not busy, after that was told of them here.
    pub(super) fn no_longer_busy(&mut self, user: UserNid) {
        let Some(watched) = self.users.get_mut(&user) else { return };
        if !matches!(watched.told, Some((PresenceState::Busy, _))) {
            return;
        }
        for device in watched.devices.values_mut().filter(|device| device.state == PresenceState::Busy) {
            device.state = PresenceState::Online;
        }
        self.moved.insert(user);
    }

    /// What is seen of a user.
    pub(super) fn seen(&self, user: UserNid, now: i64) -> Seen {
        self.users.get(&user).map_or(Seen::NOTHING, |watched| watched.seen(self.times, now))
    }

    /// Whether something else is seen of a user than what was told.
    pub(super) fn has_news(&self, user: UserNid, now: i64) -> bool {
        self.users.get(&user).is_some_and(|watched| watched.has_news(self.times, now))
    }

    /// Of whom something else is seen than what was told: of all, or of those who may have made a transition.
    pub(super) fn untold(&mut self, now: i64, moved_only: bool) -> Vec<(UserNid, OwnedUserId)> {
        let times = self.times;
        let moved = std::mem::take(&mut self.moved);
        if moved_only {
            let found = moved.into_iter().filter_map(|user| Some((user, self.users.get(&user)?)));
            let untold = found.filter(|(_, watched)| watched.has_news(times, now));
            return untold.map(|(user, watched)| (user, watched.id.clone())).collect();
        }
        let mut untold = Vec::new();
        self.users.retain(|user, watched| {
            watched.devices.retain(|_, device| device.is_there(times, now));
            let news = watched.has_news(times, now);
            if news {
                untold.push((*user, watched.id.clone()));
            }
            news || !watched.devices.is_empty()
        });
        untold
    }

    /// What is seen of a user was told.
    pub(super) fn told(&mut self, user: UserNid, seen: Seen) {
        if let Some(watched) = self.users.get_mut(&user) {
            watched.told = Some((seen.state, seen.currently_active));
        }
    }

    fn device(&mut self, (user, id, device): Owner<'_>, now: i64) -> &mut Device {
        let watched = self.users.entry(user).or_insert_with(|| Watched {
            id: id.clone(),
            devices: HashMap::new(),
            told: None,
        });
        watched.devices.entry(device.clone()).or_insert(Device {
            state: PresenceState::Offline,
            polls: 0,
            last_seen: now,
            last_active: 0,
        })
    }
}

impl Watched {
    fn has_news(&self, times: Times, now: i64) -> bool {
        let seen = self.seen(times, now);
        self.told != Some((seen.state, seen.currently_active))
    }

    fn seen(&self, times: Times, now: i64) -> Seen {
        let there = || self.devices.values().filter(|device| device.is_there(times, now));
        let state = there().map(|device| device.state(times, now)).max().unwrap_or(PresenceState::Offline);
        let last_active = there().map(|device| device.last_active).max().unwrap_or_default();
        let currently_active = state == PresenceState::Online && now - last_active < times.active_for;
        Seen { state, last_active, currently_active }
    }
}

impl Device {
    const fn is_there(&self, times: Times, now: i64) -> bool {
        self.polls > 0 || now - self.last_seen < times.offline_after
    }

    fn state(&self, times: Times, now: i64) -> PresenceState {
        if self.state == PresenceState::Online && now - self.last_active >= times.idle_after {
            PresenceState::Unavailable
        } else {
            self.state
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::owned_user_id;

    use super::*;

    const TIMES: Times = Times { active_for: 60, idle_after: 300, offline_after: 30 };
    const USER: UserNid = UserNid::new(1);

    fn devices() -> (Devices, OwnedUserId, OwnedDeviceId, OwnedDeviceId) {
        (Devices::new(TIMES), owned_user_id!("@u:d"), "PHONE".into(), "DESK".into())
    }

    fn states(devices: &Devices, times: &[i64]) -> Vec<(&'static str, bool)> {
        let seen = times.iter().map(|now| devices.seen(USER, *now));
        seen.map(|seen| (seen.state.name(), seen.currently_active)).collect()
    }

    #[test]
    fn one_who_waits_is_online_then_idle_and_offline_some_time_after_the_end() {
        let (mut devices, id, phone, _) = devices();
        devices.poll((USER, &id, &phone), PresenceState::Online, 1000);
        let seen = states(&devices, &[1000, 1059, 1060, 1299, 1300]);
        let expected = [
            ("online", true),
            ("online", true),
            ("online", false),
            ("online", false),
            ("unavailable", false),
        ];
        assert_eq!(seen, expected);
        devices.act((USER, &id, &phone), 1400);
        devices.end_poll((USER, &id, &phone), 1410);
        assert_eq!(states(&devices, &[1439, 1440]), [("online", true), ("offline", false)]);
    }

    #[test]
    fn waiting_again_is_no_activity_but_coming_back_is() {
        let (mut devices, id, phone, _) = devices();
        devices.poll((USER, &id, &phone), PresenceState::Online, 1000);
        devices.end_poll((USER, &id, &phone), 1320);
        devices.poll((USER, &id, &phone), PresenceState::Online, 1321);
        assert_eq!(states(&devices, &[1322]), [("unavailable", false)]);
        devices.end_poll((USER, &id, &phone), 1330);
        devices.poll((USER, &id, &phone), PresenceState::Online, 1400);
        assert_eq!(states(&devices, &[1401]), [("online", true)]);
    }

    #[test]
    fn the_device_where_there_is_most_of_the_user_counts() {
        let (mut devices, id, phone, desk) = devices();
        devices.poll((USER, &id, &phone), PresenceState::Unavailable, 1000);
        assert_eq!(states(&devices, &[1001]), [("unavailable", false)]);
        devices.poll((USER, &id, &desk), PresenceState::Online, 1002);
        assert_eq!(states(&devices, &[1003]), [("online", true)]);
        devices.end_poll((USER, &id, &desk), 1004);
        assert_eq!(states(&devices, &[1033, 1034]), [("online", true), ("unavailable", false)]);
    }

    #[test]
    fn who_is_busy_stays_so_until_they_say_otherwise_or_are_gone() {
        let (mut devices, id, phone, desk) = devices();
        let (phone, desk) = ((USER, &id, &phone), (USER, &id, &desk));
        devices.poll(phone, PresenceState::Online, 1000);
        devices.set(phone, PresenceState::Busy, 1001);
        devices.poll(phone, PresenceState::Online, 1002);
        devices.poll(desk, PresenceState::Online, 1003);
        assert_eq!(states(&devices, &[1004, 2000]), [("org.matrix.msc3026.busy", false); 2]);
        devices.set(phone, PresenceState::Online, 2001);
        assert_eq!(states(&devices, &[2002]), [("online", true)]);
        devices.set(phone, PresenceState::Busy, 2003);
        devices.end_poll(phone, 2004);
        devices.end_poll(phone, 2004);
        devices.poll(phone, PresenceState::Online, 2100);
        assert_eq!(states(&devices, &[2101]), [("online", true)]);
    }

    #[test]
    fn what_was_told_is_not_told_again() {
        let (mut devices, id, phone, _) = devices();
        let untold = |devices: &mut Devices, now| {
            let untold = devices.untold(now, false);
            devices.told(USER, devices.seen(USER, now));
            untold.len()
        };
        assert!(devices.poll((USER, &id, &phone), PresenceState::Online, 1000));
        assert!(!devices.poll((USER, &id, &phone), PresenceState::Online, 1000));
        assert_eq!(devices.untold(1001, true).len(), 1);
        let told = [1001, 1002, 1060, 1061].map(|now| untold(&mut devices, now));
        assert_eq!(told, [1, 0, 1, 0]);
        assert!(devices.act((USER, &id, &phone), 1062));
        devices.end_poll((USER, &id, &phone), 1063);
        devices.end_poll((USER, &id, &phone), 1063);
        assert_eq!([1064, 1093, 1094].map(|now| untold(&mut devices, now)), [1, 1, 0]);
        assert!(devices.users.is_empty());
    }
}
