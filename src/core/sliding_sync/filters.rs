//! Which rooms are in a list.

use ruma::OwnedRoomId;

/// What a list's rooms have in common. What is not said lets every room through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Direct chats, or all others.
    pub is_dm: Option<bool>,
    /// Encrypted rooms, or all others.
    pub is_encrypted: Option<bool>,
    /// Invites, or all others.
    pub is_invited: Option<bool>,
    /// Rooms that are directly in one of these spaces.
    pub spaces: Option<Vec<OwnedRoomId>>,
    /// Rooms of one of these types; nothing stands for rooms that have none.
    pub room_types: Option<Vec<Option<String>>>,
    /// Rooms of none of these types.
    pub not_room_types: Option<Vec<Option<String>>>,
    /// Rooms with one of these tags.
    pub tags: Option<Vec<String>>,
    /// Rooms with none of these tags.
    pub not_tags: Option<Vec<String>>,
}

/// What filters look at of a room.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoomTraits<'a> {
    /// It is a direct chat.
    pub is_dm: bool,
    /// The reader is invited to it.
    pub is_invited: bool,
    /// It is encrypted; nothing where that is not known.
    pub is_encrypted: Option<bool>,
    /// Its type, if it has one; nothing where that is not known.
    pub room_type: Option<Option<&'a str>>,
    /// The reader's tags of it.
    pub tags: &'a [String],
    /// It is in one of the spaces that the filter names.
    pub in_space: bool,
}

impl Filters {
    /// Whether they look at what is in the room's state.
    #[must_use]
    pub const fn need_state(&self) -> bool {
        self.is_encrypted.is_some() || self.room_types.is_some() || self.not_room_types.is_some()
    }

    /// Whether a room is let through. What is asked for and not known is not.
    #[must_use]
    pub fn let_through(&self, room: &RoomTraits<'_>) -> bool {
        let is = |wanted: Option<bool>, is: Option<bool>| wanted.is_none_or(|wanted| is == Some(wanted));
        let tagged = |tags: &[String]| tags.iter().any(|tag| room.tags.contains(tag));
        is(self.is_dm, Some(room.is_dm))
            && is(self.is_encrypted, room.is_encrypted)
            && is(self.is_invited, Some(room.is_invited))
            && (self.spaces.is_none() || room.in_space)
            && self.types_let_through(room)
            && self.tags.as_deref().is_none_or(tagged)
            && !self.not_tags.as_deref().is_some_and(tagged)
    }

    fn types_let_through(&self, room: &RoomTraits<'_>) -> bool {
        if self.room_types.is_none() && self.not_room_types.is_none() {
            return true;
        }
        let Some(room_type) = room.room_type else { return false };
        let named = |types: &Vec<Option<String>>| types.iter().any(|one| one.as_deref() == room_type);
        self.room_types.as_ref().is_none_or(named) && !self.not_room_types.as_ref().is_some_and(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_wanted_wins_over_what_is() {
        let filters = Filters {
            room_types: Some(vec![None, Some("m.space".to_owned())]),
            not_room_types: Some(vec![None]),
            ..Filters::default()
        };
        let of_type = |room_type| RoomTraits { room_type, ..RoomTraits::default() };
        assert!(filters.let_through(&of_type(Some(Some("m.space")))));
        assert!(!filters.let_through(&of_type(Some(None))));
        assert!(!filters.let_through(&of_type(None)));
    }

    #[test]
    fn what_is_not_said_lets_everything_through() {
        assert!(Filters::default().let_through(&RoomTraits::default()));
        let encrypted = Filters { is_encrypted: Some(false), ..Filters::default() };
        assert!(encrypted.let_through(&RoomTraits { is_encrypted: Some(false), ..RoomTraits::default() }));
        assert!(!encrypted.let_through(&RoomTraits::default()), "it is not known");
    }
}
