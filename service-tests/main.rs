//! Services over a real PostgreSQL, without HTTP: what only the inside can tell, such as the statements made.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]
#![expect(unreachable_pub, reason = "a program of its own: nothing is exported")]

mod failed_logins;
mod harness;
mod reading;
mod sending;
mod sliding;
mod sync;
mod unread;
