//! Account data, tags among it. Written by the log; this reads it.

use std::collections::HashMap;

use hearth_core::id::{Position, RoomNid, UserNid};
use sqlx::FromRow;

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

#[derive(FromRow)]
struct Row {
    room_nid: i64,
    r#type: String,
    content: Option<String>,
    pos: i64,
}

impl From<Row> for AccountData {
    fn from(row: Row) -> Self {
        Self {
            room: RoomNid::new(row.room_nid),
            data_type: row.r#type,
            content: row.content,
            pos: Position::new(row.pos),
        }
    }
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

    /// When the account data of each of some users last changed, where there ever was any. Served by
    /// `account_data_pos`.
    pub async fn account_data_changed(&self, users: &[UserNid]) -> Result<HashMap<UserNid, Position>> {
        let users: Vec<i64> = users.iter().map(|user| user.get()).collect();
        let newest: Vec<(i64, Option<i64>)> = sqlx::query_as(
            "SELECT asked.user_nid, (SELECT max(pos) FROM account_data WHERE user_nid = asked.user_nid)
             FROM unnest($1::bigint[]) AS asked (user_nid)",
        )
        .bind(users)
        .fetch_all(self.db())
        .await?;
        let changed =
            newest.into_iter().filter_map(|(user, pos)| Some((UserNid::new(user), Position::new(pos?))));
        Ok(changed.collect())
    }

    /// All account data of a user that changed after `since`, deletions included. Served by
    /// `account_data_pos`.
    pub async fn account_data_since(&self, user: UserNid, since: Position) -> Result<Vec<AccountData>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT room_nid, type, content, pos FROM account_data WHERE user_nid = $1 AND pos > $2 ORDER BY pos",
        )
        .bind(user.get())
        .bind(since.get())
        .fetch_all(self.db())
        .await?;
        Ok(rows.into_iter().map(AccountData::from).collect())
    }

    /// All account data of a user in some rooms, deletions included. Served by `account_data_pkey`.
    pub async fn account_data_in(&self, user: UserNid, rooms: &[RoomNid]) -> Result<Vec<AccountData>> {
        let rooms: Vec<i64> = rooms.iter().map(|room| room.get()).collect();
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT room_nid, type, content, pos FROM account_data
             WHERE user_nid = $1 AND room_nid = ANY ($2) ORDER BY pos",
        )
        .bind(user.get())
        .bind(rooms)
        .fetch_all(self.db())
        .await?;
        Ok(rows.into_iter().map(AccountData::from).collect())
    }

    /// All account data of a user of some types, deletions not included. Served by `account_data_pkey`.
    pub async fn account_data_of(&self, user: UserNid, types: &[&str]) -> Result<Vec<AccountData>> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT room_nid, type, content, pos FROM account_data
             WHERE user_nid = $1 AND type = ANY ($2) AND content IS NOT NULL",
        )
        .bind(user.get())
        .bind(types)
        .fetch_all(self.db())
        .await?;
        Ok(rows.into_iter().map(AccountData::from).collect())
    }
}
