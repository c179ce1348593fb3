//! Who may see an event of the past.
//!
//! Judged at the event: by the room's history visibility there, and by what the reader was to the room
//! there. Whoever left sees what was sent while they were in, and no more.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::membership::Membership;

/// A room's history visibility.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HistoryVisibility {
    /// Anyone.
    WorldReadable,
    /// Members, from the room's beginning. Also what holds where nothing, or nothing known, is said.
    #[default]
    Shared,
    /// Members, from their invite on.
    Invited,
    /// Members, from their joining on.
    Joined,
}

/// What decides about one reader at one moment of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The room's history visibility.
    pub visibility: HistoryVisibility,
    /// What the reader was to the room; `None` for someone it did not mention.
    pub membership: Option<Membership>,
}

impl HistoryVisibility {
    /// The visibility that a name stands for; any unknown name counts as shared.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "world_readable" => Self::WorldReadable,
            "invited" => Self::Invited,
            "joined" => Self::Joined,
            _ => Self::Shared,
        }
    }

    /// The visibility that the content of an `m.room.history_visibility` event sets. Content comes from
    /// anyone, so what cannot be read counts as shared, like an unknown name.
    #[must_use]
    pub fn from_content(content: &RawValue) -> Self {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow)]
            history_visibility: std::borrow::Cow<'a, str>,
        }
        serde_json::from_str::<Content<'_>>(content.get())
            .map_or(Self::Shared, |content| Self::from_name(&content.history_visibility))
    }

    /// As in the event's content.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WorldReadable => "world_readable",
            Self::Shared => "shared",
            Self::Invited => "invited",
            Self::Joined => "joined",
        }
    }
}

/// Whether an event may be seen whose state is the view's.
///
/// `joined_later`: the reader joined, or joined again, at any time after the event.
#[must_use]
pub fn may_see(view: View, joined_later: bool) -> bool {
    match view.visibility {
        HistoryVisibility::WorldReadable => true,
        _ if view.membership == Some(Membership::Join) => true,
        HistoryVisibility::Shared => joined_later,
        HistoryVisibility::Invited => view.membership == Some(Membership::Invite),
        HistoryVisibility::Joined => false,
    }
}

/// Whether an event may be seen that itself changes the view: the room's history visibility, or the
/// reader's own membership.
///
/// > the user should be allowed to see the event if their membership before or after the event would
/// > allow them to see it.
#[must_use]
pub fn may_see_change(before: View, after: View, joined_later: bool) -> bool {
    may_see(before, joined_later) || may_see(after, joined_later)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBILITIES: [HistoryVisibility; 4] = [
        HistoryVisibility::WorldReadable,
        HistoryVisibility::Shared,
        HistoryVisibility::Invited,
        HistoryVisibility::Joined,
    ];
    const MEMBERSHIPS: [Option<Membership>; 6] = [
        Some(Membership::Join),
        Some(Membership::Invite),
        Some(Membership::Knock),
        Some(Membership::Leave),
        Some(Membership::Ban),
        None,
    ];

    #[test]
    fn the_whole_table_is_as_the_specification_has_it() {
        // Rows: visibility and whether the reader joined later. Columns: the memberships above.
        let table = [
            ("world_readable", false, "xxxxxx"),
            ("world_readable", true, "xxxxxx"),
            ("shared", false, "x....."),
            ("shared", true, "xxxxxx"),
            ("invited", false, "xx...."),
            ("invited", true, "xx...."),
            ("joined", false, "x....."),
            ("joined", true, "x....."),
        ];
        let computed = VISIBILITIES.map(|visibility| {
            [false, true].map(|joined_later| {
                let row: String = MEMBERSHIPS
                    .map(|membership| View { visibility, membership })
                    .map(|view| if may_see(view, joined_later) { 'x' } else { '.' })
                    .into_iter()
                    .collect();
                (visibility.name(), joined_later, row)
            })
        });
        let expected = table.map(|(name, joined_later, row)| (name, joined_later, row.to_owned()));
        assert_eq!(computed.as_flattened(), expected);
    }

    #[test]
    fn a_change_is_seen_by_whoever_may_see_either_side_of_it() {
        for before in VISIBILITIES {
            for after in VISIBILITIES {
                for from in MEMBERSHIPS {
                    for to in MEMBERSHIPS {
                        let (before, after) = (
                            View { visibility: before, membership: from },
                            View { visibility: after, membership: to },
                        );
                        for later in [false, true] {
                            let either = may_see(before, later) || may_see(after, later);
                            assert_eq!(may_see_change(before, after, later), either);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn one_sees_ones_own_joining_and_leaving_in_the_most_closed_room() {
        let view = |membership| View { visibility: HistoryVisibility::Joined, membership };
        let (out, member) = (view(Some(Membership::Leave)), view(Some(Membership::Join)));
        assert!(may_see_change(view(None), member, false));
        assert!(may_see_change(member, out, false));
        assert!(!may_see_change(view(None), view(Some(Membership::Invite)), false));
        assert!(!may_see(out, false));
    }

    #[test]
    fn what_a_room_says_badly_counts_as_shared() {
        let of =
            |json: &str| HistoryVisibility::from_content(&RawValue::from_string(json.to_owned()).unwrap());
        assert_eq!(of(r#"{"history_visibility":"joined"}"#), HistoryVisibility::Joined);
        assert_eq!(of(r#"{"history_visibility":"world_readable"}"#), HistoryVisibility::WorldReadable);
        for json in ["{}", "[]", r#"{"history_visibility":"nonsense"}"#, r#"{"history_visibility":5}"#] {
            assert_eq!(of(json), HistoryVisibility::Shared, "{json}");
        }
    }
}
