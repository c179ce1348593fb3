//! Hearth.

#[cfg(test)]
mod tidy;

use std::process::ExitCode;

use hearth_store::private_postgres;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == private_postgres::SUBCOMMAND) {
        return private_postgres::run_subcommand(arguments);
    }
    ExitCode::SUCCESS
}
