//! Sync filters.

use hearth_core::id::UserNid;

use crate::{Result, Store};

impl Store {
    /// The id of an equal filter of this user. Served by `filter_user_nid_hash_key`.
    pub async fn find_filter(&self, user: UserNid, hash: &[u8; 32]) -> Result<Option<i64>> {
        let id = sqlx::query_scalar!(
            "SELECT id FROM filter WHERE user_nid = $1 AND hash = $2",
            user.get(),
            &hash[..]
        )
        .fetch_optional(self.db())
        .await?;
        Ok(id)
    }

    /// Keeps a filter under the user's next id, unless they have `most` already. None where they have, or
    /// where an equal one was kept at the same moment; conflicts where another one was.
    pub async fn add_filter(
        &self,
        user: UserNid,
        hash: &[u8; 32],
        definition: &str,
        most: i64,
    ) -> Result<Option<i64>> {
        let id = sqlx::query_scalar!(
            "INSERT INTO filter (user_nid, id, hash, definition)
             SELECT $1, coalesce(max(f.id) + 1, 0), $2, $3 FROM filter f WHERE f.user_nid = $1
             HAVING coalesce(max(f.id) + 1, 0) < $4
             ON CONFLICT (user_nid, hash) DO NOTHING
             RETURNING id",
            user.get(),
            &hash[..],
            definition,
            most
        )
        .fetch_optional(self.db())
        .await?;
        Ok(id)
    }

    /// The canonical JSON of a filter. Served by `filter_pkey`.
    pub async fn filter(&self, user: UserNid, id: i64) -> Result<Option<String>> {
        let definition = sqlx::query_scalar!(
            "SELECT definition FROM filter WHERE user_nid = $1 AND id = $2",
            user.get(),
            id
        )
        .fetch_optional(self.db())
        .await?;
        Ok(definition)
    }
}
