//! Black-box tests: a real server, spoken to over HTTP, held to the Matrix specification.
//!
//! `cargo test --test spec` runs all of them against one server; `cargo test --test spec -- WORD` those whose
//! name holds the word. `--help` lists the rest: another server, a proxy before two replicas, a smaller crowd.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong by panicking")]
#![expect(clippy::print_stdout, reason = "a test run reports on the terminal")]
#![expect(unreachable_pub, reason = "a program of its own: nothing is exported")]

mod client_server;
mod coverage;
mod harness;
mod process;

use std::process::ExitCode;

use harness::Test;

fn main() -> ExitCode {
    harness::runner::main(all())
}

/// All tests there are.
fn all() -> Vec<Test> {
    [client_server::tests(), process::tests(), coverage::tests()].concat()
}
