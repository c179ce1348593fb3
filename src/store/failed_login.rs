//! Wrong passwords lately. Rows, so that all replicas count together and a restart forgets nothing.

use std::time::Duration;

use crate::{Result, Store};

/// SHA-256 of an account or an address.
pub type Subject = [u8; 32];

/// What one wrong password costs a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose bucket.
    pub subject: Subject,
    /// By how much its time moves on.
    pub every: Duration,
    /// How far ahead of now it may be.
    pub depth: Duration,
}

/// Rows one statement deletes at the most.
const BATCH: i64 = 5_000;

impl Store {
    /// Charges every bucket; where one of them has no room none is, and how long to wait is told.
    ///
    /// Two processes that charge one bucket at the same moment are told apart by the row's lock: whoever
    /// comes second and finds it over its depth gives back what it took. Served by `failed_login_pkey`.
    pub async fn charge_failed_logins(&self, charges: &[Charge]) -> Result<Option<Duration>> {
        let seconds = |of: fn(&Charge) -> Duration| -> Vec<f64> {
            charges.iter().map(|charge| of(charge).as_secs_f64()).collect()
        };
        let subjects: Vec<&[u8]> = charges.iter().map(|charge| &charge.subject[..]).collect();
        let (blocked, over): (Option<f64>, Option<f64>) = sqlx::query_as(
            "WITH wanted AS (
                 SELECT subject, make_interval(secs => every) AS every, now() + make_interval(secs => depth) AS most
                 FROM unnest($1::bytea[], $2::float8[], $3::float8[]) AS w (subject, every, depth)),
             blocked AS (
                 SELECT max(f.full_at + w.every - w.most) AS wait
                 FROM wanted w JOIN failed_login f USING (subject)
                 WHERE f.full_at + w.every > w.most),
             charged AS (
                 INSERT INTO failed_login AS f (subject, full_at)
                 SELECT subject, now() + every FROM wanted
                 WHERE (SELECT wait FROM blocked) IS NULL
                 ORDER BY subject
                 ON CONFLICT (subject) DO UPDATE
                 SET full_at = greatest(f.full_at, now()) + (excluded.full_at - now())
                 RETURNING subject, full_at)
             SELECT (SELECT extract(epoch FROM wait)::float8 FROM blocked),
                    (SELECT max(extract(epoch FROM c.full_at - w.most))::float8
                     FROM charged c JOIN wanted w USING (subject) WHERE c.full_at > w.most)",
        )
        .bind(&subjects)
        .bind(seconds(|charge| charge.every))
        .bind(seconds(|charge| charge.depth))
        .fetch_one(self.db())
        .await?;
        if over.is_some() {
            self.refund_failed_logins(charges).await?;
        }
        // A wait is at most a few depths, far from what a duration cannot hold.
        Ok(blocked.or(over).map(|wait| Duration::try_from_secs_f64(wait).unwrap_or(Duration::ZERO)))
    }

    /// Gives back what was charged: the password was right, or not looked at.
    pub async fn refund_failed_logins(&self, charges: &[Charge]) -> Result<()> {
        let every: Vec<f64> = charges.iter().map(|charge| charge.every.as_secs_f64()).collect();
        let subjects: Vec<&[u8]> = charges.iter().map(|charge| &charge.subject[..]).collect();
        sqlx::query(
            "WITH own AS MATERIALIZED (
                 SELECT f.subject, w.every
                 FROM unnest($1::bytea[], $2::float8[]) AS w (subject, every) JOIN failed_login f USING (subject)
                 ORDER BY f.subject FOR UPDATE OF f)
             UPDATE failed_login f SET full_at = f.full_at - make_interval(secs => own.every)
             FROM own WHERE f.subject = own.subject",
        )
        .bind(&subjects)
        .bind(every)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Deletes the buckets that are full again. Returns how many; ask again until there are none. Served by
    /// `failed_login_age`.
    pub async fn delete_forgotten_failed_logins(&self) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM failed_login WHERE subject = ANY (ARRAY(
                 SELECT subject FROM failed_login WHERE full_at < now() LIMIT $1)) AND full_at < now()",
        )
        .bind(BATCH)
        .execute(self.db())
        .await?;
        Ok(done.rows_affected())
    }
}
