//! Hearth: a federated chat homeserver that speaks Matrix.

mod app;
mod cli;
mod config;
mod lifecycle;
mod supervisor;
mod telemetry;
#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use hearth_store::private_postgres;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    // Before anything else: it becomes another user and then another program.
    if arguments.next().is_some_and(|first| first == private_postgres::SUBCOMMAND) {
        return private_postgres::run_subcommand(arguments);
    }
    // The one provider of cryptography for everything that speaks TLS; there is none before, so this cannot fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::run()
}
