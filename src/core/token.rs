//! Points in the log and in a room's history, as clients carry them.

use std::fmt;
use std::str::FromStr;

use crate::id::Position;

/// An event's place in its room's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The log position of the event, or of the earliest known child of one that was fetched later.
    pub anchor: Position,
    /// Zero for a live event; -1, -2 … for one that was fetched later.
    pub sub: i64,
}

impl Place {
    /// The place of a live event.
    #[must_use]
    pub const fn live(pos: Position) -> Self {
        Self { anchor: pos, sub: 0 }
    }
}

/// A point between two events of a room's history: just before the event at a place, whether or not there is
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point(Place);

impl Point {
    /// Before every event.
    pub const START: Self = Self(Place { anchor: Position::ZERO, sub: i64::MIN });

    /// Just before the event at `place`.
    #[must_use]
    pub const fn before(place: Place) -> Self {
        Self(place)
    }

    /// Just after the event at `place`.
    #[must_use]
    pub const fn after(place: Place) -> Self {
        Self(Place { anchor: place.anchor, sub: place.sub.saturating_add(1) })
    }

    /// After everything up to and with the log position `pos`, before everything later, fetched or live.
    #[must_use]
    pub const fn as_of(pos: Position) -> Self {
        Self::after(Place::live(pos))
    }

    /// The place that it is just before.
    #[must_use]
    pub const fn place(self) -> Place {
        self.0
    }
}

/// What a client gave is not a token of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token that this server gave out")]
pub struct NotAToken;

/// `s` and a position: where a sync has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncToken(pub Position);

impl fmt::Display for SyncToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl FromStr for SyncToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let digits = text.strip_prefix('s').ok_or(NotAToken)?;
        Ok(Self(Position::new(number(digits)?)))
    }
}

/// A sync token, `~` and what the client of a sliding sync knows, by its hash: where its connection has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlidingToken {
    /// Up to where the client was told.
    pub pos: Position,
    /// The hash of what it was told.
    pub known: u64,
}

impl SlidingToken {
    /// The point in the log.
    #[must_use]
    pub const fn sync(self) -> SyncToken {
        SyncToken(self.pos)
    }
}

impl fmt::Display for SlidingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{:016x}", SyncToken(self.pos), self.known)
    }
}

impl FromStr for SlidingToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let (pos, known) = text.split_once('~').ok_or(NotAToken)?;
        let SyncToken(pos) = pos.parse()?;
        let is_hash = known.len() == 16 && known.bytes().all(|byte| byte.is_ascii_hexdigit());
        let known = u64::from_str_radix(known, 16).ok().filter(|_| is_hash).ok_or(NotAToken)?;
        Ok(Self { pos, known })
    }
}

/// `t`, an anchor and a sub: a point in a room's history. Tokens of syncs are, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageToken(pub Point);

impl fmt::Display for PageToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}_{}", self.0.0.anchor, self.0.0.sub)
    }
}

impl FromStr for PageToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if let Ok(SyncToken(pos)) = text.parse().or_else(|_| text.parse().map(SlidingToken::sync)) {
            return Ok(Self(Point::as_of(pos)));
        }
        let (anchor, sub) = text.strip_prefix('t').and_then(|rest| rest.split_once('_')).ok_or(NotAToken)?;
        let sub = match sub.strip_prefix('-') {
            Some(digits) => -number(digits)?,
            None => number(sub)?,
        };
        Ok(Self(Point(Place { anchor: Position::new(number(anchor)?), sub })))
    }
}

/// Digits and nothing else: `+1` and spaces are refused.
fn number(digits: &str) -> Result<i64, NotAToken> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotAToken);
    }
    digits.parse().map_err(|_| NotAToken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_as_they_went_out() {
        let sync = SyncToken(Position::new(42));
        assert_eq!(sync.to_string().parse(), Ok(sync));
        let sliding = SlidingToken { pos: Position::new(42), known: 7 };
        assert_eq!(sliding.to_string(), "s42~0000000000000007");
        assert_eq!(sliding.to_string().parse(), Ok(sliding));
        for sub in [-7, 0, 1] {
            let page = PageToken(Point(Place { anchor: Position::new(42), sub }));
            assert_eq!(page.to_string().parse(), Ok(page));
        }
    }

    #[test]
    fn a_sync_token_is_the_point_after_its_position() {
        let point = "s42".parse::<PageToken>().unwrap().0;
        assert_eq!(point, Point::after(Place::live(Position::new(42))));
        assert_eq!("s42~0000000000000007".parse(), Ok(PageToken(point)));
        assert!(point > Point::before(Place::live(Position::new(42))));
        assert!(point < Point::before(Place { anchor: Position::new(43), sub: -9 }));
    }

    #[test]
    fn noise_is_refused() {
        for noise in [
            "",
            "s",
            "s-1",
            "s+1",
            "s 1",
            "t1",
            "t1_",
            "t_1",
            "t1_x",
            "42",
            "s99999999999999999999",
            "é",
            "s4~",
            "s4~+000000000000007",
            "~0000000000000007",
        ] {
            assert_eq!(noise.parse::<PageToken>(), Err(NotAToken), "{noise}");
        }
    }
}
