//! Local aliases of rooms.

use hearth_core::id::RoomNid;
use ruma::RoomAliasId;

use crate::{Result, Store};

impl Store {
    /// Where an alias of this server points. Served by the primary key of `alias`.
    pub async fn room_of_alias(&self, alias: &RoomAliasId) -> Result<Option<RoomNid>> {
        let nid: Option<i64> = sqlx::query_scalar("SELECT room_nid FROM alias WHERE alias = $1")
            .bind(alias.as_str())
            .fetch_optional(self.db())
            .await?;
        Ok(nid.map(RoomNid::new))
    }
}
