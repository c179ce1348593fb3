//! Tickets that open one stream in the place of an access token.

use crate::account::TokenHash;
use crate::{Result, Store, StoreError};

/// A ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTicket {
    /// The access token that it stands for.
    pub token_hash: TokenHash,
    /// What its event stream's ids are sealed with.
    pub seal: Vec<u8>,
}

type Row = (Vec<u8>, Vec<u8>);

impl Store {
    /// Adds a ticket that is good until a time, milliseconds since the epoch.
    pub async fn add_stream_ticket(
        &self,
        hash: &TokenHash,
        ticket: &StreamTicket,
        good_until_ts: i64,
    ) -> Result<()> {
        sqlx::query(
            "INSERT INTO stream_ticket (hash, token_hash, seal, good_until_ts) VALUES ($1, $2, $3, $4)",
        )
        .bind(&hash[..])
        .bind(&ticket.token_hash[..])
        .bind(&ticket.seal)
        .bind(good_until_ts)
        .execute(self.db())
        .await?;
        Ok(())
    }

    /// Takes a ticket that opened nothing yet and is good at `now`: it is no more. Served by `stream_ticket_pkey`.
    pub async fn take_stream_ticket(&self, hash: &TokenHash, now: i64) -> Result<Option<StreamTicket>> {
        let row: Option<Row> = sqlx::query_as(
            "DELETE FROM stream_ticket WHERE hash = $1 AND NOT opened AND good_until_ts > $2
             RETURNING token_hash, seal",
        )
        .bind(&hash[..])
        .bind(now)
        .fetch_optional(self.db())
        .await?;
        row.map(ticket).transpose()
    }

    /// Opens an event stream with a ticket that opened nothing yet and is good at `now`; it stays good until
    /// another time. Served by `stream_ticket_pkey`.
    pub async fn open_stream_ticket(
        &self,
        hash: &TokenHash,
        now: i64,
        good_until_ts: i64,
    ) -> Result<Option<StreamTicket>> {
        let row: Option<Row> = sqlx::query_as(
            "UPDATE stream_ticket SET opened = true, good_until_ts = $3
             WHERE hash = $1 AND NOT opened AND good_until_ts > $2
             RETURNING token_hash, seal",
        )
        .bind(&hash[..])
        .bind(now)
        .bind(good_until_ts)
        .fetch_optional(self.db())
        .await?;
        row.map(ticket).transpose()
    }

    /// A ticket whose event stream is or was open, if it is good at `now`. Served by `stream_ticket_pkey`.
    pub async fn opened_stream_ticket(&self, hash: &TokenHash, now: i64) -> Result<Option<StreamTicket>> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT token_hash, seal FROM stream_ticket WHERE hash = $1 AND opened AND good_until_ts > $2",
        )
        .bind(&hash[..])
        .bind(now)
        .fetch_optional(self.db())
        .await?;
        row.map(ticket).transpose()
    }

    /// Lets an opened ticket be good until another time. Served by `stream_ticket_pkey`.
    pub async fn put_off_stream_ticket(&self, hash: &TokenHash, good_until_ts: i64) -> Result<()> {
        sqlx::query("UPDATE stream_ticket SET good_until_ts = $2 WHERE hash = $1 AND opened")
            .bind(&hash[..])
            .bind(good_until_ts)
            .execute(self.db())
            .await?;
        Ok(())
    }

    /// Deletes the tickets that were good until before `ts`, milliseconds since the epoch. Served by
    /// `stream_ticket_good_until`.
    pub async fn delete_stream_tickets_before(&self, ts: i64) -> Result<u64> {
        let done = sqlx::query("DELETE FROM stream_ticket WHERE good_until_ts < $1")
            .bind(ts)
            .execute(self.db())
            .await?;
        Ok(done.rows_affected())
    }
}

fn ticket((token_hash, seal): Row) -> Result<StreamTicket> {
    let token_hash =
        TokenHash::try_from(token_hash).map_err(|_| StoreError::corrupt("stream_ticket", "token_hash"))?;
    Ok(StreamTicket { token_hash, seal })
}
