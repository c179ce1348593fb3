//! Profiles of local users. Written by the log; this reads them.

use hearth_core::id::UserNid;

use crate::{Result, Store};

impl Store {
    /// The fields of a profile and their JSON; none where there is no account in use. Served by
    /// `account_pkey` and `profile_field_pkey`.
    pub async fn profile(&self, user: UserNid) -> Result<Option<Vec<(String, String)>>> {
        let rows = sqlx::query!(
            r#"SELECT f.key AS "key?", f.value AS "value?"
               FROM account a LEFT JOIN profile_field f ON f.user_nid = a.user_nid AND f.value IS NOT NULL
               WHERE a.user_nid = $1 AND a.deactivated_ts IS NULL"#,
            user.get()
        )
        .fetch_all(self.db())
        .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(rows.into_iter().filter_map(|row| Some((row.key?, row.value?))).collect()))
    }
}
