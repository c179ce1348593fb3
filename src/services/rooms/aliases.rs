//! Names of rooms on this server.

use hearth_core::auth::context::Member;
use hearth_core::grammar;
use hearth_core::membership::Membership;
use hearth_store::log::{Change, Proposal};
use hearth_store::room::Room;
use ruma::events::TimelineEventType;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName, RoomAliasId, RoomId};

use super::viewer::Viewer;
use super::{RoomError, Rooms};
use crate::log::CommitError;

/// Servers named with an alias: enough that one of them answers.
const SERVERS: i64 = 50;

impl Rooms {
    /// The room of an alias, and servers that are in it.
    pub async fn resolve_alias(
        &self,
        alias: &RoomAliasId,
    ) -> Result<(OwnedRoomId, Vec<OwnedServerName>), RoomError> {
        // Other servers' aliases are found out by asking them, which this server does not do yet.
        let alias = self.reader.store.alias(alias).await?.ok_or(RoomError::UnknownAlias)?;
        let mut servers = self.reader.store.servers_in(alias.room, SERVERS).await?;
        let own = self.key.server_name();
        servers.retain(|server| server != own);
        servers.insert(0, own.to_owned());
        Ok((alias.room_id, servers))
    }

    /// Names a room. Only its members may.
    pub async fn create_alias(
        &self,
        viewer: &Viewer,
        alias: &RoomAliasId,
        room: &RoomId,
    ) -> Result<(), RoomError> {
        let alias = self.own_alias(alias)?;
        let sight = self.reader.member_sight(viewer, room).await?;
        let change =
            Change::CreateAlias { alias: alias.to_string(), room: sight.room.nid, creator: viewer.user };
        match self.log.commit(Proposal::change(change)).await {
            Err(CommitError::Taken) => Err(RoomError::AliasTaken),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// Removes a room's name. Whoever made it may, and whoever may name the room's main one.
    pub async fn delete_alias(
        &self,
        viewer: &Viewer,
        is_admin: bool,
        alias: &RoomAliasId,
    ) -> Result<(), RoomError> {
        let alias = self.own_alias(alias)?;
        let found = self.reader.store.alias(&alias).await?.ok_or(RoomError::UnknownAlias)?;
        if found.creator != viewer.user && !is_admin {
            let room = self.known(&found.room_id).await?;
            self.check_may_name(viewer, &room).await?;
        }
        let change = Change::DeleteAlias { alias: alias.to_string(), room: found.room };
        match self.log.commit(Proposal::change(change)).await {
            Err(CommitError::Absent) => Err(RoomError::UnknownAlias),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// The names of a room on this server.
    pub async fn aliases(&self, viewer: &Viewer, room: &RoomId) -> Result<Vec<OwnedRoomAliasId>, RoomError> {
        let sight = self.reader.sight(viewer, room).await?;
        if !sight.joined {
            let state = self.reader.state_in_sight(&sight).await?;
            if !self.reader.is_world_readable(state).await? {
                return Err(RoomError::Denied("You are not in this room.".to_owned()));
            }
        }
        Ok(self.reader.store.aliases_of(sight.room.nid).await?)
    }

    /// Whether a user may say what the room is called, and so also whether it is listed.
    pub(super) async fn check_may_name(&self, viewer: &Viewer, room: &Room) -> Result<(), RoomError> {
        let now = self.reader.past(viewer.user, room).await?.now();
        let member = Member { user: &viewer.id, membership: now.filter(|now| *now == Membership::Join) };
        let rules = self.rules(room).await?;
        Ok(rules.may_send(member, &TimelineEventType::RoomCanonicalAlias, Some(""))?)
    }

    fn own_alias(&self, alias: &RoomAliasId) -> Result<OwnedRoomAliasId, RoomError> {
        let alias = grammar::room_alias(alias.as_str()).map_err(|_| {
            RoomError::InvalidParameter("An alias has the form #name:server, without spaces.")
        })?;
        if alias.server_name() != self.key.server_name() {
            return Err(RoomError::InvalidParameter("This alias is of another server."));
        }
        Ok(alias)
    }
}
