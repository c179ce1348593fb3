//! Receipts and read markers: how far everybody has read.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hearth_core::id::{Position, RoomNid, UserNid};
use hearth_core::relation::MAIN;
use hearth_store::StoreError;
use hearth_store::event::StoredEvent;
use hearth_store::log::{Change, Proposal};
pub use hearth_store::receipt::{Receipt, ReceiptKind};
use ruma::{EventId, RoomId, UserId};

use crate::account_data::{AccountData, AccountDataError};
use crate::clock;
use crate::log::{Apply, CommitError, Log, Logged, What};
use crate::rooms::sight::Sight;
use crate::rooms::viewer::Viewer;
use crate::rooms::{RoomError, RoomReader};

/// Receipts kept in memory, some hundred bytes each: what a busy server hears within minutes.
const MAX_RECENT: usize = 50_000;

/// Why a receipt was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The thread is not the one that the event is in.
    #[error("the event is not in that thread")]
    WrongThread,
    /// The room is not one that the user is in.
    #[error(transparent)]
    Room(#[from] RoomError),
    /// The marker could not be kept.
    #[error(transparent)]
    Marker(#[from] AccountDataError),
    /// The log did not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Receipts. Cheap to clone.
#[derive(Clone)]
pub struct Receipts(Arc<Inner>);

struct Inner {
    reader: RoomReader,
    log: Log,
    account_data: AccountData,
    recent: Mutex<Recent>,
}

/// The receipts above a position; nothing is known to be complete where there is none.
#[derive(Default)]
struct Recent {
    floor: Option<Position>,
    order: VecDeque<Arc<Receipt>>,
    rooms: HashMap<RoomNid, VecDeque<Arc<Receipt>>>,
}

impl Receipts {
    /// The receipts of rooms, kept true by `log`.
    pub async fn new(reader: RoomReader, log: Log, account_data: AccountData) -> Self {
        let inner = Arc::new(Inner { reader, log, account_data, recent: Mutex::default() });
        let applied = inner.log.register_from_here(Arc::clone(&inner) as Arc<dyn Apply>).await;
        inner.lock().floor.get_or_insert(applied);
        Self(inner)
    }

    /// Takes note of how far a user has read. A receipt that is not ahead of the one there was, or for an event
    /// that is not known, moves nothing.
    pub async fn read(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        kind: ReceiptKind,
        (event, thread): (&EventId, Option<&str>),
    ) -> Result<(), ReceiptError> {
        let sight = self.0.reader.member_sight(viewer, room).await?;
        let Some(event) = self.0.event(&sight, event).await? else { return Ok(()) };
        if let Some(thread) = thread
            && !self.0.is_in_thread(&event, thread).await?
        {
            return Err(ReceiptError::WrongThread);
        }
        let Some(place) = event.place else { return Ok(()) };
        let change = Change::SetReceipt {
            user: viewer.user,
            user_id: viewer.id.to_string(),
            room: sight.room.nid,
            kind,
            thread: thread.unwrap_or_default().to_owned(),
            event: event.nid,
            event_id: event.pdu.event_id().to_string(),
            anchor: place.anchor,
            sub: place.sub,
            ts: clock::now_ms(),
        };
        match self.0.log.commit(Proposal::change(change)).await {
            Ok(_) | Err(CommitError::Absent) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the marker that shows a user where to read on: account data of the room. It moves forward only.
    pub async fn mark_fully_read(
        &self,
        viewer: &Viewer,
        room: &RoomId,
        event: &EventId,
    ) -> Result<(), ReceiptError> {
        let sight = self.0.reader.member_sight(viewer, room).await?;
        let Some(event) = self.0.event(&sight, event).await? else { return Ok(()) };
        let user = viewer.user;
        if let Some(marked) = self.0.account_data.fully_read(user, sight.room.nid).await?
            && let Some(marked) = self.0.event(&sight, &marked).await?
            && marked.place >= event.place
        {
            return Ok(());
        }
        self.0.account_data.set_fully_read(user, sight.room.nid, event.pdu.event_id().clone()).await?;
        Ok(())
    }

    /// The receipts in rooms that moved after the position given for each, as far as a reader is told, the
    /// newest of each kind and thread and user; no statement where they are recent.
    pub async fn since(
        &self,
        reader: UserNid,
        rooms: &[(RoomNid, Position)],
    ) -> Result<HashMap<RoomNid, Vec<Arc<Receipt>>>, StoreError> {
        let (mut found, mut asked) = (HashMap::new(), Vec::new());
        {
            let recent = self.0.lock();
            for &(room, since) in rooms {
                match recent.since(reader, room, since) {
                    Some(receipts) if receipts.is_empty() => {}
                    Some(receipts) => drop(found.insert(room, receipts)),
                    None => asked.push((room, since)),
                }
            }
        }
        if !asked.is_empty() {
            for receipt in self.0.reader.store.receipts_since(reader, &asked).await? {
                found.entry(receipt.room).or_default().push(Arc::new(receipt));
            }
        }
        Ok(found)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Recent> {
        // Nothing in here panics half-way through a change.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The event of this id, if it is one of the room's.
    async fn event(&self, sight: &Sight, id: &EventId) -> Result<Option<Arc<StoredEvent>>, StoreError> {
        let event = self.reader.events.by_id(id).await?;
        Ok(event.filter(|event| event.room == sight.room.nid && event.place.is_some()))
    }

    /// > the thread … must be `main` or the event's own.
    async fn is_in_thread(&self, event: &StoredEvent, thread: &str) -> Result<bool, StoreError> {
        let root = self.reader.thread_of(event.room, &event.pdu).await?;
        Ok(root.as_ref().map_or(MAIN, |root| root.as_str()) == thread)
    }
}

impl Recent {
    fn push(&mut self, receipt: Receipt) {
        let receipt = Arc::new(receipt);
        self.rooms.entry(receipt.room).or_default().push_back(Arc::clone(&receipt));
        self.order.push_back(receipt);
        if self.order.len() > MAX_RECENT {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.order.pop_front() else { return };
        self.floor = Some(oldest.pos);
        if let Some(of_room) = self.rooms.get_mut(&oldest.room) {
            of_room.pop_front();
            if of_room.is_empty() {
                self.rooms.remove(&oldest.room);
            }
        }
    }

    /// What a reader is told of a room since a position; none where memory does not reach back so far.
    fn since(&self, reader: UserNid, room: RoomNid, since: Position) -> Option<Vec<Arc<Receipt>>> {
        if self.floor.is_none_or(|floor| since < floor) {
            return None;
        }
        let mut told: Vec<Arc<Receipt>> = Vec::new();
        let mut keys = HashSet::new();
        for receipt in self.rooms.get(&room).into_iter().flatten().rev() {
            if receipt.pos <= since {
                break;
            }
            let wanted = receipt.kind == ReceiptKind::Public || receipt.user == reader;
            if wanted && keys.insert((receipt.user, receipt.kind, &receipt.thread)) {
                told.push(Arc::clone(receipt));
            }
        }
        told.reverse();
        Some(told)
    }
}

impl Apply for Inner {
    fn apply(&self, entry: &Logged) {
        let mut recent = self.lock();
        recent.floor.get_or_insert(entry.pos.previous());
        if let What::Change(change) = &entry.what
            && let Some(receipt) = receipt(entry.pos, change)
        {
            recent.push(receipt);
        }
    }

    fn reset(&self) {
        *self.lock() = Recent::default();
    }
}

/// The receipt that an entry of the log tells of.
fn receipt(pos: Position, change: &Change) -> Option<Receipt> {
    let Change::SetReceipt { user, user_id, room, kind, thread, event_id, ts, .. } = change else {
        return None;
    };
    Some(Receipt {
        user: *user,
        user_id: UserId::parse(&**user_id).ok()?,
        room: *room,
        kind: *kind,
        thread: thread.clone(),
        event_id: EventId::parse(&**event_id).ok()?,
        ts: *ts,
        pos,
    })
}
