//! The server as a process: starting, stopping, crashing, several of them.

mod cli;
mod config;
mod mutations;
mod proxy;
mod start;

use crate::harness::Test;

/// All tests of the process.
pub fn tests() -> Vec<Test> {
    [cli::tests(), config::tests(), mutations::tests(), proxy::tests(), start::tests()].concat()
}
