//! The server as a process: starting, stopping, crashing, several of them.

mod mutations;
mod proxy;

use crate::harness::Test;

/// All tests of the process.
pub fn tests() -> Vec<Test> {
    [mutations::tests(), proxy::tests()].concat()
}
