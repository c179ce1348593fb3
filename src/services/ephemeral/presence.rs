//! Presence: who is online, from what their devices do.
//!
//! Each process knows the devices that sync with it, and writes what it sees of a user when that changes. What
//! others are told is worked out from what all processes see; it is an entry of the log only when it changes.

mod board;
mod devices;
mod shown;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hearth_core::grammar::{self, GrammarError};
use hearth_core::id::{Position, UserNid};
use hearth_store::StoreError;
use hearth_store::log::{Change, Proposal};
pub use hearth_store::presence::{Presence, PresenceState};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::board::Board;
use self::devices::{Devices, Seen, Times};
pub use self::shown::Shown;
use crate::accounts::Caller;
use crate::clock;
use crate::log::{Apply, CommitError, Log, Logged, What};
use crate::rooms::RoomReader;

/// Transitions written at the same time: as many as one commit easily takes.
const AT_ONCE: usize = 64;

/// How often a transition is worked out anew because another process was first.
const ATTEMPTS: usize = 5;

/// Bounds of how often devices are looked at for what has become of them.
const SHORTEST_LOOK: Duration = Duration::from_millis(50);
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// How often users are looked for whose process is gone, and how many at a time.
const ABANDONED_EVERY: Duration = Duration::from_secs(5);
const ABANDONED_AT_ONCE: i64 = 1000;

/// The process that does that is another only after this.
const LEASE: Duration = Duration::from_secs(15);

/// When somebody is taken for what.
#[derive(Clone, Copy, Debug)]
pub struct PresenceSettings {
    /// Whether presence is kept at all.
    pub enabled: bool,
    /// One who did something so lately does something right now.
    pub active_for: Duration,
    /// One who did nothing for so long is not at the keyboard.
    pub idle_after: Duration,
    /// A device not heard of for so long is gone.
    pub offline_after: Duration,
}

/// Why presence was not told or taken.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// The two are in no room together.
    #[error("you are in no room with this user")]
    NotShared,
    /// The status message is not what one is.
    #[error(transparent)]
    Status(#[from] GrammarError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Presence. Cheap to clone.
#[derive(Clone)]
pub struct Presences(Arc<Inner>);

struct Inner {
    reader: RoomReader,
    log: Log,
    settings: PresenceSettings,
    devices: Mutex<Devices>,
    board: Mutex<Board>,
    /// A device did something that may be a transition.
    moved: Notify,
}

/// What becomes of a status message.
enum Message {
    /// It stays.
    AsBefore,
    /// This is the message, or there is none.
    Now(Option<String>),
}

/// A sync that waits: as long as it lives, its device is there.
pub struct Poll {
    presences: Presences,
    user: UserNid,
    id: OwnedUserId,
    device: OwnedDeviceId,
}

impl Presences {
    /// The presence of users, kept true by `log`.
    pub async fn new(reader: RoomReader, log: Log, settings: PresenceSettings) -> Result<Self, StoreError> {
        let times = Times {
            active_for: milliseconds(settings.active_for),
            idle_after: milliseconds(settings.idle_after),
            offline_after: milliseconds(settings.offline_after),
        };
        let inner = Arc::new(Inner {
            reader,
            log,
            settings,
            devices: Mutex::new(Devices::new(times)),
            board: Mutex::default(),
            moved: Notify::new(),
        });
        let applied = inner.log.register_from_here(Arc::clone(&inner) as Arc<dyn Apply>).await;
        let present = inner.reader.store.presences().await?;
        inner.board().begin(applied);
        inner.board().fill(present);
        Ok(Self(inner))
    }

    /// Whether presence is kept at all.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.0.settings.enabled
    }

    /// A sync begins that says what its device is to be taken for; one that says offline is none of ours.
    #[must_use]
    pub fn poll(&self, caller: &Caller, state: PresenceState) -> Option<Poll> {
        if !self.is_enabled() || state == PresenceState::Offline {
            return None;
        }
        let (user, id, device) = (caller.user, caller.user_id.clone(), caller.device_id.clone());
        if self.0.devices().poll((user, &id, &device), state, clock::now_ms()) {
            self.0.moved.notify_one();
        }
        Some(Poll { presences: self.clone(), user, id, device })
    }

    /// The caller does something.
    pub fn act(&self, caller: &Caller) {
        if self.is_enabled() {
            let owner = (caller.user, &caller.user_id, &caller.device_id);
            if self.0.devices().act(owner, clock::now_ms()) {
                self.0.moved.notify_one();
            }
        }
    }

    /// The caller says what they are to be taken for, and of it themselves.
    pub async fn set(
        &self,
        caller: &Caller,
        state: PresenceState,
        status: Option<String>,
    ) -> Result<(), PresenceError> {
        let status = status.filter(|status| !status.is_empty());
        if let Some(status) = &status {
            grammar::status_message(status)?;
        }
        if !self.is_enabled() {
            return Ok(());
        }
        let owner = (caller.user, &caller.user_id, &caller.device_id);
        self.0.devices().set(owner, state, clock::now_ms());
        self.0.report(caller.user, &caller.user_id, &Message::Now(status)).await
    }

    /// What a user is told of another's presence.
    pub async fn get(&self, reader: &Caller, of: &UserId) -> Result<Option<Presence>, PresenceError> {
        let user = self.0.reader.interned.known_user(of).await?.ok_or(PresenceError::NotShared)?;
        let store = &self.0.reader.store;
        if user != reader.user && !store.share_a_room(reader.user, user).await? {
            return Err(PresenceError::NotShared);
        }
        if self.is_enabled() { Ok(store.presence(user).await?) } else { Ok(None) }
    }

    /// Those whose presence changed after a position; everybody who is not offline, if there is none.
    pub async fn since(&self, since: Option<Position>) -> Result<Vec<Arc<Shown>>, StoreError> {
        if !self.is_enabled() {
            return Ok(Vec::new());
        }
        let present = if since.is_none() { self.0.board().present() } else { None };
        if let Some(present) = present {
            return Ok(present);
        }
        let store = &self.0.reader.store;
        let read = match since {
            Some(since) => store.presence_changes(since).await?,
            None => store.presences().await?,
        };
        Ok(read.into_iter().map(|presence| Arc::new(presence.into())).collect())
    }

    /// Those of some users whose presence changed after a position; none where memory does not reach back so far.
    #[must_use]
    pub fn changed(&self, users: &[UserNid], since: Position) -> Option<Vec<Arc<Shown>>> {
        self.0.board().changed(users, since)
    }

    /// The presence of a user who is not offline.
    #[must_use]
    pub fn of(&self, user: UserNid) -> Option<Arc<Shown>> {
        self.0.board().of(user).filter(|_| self.is_enabled())
    }

    /// Writes what becomes of users, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let shortest = self.0.settings.offline_after.min(self.0.settings.active_for);
        let look = (shortest.min(self.0.settings.idle_after) / 10).clamp(SHORTEST_LOOK, LONGEST_LOOK);
        let mut lease = self.0.log.lease("presence", LEASE);
        let mut abandoned = tokio::time::interval_at(
            // Whoever was seen by a process before this one has the time to come back.
            tokio::time::Instant::now() + self.0.settings.offline_after,
            ABANDONED_EVERY,
        );
        loop {
            let mut moved_only = false;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.0.moved.notified() => moved_only = true,
                () = tokio::time::sleep(look) => self.0.fill_board().await,
                _ = abandoned.tick() => {
                    if lease.claim().await.is_ok_and(|held| held.is_some()) {
                        self.0.report_abandoned().await;
                    }
                }
            }
            let untold = self.0.devices().untold(clock::now_ms(), moved_only);
            self.0.report_all(untold).await;
        }
        // It expires by itself where the database is gone already.
        let _ = lease.release().await;
    }
}

impl Poll {
    /// Waits until others can be told that the device is there.
    pub async fn told(&self) {
        let inner = &self.presences.0;
        if !inner.devices().has_news(self.user, clock::now_ms()) {
            return;
        }
        if let Err(error) = inner.report(self.user, &self.id, &Message::AsBefore).await {
            tracing::debug!(%error, user.id = %self.id, "a presence was not written; trying again");
        }
    }
}

impl Inner {
    fn devices(&self) -> MutexGuard<'_, Devices> {
        // Nothing in here panics half-way through a change.
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the board after entries of the log were missed.
    async fn fill_board(&self) {
        if self.board().is_filled() {
            return;
        }
        match self.reader.store.presences().await {
            Ok(present) => self.board().fill(present),
            Err(error) => tracing::debug!(%error, "presences were not read; trying again"),
        }
    }

    async fn report_all(&self, users: Vec<(UserNid, OwnedUserId)>) {
        stream::iter(users)
            .for_each_concurrent(AT_ONCE, |(user, id)| async move {
                // What was not told is found again at the next look.
                if let Err(error) = self.report(user, &id, &Message::AsBefore).await {
                    tracing::debug!(%error, user.id = %id, "a presence was not written; trying again");
                }
            })
            .await;
    }

    /// Users whose process is gone.
    async fn report_abandoned(&self) {
        let found = async {
            let users = self.reader.store.abandoned_presences(ABANDONED_AT_ONCE).await?;
            let ids = self.reader.interned.user_ids(&users).await?;
            Ok::<_, StoreError>(users.into_iter().zip(ids).collect())
        };
        match found.await {
            Ok(users) => self.report_all(users).await,
            Err(error) => tracing::debug!(%error, "abandoned presences were not read; trying again"),
        }
    }

    /// Writes what is seen of a user, where it says something new.
    async fn report(&self, user: UserNid, id: &OwnedUserId, status: &Message) -> Result<(), PresenceError> {
        for _ in 0..ATTEMPTS {
            let seen = self.devices().seen(user, clock::now_ms());
            let Some(change) = self.transition((user, id), seen, status).await? else {
                self.devices().told(user, seen);
                return Ok(());
            };
            match self.log.commit(Proposal::change(change)).await {
                Ok(_) => {
                    self.devices().told(user, seen);
                    return Ok(());
                }
                // Another process was first.
                Err(CommitError::Absent) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommitError::Busy.into())
    }

    /// What is to be written of a user; nothing, where it is written already.
    async fn transition(
        &self,
        (user, id): (UserNid, &OwnedUserId),
        seen: Seen,
        status: &Message,
    ) -> Result<Option<Change>, StoreError> {
        let before = self.reader.store.presence(user).await?;
        let sessions = self.reader.store.presence_sessions(user).await?;
        let process = self.log.incarnation();
        let (own, others): (Vec<_>, Vec<_>) = sessions.into_iter().partition(|s| s.incarnation == process);
        // That they are busy a user says of themselves, and what they said last counts, at whichever process.
        let said = matches!(status, Message::Now(_)) && seen.state != PresenceState::Busy;
        let (live, gone): (Vec<_>, Vec<_>) = others
            .into_iter()
            .partition(|session| session.lives && !(said && session.state == PresenceState::Busy));
        let state = live.iter().map(|session| session.state).fold(seen.state, Ord::max);
        let last_active = live.iter().map(|session| session.last_active_ts).fold(seen.last_active, Ord::max);
        let last_active =
            before.as_ref().map_or(last_active, |before| last_active.max(before.last_active_ts));
        let active = clock::now_ms() - last_active < milliseconds(self.settings.active_for);
        let currently_active = state == PresenceState::Online && active;
        let status_before = before.as_ref().and_then(|before| before.status_msg.clone());
        let status_msg = match status {
            Message::AsBefore => status_before.clone(),
            Message::Now(message) => message.clone(),
        };
        let told = before
            .as_ref()
            .map_or((PresenceState::Offline, false), |before| (before.state, before.currently_active));
        let recorded = own.first().map_or(PresenceState::Offline, |session| session.state);
        if told == (state, currently_active)
            && status_before == status_msg
            && recorded == seen.state
            && gone.is_empty()
        {
            return Ok(None);
        }
        Ok(Some(Change::SetPresence {
            user,
            user_id: id.to_string(),
            presence: state,
            status_msg,
            last_active_ts: last_active,
            currently_active,
            base: before.map_or(Position::ZERO, |before| before.pos),
            process,
            seen: seen.state,
            seen_active_ts: seen.last_active,
            gone: gone.into_iter().map(|session| session.incarnation).collect(),
        }))
    }
}

impl Drop for Poll {
    fn drop(&mut self) {
        let owner = (self.user, &self.id, &self.device);
        self.presences.0.devices().end_poll(owner, clock::now_ms());
    }
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        let mut board = self.board();
        board.begin(entry.pos.previous());
        if let What::Change(change) = &entry.what {
            board.hear(entry.pos, change);
            drop(board);
            if let Change::SetPresence { user, presence, process, .. } = change
                && *process != self.log.incarnation()
                && *presence != PresenceState::Busy
            {
                self.devices().no_longer_busy(*user);
            }
        }
    }

    fn reset(&self) {
        *self.board() = Board::default();
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
