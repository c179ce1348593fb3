//! User-interactive authentication under way. Rows, so that any replica can go on with it.

use hearth_core::id::UserNid;
use serde_json::{Map, Value};

use crate::{Result, Store, StoreError};

/// A session of user-interactive authentication.
#[derive(Clone, Debug, PartialEq)]
pub struct UiaSession {
    /// Its id, known to the client.
    pub id: String,
    /// The method and path that it is for.
    pub route: String,
    /// Whose token began it.
    pub user: Option<UserNid>,
    /// The body of the first request, less `auth` and less its secrets.
    pub request: Map<String, Value>,
    /// How far it has come.
    pub progress: UiaProgress,
    /// When it was begun, milliseconds since the epoch.
    pub created_ts: i64,
}

/// How far a session has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UiaProgress {
    /// The stages passed, in order.
    pub completed: Vec<String>,
    /// What the stages found out, by stage.
    pub results: Map<String, Value>,
}

impl Store {
    /// Begins a session.
    pub async fn add_uia_session(&self, session: &UiaSession) -> Result<()> {
        sqlx::query!(
            "INSERT INTO uia_session (id, route, user_nid, request, completed, results, created_ts)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            session.id,
            session.route,
            session.user.map(UserNid::get),
            Value::Object(session.request.clone()),
            &session.progress.completed,
            Value::Object(session.progress.results.clone()),
            session.created_ts
        )
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// A session. Served by `uia_session_pkey`.
    pub async fn uia_session(&self, id: &str) -> Result<Option<UiaSession>> {
        let row = sqlx::query!(
            "SELECT id, route, user_nid, request, completed, results, created_ts FROM uia_session WHERE id = $1",
            id
        )
        .fetch_optional(self.db())
        .await?;
        row.map(|row| {
            Ok(UiaSession {
                route: row.route,
                user: row.user_nid.map(UserNid::new),
                request: object(row.request, &row.id)?,
                progress: UiaProgress { completed: row.completed, results: object(row.results, &row.id)? },
                created_ts: row.created_ts,
                id: row.id,
            })
        })
        .transpose()
    }

    /// Gives a session that was begun with an empty body the body it is for.
    pub async fn set_uia_request(&self, id: &str, request: &Map<String, Value>) -> Result<()> {
        sqlx::query!(
            "UPDATE uia_session SET request = $2 WHERE id = $1 AND request = '{}'",
            id,
            Value::Object(request.clone())
        )
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Records that a stage was passed, and returns how far the session has come; none where it is gone.
    pub async fn pass_uia_stage(&self, id: &str, stage: &str, result: &Value) -> Result<Option<UiaProgress>> {
        let row = sqlx::query!(
            r#"UPDATE uia_session
               SET completed = CASE WHEN $2 = ANY (completed) THEN completed ELSE completed || $2::text END,
                   results = results || jsonb_build_object($2::text, $3::jsonb)
               WHERE id = $1
               RETURNING completed AS "completed!", results AS "results!""#,
            id,
            stage,
            result
        )
        .fetch_optional(self.db())
        .await?;
        row.map(|row| Ok(UiaProgress { completed: row.completed, results: object(row.results, id)? }))
            .transpose()
    }

    /// Ends a session.
    pub async fn delete_uia_session(&self, id: &str) -> Result<()> {
        sqlx::query!("DELETE FROM uia_session WHERE id = $1", id).execute(self.db()).await?;
        Ok(())
    }
}

fn object(value: Value, id: &str) -> Result<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(StoreError::corrupt("uia_session", id)),
    }
}
