//! Account data, tags among it. Written by the log; this reads it.

use hearth_core::id::{Position, RoomNid, UserNid};

use crate::{Result, Store};

/// The room number of data that is about the whole account.
pub const GLOBAL: RoomNid = RoomNid::new(0);

/// One piece of account data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountData {
    /// The room, or [`GLOBAL`].
    pub room: RoomNid,
    /// Its type.
    pub data_type: String,
    /// A JSON object; none where it was deleted.
    pub content: Option<String>,
    /// When it last changed.
    pub pos: Position,
}

impl Store {
    /// The content of one piece of account data, if there is any. Served by `account_data_pkey`.
    pub async fn account_data(
        &self,
        user: UserNid,
        room: RoomNid,
        data_type: &str,
    ) -> Result<Option<String>> {
        let content = sqlx::query_scalar!(
            "SELECT content FROM account_data WHERE user_nid = $1 AND room_nid = $2 AND type = $3",
            user.get(),
            room.get(),
            data_type
        )
        .fetch_optional(self.db())
        .await?;
        Ok(content.flatten())
    }

    /// When a user's account data last changed; zero where there never was any. Served by `account_data_pos`.
    pub async fn account_data_changed(&self, user: UserNid) -> Result<Position> {
        let pos: Option<i64> = sqlx::query_scalar("SELECT max(pos) FROM account_data WHERE user_nid = $1")
            .bind(user.get())
            .fetch_one(self.db())
            .await?;
        Ok(pos.map_or(Position::ZERO, Position::new))
    }

    /// All account data of a user that changed after `since`, deletions included. Served by
    /// `account_data_pos`.
    pub async fn account_data_since(&self, user: UserNid, since: Position) -> Result<Vec<AccountData>> {
        let rows = sqlx::query!(
            "SELECT room_nid, type, content, pos FROM account_data WHERE user_nid = $1 AND pos > $2 ORDER BY pos",
            user.get(),
            since.get()
        )
        .fetch_all(self.db())
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| AccountData {
                room: RoomNid::new(row.room_nid),
                data_type: row.r#type,
                content: row.content,
                pos: Position::new(row.pos),
            })
            .collect())
    }
}
