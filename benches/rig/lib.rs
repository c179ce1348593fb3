//! What the benches stand on: the real server program over a PostgreSQL of its own, people and rooms in it,
//! connections to it, and what each side of a measurement costs.
//!
//! The bench program is the load generator, a process of its own beside the server and PostgreSQL; the CPU time
//! of the three is told apart.

mod arguments;
mod client;
mod connection;
mod counters;
mod cpu;
mod figures;
mod filler;
mod rig;

pub use self::arguments::Arguments;
pub use self::client::{Client, ROUTE, holds};
pub use self::connection::{Connection, Head, Reply, ReplyHead, Request};
pub use self::counters::Counters;
pub use self::cpu::{Cpu, Usage, family_time, forget_peak, peak_bytes, resident_bytes};
pub use self::figures::{Figures, Table, machine};
pub use self::filler::{Filler, Person};
pub use self::rig::{Rig, SERVER_NAME, Server};

/// Whatever goes wrong ends the bench.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
