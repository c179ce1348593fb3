//! What is told beside rooms: account data, receipts, who types.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use hearth_core::id::{Position, RoomNid};
use hearth_store::StoreError;
use hearth_store::account_data::{AccountData, GLOBAL};
use ruma::OwnedUserId;

use super::answer::{Asked, Look, Looks};
use super::known::{ACCOUNT_DATA, RECEIPTS, TYPING};
use crate::ephemeral::receipts::Receipt;
use crate::rooms::viewer::Viewer;
use crate::sync::engine::{Engine, RoomChanges, rules};
use crate::sync::memory::Survey;
use crate::sync::plan::Section;

/// What is told beside a room.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) account_data: Vec<AccountData>,
    pub(super) receipts: Vec<Arc<Receipt>>,
    pub(super) typing: Option<Vec<OwnedUserId>>,
}

impl Beside {
    pub(super) const fn is_empty(&self) -> bool {
        self.account_data.is_empty() && self.receipts.is_empty() && self.typing.is_none()
    }
}

/// What passes is told to those who are in; account data also to those who were.
fn wants(look: &Look<'_>, room: &RoomChanges, what: u8) -> bool {
    let section = room.plan.section;
    look.wish.beside & what != 0
        && (section == Section::Join || (section == Section::Leave && what == ACCOUNT_DATA))
}

/// Up to where a client was told something of a room; nothing, if it never was.
fn told_upto(look: &Look<'_>, room: &RoomChanges, what: u8) -> Option<Position> {
    look.since.filter(|_| look.was_told(what) && room.plan.since.is_some())
}

impl Engine {
    /// The account data that changed since the position, that of rooms and of the whole account.
    pub(super) async fn fresh_account_data(
        &self,
        asked: Asked<'_>,
        survey: &Survey,
    ) -> Result<Vec<AccountData>, StoreError> {
        match asked.since.filter(|_| survey.sample.account_data) {
            Some(since) => self.reader.store.account_data_since(asked.viewer.user, since).await,
            None => Ok(Vec::new()),
        }
    }

    /// The account data of the whole account that is to be told.
    pub(super) async fn global_account_data(
        &self,
        asked: Asked<'_>,
        fresh: &[AccountData],
    ) -> Result<Vec<AccountData>, StoreError> {
        if asked.known.account_data {
            return Ok(fresh.iter().filter(|piece| piece.room == GLOBAL).cloned().collect());
        }
        let mut pieces = self.reader.store.account_data_in(asked.viewer.user, &[GLOBAL]).await?;
        // There is nothing to take back.
        pieces.retain(|piece| piece.content.is_some());
        pieces.push(rules(asked.viewer));
        Ok(pieces)
    }

    /// What is told beside the rooms that are looked at.
    pub(super) async fn beside_rooms(
        &self,
        viewer: &Viewer,
        rooms: &[RoomChanges],
        looks: &Looks<'_>,
        fresh: &[AccountData],
    ) -> Result<HashMap<RoomNid, Beside>, StoreError> {
        let ignored = self.reader.ignored.of(viewer.user).await?;
        let mut account_data = self.account_data_beside(viewer, rooms, looks, fresh).await?;
        let mut receipts = self.receipts_beside(viewer, rooms, looks).await?;
        let mut beside = HashMap::with_capacity(rooms.len());
        for room in rooms {
            let nid = room.plan.room;
            let Some(look) = looks.get(&nid) else { continue };
            let mut receipts = receipts.remove(&nid).unwrap_or_default();
            receipts.retain(|receipt| !ignored.contains(&receipt.user_id));
            let typing = if wants(look, room, TYPING) {
                self.typing_beside(room, told_upto(look, room, TYPING), &ignored)
            } else {
                None
            };
            let account_data = account_data.remove(&nid).unwrap_or_default();
            beside.insert(nid, Beside { account_data, receipts, typing });
        }
        Ok(beside)
    }

    /// Who types, where that changed; to whom nothing was told, nobody need not be told of.
    fn typing_beside(
        &self,
        room: &RoomChanges,
        since: Option<Position>,
        ignored: &HashSet<OwnedUserId>,
    ) -> Option<Vec<OwnedUserId>> {
        let typists = self.passing.typing.since(room.plan.room, since)?;
        let typists: Vec<OwnedUserId> =
            typists.into_iter().map(|(_, id)| id).filter(|id| !ignored.contains(id)).collect();
        (since.is_some() || !typists.is_empty()).then_some(typists)
    }

    /// Receipts that moved; where none were told, those for what is in the timeline and the reader's own.
    async fn receipts_beside(
        &self,
        viewer: &Viewer,
        rooms: &[RoomChanges],
        looks: &Looks<'_>,
    ) -> Result<HashMap<RoomNid, Vec<Arc<Receipt>>>, StoreError> {
        let mut asked: Vec<(RoomNid, Position)> = Vec::new();
        let mut initial: HashMap<RoomNid, HashSet<&str>> = HashMap::new();
        for room in rooms {
            let nid = room.plan.room;
            let Some(look) = looks.get(&nid).filter(|look| wants(look, room, RECEIPTS)) else { continue };
            let since = told_upto(look, room, RECEIPTS);
            asked.push((nid, since.unwrap_or(Position::ZERO)));
            if since.is_none() {
                let events = room.timeline.events.iter();
                let ids = events.map(|told| told.seen.event.pdu.event_id().as_str());
                initial.insert(nid, ids.collect());
            }
        }
        let mut receipts = self.passing.receipts.since(viewer.user, &asked).await?;
        for (room, events) in initial {
            if let Some(receipts) = receipts.get_mut(&room) {
                receipts.retain(|receipt| {
                    receipt.user == viewer.user || events.contains(receipt.event_id.as_str())
                });
            }
        }
        Ok(receipts)
    }

    async fn account_data_beside(
        &self,
        viewer: &Viewer,
        rooms: &[RoomChanges],
        looks: &Looks<'_>,
        fresh: &[AccountData],
    ) -> Result<HashMap<RoomNid, Vec<AccountData>>, StoreError> {
        let mut since: HashMap<RoomNid, Position> = HashMap::new();
        let mut asked = Vec::new();
        for room in rooms {
            let nid = room.plan.room;
            let Some(look) = looks.get(&nid).filter(|look| wants(look, room, ACCOUNT_DATA)) else { continue };
            let upto = told_upto(look, room, ACCOUNT_DATA);
            since.insert(nid, upto.unwrap_or(Position::ZERO));
            if upto.is_none() || look.known.is_some_and(super::known::KnownRoom::is_behind) {
                asked.push(nid);
            }
        }
        let read = match asked.as_slice() {
            [] => Vec::new(),
            asked => self.reader.store.account_data_in(viewer.user, asked).await?,
        };
        let asked: HashSet<RoomNid> = asked.into_iter().collect();
        let mut by_room: HashMap<RoomNid, Vec<AccountData>> = HashMap::new();
        let fresh = fresh.iter().filter(|piece| !asked.contains(&piece.room));
        for piece in read.iter().chain(fresh) {
            let Some(since) = since.get(&piece.room).filter(|since| piece.pos > **since) else { continue };
            // Where nothing was told there is nothing to take back.
            if piece.content.is_some() || *since > Position::ZERO {
                by_room.entry(piece.room).or_default().push(piece.clone());
            }
        }
        Ok(by_room)
    }
}
