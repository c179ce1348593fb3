//! What the tests stand on: a server, clients, the specification's schemas, and the runner.

pub mod bucket;
pub mod client;
pub mod cluster;
pub mod command;
pub mod endpoints;
pub mod hearth;
pub mod media;
pub mod options;
pub mod pages;
pub mod pictures;
pub mod postgres;
pub mod proof;
pub mod proxy;
pub mod raw;
pub mod record;
pub mod rooms;
pub mod runner;
pub mod schema;
pub mod server;
pub mod sliding;
pub mod storage;
pub mod stream;
pub mod sync;
pub mod user;

pub use self::client::{Call, Reply, enc};
pub use self::hearth::Hearth;
pub use self::media::Mxc;
pub use self::runner::Test;
pub(crate) use self::runner::tests;
pub use self::user::User;
