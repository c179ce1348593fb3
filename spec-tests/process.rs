//! The server as a process: starting, stopping, crashing, several of them.

mod abuse;
mod cli;
mod config;
mod crash;
mod disk;
mod external_postgres;
mod media_buckets;
mod media_care;
mod media_crash;
mod media_replicas;
mod mutations;
mod presence;
mod profiles;
mod proxy;
mod replicas;
mod start;
mod streams;
mod systemd;

use crate::harness::Test;

/// All tests of the process.
pub fn tests() -> Vec<Test> {
    [
        abuse::tests(),
        cli::tests(),
        config::tests(),
        crash::tests(),
        disk::tests(),
        external_postgres::tests(),
        media_buckets::tests(),
        media_care::tests(),
        media_crash::tests(),
        media_replicas::tests(),
        mutations::tests(),
        presence::tests(),
        profiles::tests(),
        proxy::tests(),
        replicas::tests(),
        start::tests(),
        streams::tests(),
        systemd::tests(),
    ]
    .concat()
}
