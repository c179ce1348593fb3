//! Coming, going, and being shown the door.

use hearth_core::auth::context::Member;
use hearth_core::id::UserNid;
use hearth_core::membership::Membership;
use hearth_core::pdu::Content;
use hearth_store::log::{Entry, MemberChange, Proposal};
use hearth_store::room::Room;
use ruma::events::{StateEventType, TimelineEventType};
use ruma::room::JoinRuleKind;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Addition, Author, Draft, RoomError, Rooms};
use crate::profiles::{AVATAR_URL, DISPLAY_NAME};

/// Rooms whose members may join, looked at for one join; a list longer than this is cut.
const ALLOWED_ROOMS: usize = 50;

/// In whose name a join is allowed that takes a member's leave.
pub(super) const AUTHORISED_BY: &str = "join_authorised_via_users_server";

/// What a moderator does to another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Out of the room; an invite or knock is withdrawn.
    Kick,
    /// Out, and not in again.
    Ban,
    /// In again, if invited.
    Unban,
}

#[derive(Deserialize)]
struct JoinRules {
    #[serde(default)]
    allow: Vec<Value>,
}

impl Rooms {
    /// Invites a user; nothing happens where they are invited already.
    pub async fn invite(
        &self,
        author: &Author,
        room: &RoomId,
        target: &UserId,
        reason: Option<&str>,
    ) -> Result<(), RoomError> {
        self.check_local(std::slice::from_ref(&target.to_owned()))?;
        let room = self.known(room).await?;
        if self.membership(&room, target).await? == Some(Membership::Invite)
            && self.membership(&room, &author.id).await? == Some(Membership::Join)
        {
            return Ok(());
        }
        let draft = self.invite_draft(target, false, reason).await?;
        self.add_to(&room, Addition::of(author, draft)).await
    }

    /// Joins a room; nothing happens where the user is in it.
    pub async fn join(
        &self,
        author: &Author,
        room: &RoomId,
        reason: Option<&str>,
    ) -> Result<OwnedRoomId, RoomError> {
        let room = self.known(room).await?;
        let before = self.membership(&room, &author.id).await?;
        if before == Some(Membership::Join) {
            return Ok(room.id.clone());
        }
        let mut extra = with_reason(reason);
        if let Some(by) = self.let_in_by(&room, author, before).await? {
            extra[AUTHORISED_BY] = json!(by);
        }
        let draft = self.member_draft(&author.id, "join", extra).await?;
        self.add_to(&room, Addition::of(author, draft)).await?;
        Ok(room.id.clone())
    }

    /// Asks to be let in.
    pub async fn knock(
        &self,
        author: &Author,
        room: &RoomId,
        reason: Option<&str>,
    ) -> Result<OwnedRoomId, RoomError> {
        let room = self.known(room).await?;
        let draft = self.member_draft(&author.id, "knock", with_reason(reason)).await?;
        self.add_to(&room, Addition::of(author, draft)).await?;
        Ok(room.id.clone())
    }

    /// Leaves a room, or declines an invite, or withdraws a knock.
    pub async fn leave(&self, author: &Author, room: &RoomId, reason: Option<&str>) -> Result<(), RoomError> {
        let room = self.known(room).await?;
        match self.membership(&room, &author.id).await? {
            Some(Membership::Join | Membership::Invite | Membership::Knock) => {}
            _ => return Err(RoomError::Denied("You are not in this room.".to_owned())),
        }
        let draft = draft(&author.id, "leave", with_reason(reason))?;
        self.add_to(&room, Addition::of(author, draft)).await
    }

    /// Puts another user out of the room, bans them or lifts their ban.
    pub async fn remove(
        &self,
        author: &Author,
        room: &RoomId,
        target: &UserId,
        removal: Removal,
        reason: Option<&str>,
    ) -> Result<(), RoomError> {
        let room = self.known(room).await?;
        if self.membership(&room, &author.id).await? != Some(Membership::Join) {
            return Err(RoomError::Denied("You are not in this room.".to_owned()));
        }
        let now = self.membership(&room, target).await?;
        let becomes = match (removal, now) {
            (Removal::Ban, Some(Membership::Ban)) => return Ok(()),
            (Removal::Ban, _) => "ban",
            (Removal::Unban, Some(Membership::Ban))
            | (Removal::Kick, Some(Membership::Join | Membership::Invite | Membership::Knock)) => "leave",
            (Removal::Unban, _) => return Err(RoomError::Membership("The user is not banned.")),
            (Removal::Kick, _) => return Err(RoomError::Membership("The user is not in the room.")),
        };
        let draft = draft(target, becomes, with_reason(reason))?;
        self.add_to(&room, Addition::of(author, draft)).await
    }

    /// Forgets a room that the user left: its history is theirs no more until they join again.
    pub async fn forget(&self, author: &Author, room: &RoomId) -> Result<(), RoomError> {
        let room = self.known(room).await?;
        let Some(now) = self.reader.store.membership(author.nid, room.nid).await? else {
            return Err(RoomError::UnknownRoom);
        };
        if matches!(now.membership, Membership::Join | Membership::Invite | Membership::Knock) {
            return Err(RoomError::StillIn);
        }
        if now.forgotten {
            return Ok(());
        }
        let change = MemberChange {
            user: author.nid,
            membership: now.membership,
            forgotten: true,
            event: now.event,
            stripped_state: None,
        };
        let entries = vec![Entry::Membership { room: room.nid, change }];
        self.log.commit(Proposal { entries, ..Proposal::default() }).await?;
        Ok(())
    }

    /// An invite, with the profile of the invited.
    pub(super) async fn invite_draft(
        &self,
        target: &UserId,
        is_direct: bool,
        reason: Option<&str>,
    ) -> Result<Draft, RoomError> {
        let mut extra = with_reason(reason);
        if is_direct {
            extra["is_direct"] = json!(true);
        }
        self.member_draft(target, "invite", extra).await
    }

    /// A member event that shows its user's profile, where that is known here.
    pub(super) async fn member_draft(
        &self,
        user: &UserId,
        becomes: &str,
        mut content: Value,
    ) -> Result<Draft, RoomError> {
        if let Some(nid) = self.local_user(user).await?
            && let Some(profile) = self.profiles.of(nid).await?
        {
            for field in [DISPLAY_NAME, AVATAR_URL] {
                if let Some(value) = profile.get(field) {
                    content[field] = value.clone();
                }
            }
        }
        draft(user, becomes, content)
    }

    /// What a user is to a room.
    pub(super) async fn membership(
        &self,
        room: &Room,
        user: &UserId,
    ) -> Result<Option<Membership>, RoomError> {
        let Some(nid) = self.reader.interned.known_user(user).await? else { return Ok(None) };
        Ok(self.reader.store.membership(nid, room.nid).await?.map(|at| at.membership))
    }

    /// For a room that lets in members of other rooms: a local member who may invite, in whose name the join
    /// is allowed. None where the join needs none, or the user is in none of those rooms.
    pub(super) async fn let_in_by(
        &self,
        room: &Room,
        author: &Author,
        before: Option<Membership>,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        if matches!(before, Some(Membership::Join | Membership::Invite)) {
            return Ok(None);
        }
        let rules = self.rules(room).await?;
        if !matches!(rules.join_rule(), Some(JoinRuleKind::Restricted | JoinRuleKind::KnockRestricted)) {
            return Ok(None);
        }
        if !self.is_allowed_by_membership(room, author.nid).await? {
            return Ok(None);
        }
        let target = Member { user: &author.id, membership: None };
        for nid in
            self.reader.store.first_members(room.nid, author.nid, &[Membership::Join], INVITERS).await?
        {
            let user = self.reader.interned.user_id(nid).await?;
            let sender = Member { user: &user, membership: Some(Membership::Join) };
            if user.server_name() == self.key.server_name() && rules.may_invite(sender, target).is_ok() {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }

    /// Whether the user is in one of the rooms whose members may join.
    async fn is_allowed_by_membership(&self, room: &Room, user: UserNid) -> Result<bool, RoomError> {
        let Some(event) = self.current_state(room, &StateEventType::RoomJoinRules, "").await? else {
            return Ok(false);
        };
        // What cannot be read allows nobody.
        let rules: JoinRules =
            serde_json::from_str(event.pdu.content().get()).unwrap_or(JoinRules { allow: Vec::new() });
        for condition in rules.allow.iter().take(ALLOWED_ROOMS) {
            let room = condition["room_id"].as_str().filter(|_| condition["type"] == "m.room_membership");
            let Some(room) = room.and_then(|id| <&RoomId>::try_from(id).ok()) else { continue };
            let Some(room) = self.reader.room(room).await? else { continue };
            let now = self.reader.store.membership(user, room.nid).await?;
            if now.is_some_and(|now| now.membership == Membership::Join) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn add_to(&self, room: &Room, addition: Addition) -> Result<(), RoomError> {
        self.handle(room).add(self, &addition).await?;
        Ok(())
    }
}

/// Members looked at in search of one who may invite.
const INVITERS: i64 = 500;

fn with_reason(reason: Option<&str>) -> Value {
    reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }))
}

fn draft(user: &UserId, becomes: &str, mut content: Value) -> Result<Draft, RoomError> {
    content["membership"] = json!(becomes);
    let content = Content::from_serialize(&content)?;
    Ok(Draft::state(TimelineEventType::RoomMember, user.as_str(), content))
}
