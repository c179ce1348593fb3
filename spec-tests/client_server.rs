//! The client-server API, a file for each module of the specification.

mod conventions;
mod endpoints;

use crate::harness::Test;

/// All tests of this API.
pub fn tests() -> Vec<Test> {
    [conventions::tests(), endpoints::tests()].concat()
}
