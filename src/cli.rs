//! The command line.

mod database;
mod health;
mod key;
mod media;
pub(crate) mod output;
mod password;
mod user;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use hearth_store::connect::{Advice, ConnectError, examine};

use self::media::MediaCommand;
use self::output::{complain, say};
use self::user::Deed;
use crate::app::{self, Failure};
use crate::config::{self, Loaded};
use crate::telemetry;

/// What commands log: what takes long, and what is wrong.
const COMMAND_LEVEL: &str = "warn,hearth_store::private_postgres=info,hearth_store::connect=info";

/// A federated chat homeserver that speaks Matrix.
///
/// Without a command it serves. Without any configuration it keeps everything in ./data, runs a PostgreSQL of its
/// own there, and listens on 127.0.0.1:8008.
#[derive(Debug, Parser)]
#[command(name = "hearth", version, after_help = AFTER)]
struct Arguments {
    /// The configuration file [default: ./hearth.yaml, if it is there]
    #[arg(long, short, global = true, value_name = "FILE", env = "HEARTH_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER: &str = "\
A first server:
  hearth                            start it; it prints its address and its registration token
  hearth user create alice --admin  in another terminal: the first account
  hearth config example             every setting, with what it is for";

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until told to stop (SIGTERM or ^C); SIGHUP reloads log level, limits and registration
    Serve,
    /// Say whether the server on this machine can serve, by its /ready; fails where it cannot
    Health,
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make accounts and reset passwords, whether the server runs or not
    #[command(subcommand)]
    User(UserCommand),
    /// What people need to register
    #[command(subcommand)]
    Registration(RegistrationCommand),
    /// The key that this server signs with
    #[command(subcommand)]
    Key(KeyCommand),
    /// Look after the files that users uploaded
    #[command(subcommand)]
    Media(MediaCommand),
    /// Look after the database
    #[command(subcommand)]
    Db(DatabaseCommand),
    /// Print the version
    Version,
    /// Print what a shell needs to complete these commands
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether it is right
    Check,
    /// Print every setting as it is in force, and where it was set; secrets are left out
    Show,
    /// Print a configuration file with every setting explained
    Example,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account; asks for its password
    Create {
        /// The name: alice becomes @alice:your.server
        name: String,
        /// Let the account administrate the server
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// List the accounts
    List,
    /// Let an account do nothing but log out, until it is unlocked
    Lock {
        /// The name, or the full user id
        name: String,
    },
    /// Lift a lock
    Unlock {
        /// The name, or the full user id
        name: String,
    },
    /// Let an account read and leave, but not take part, until it is unsuspended
    Suspend {
        /// The name, or the full user id
        name: String,
    },
    /// Lift a suspension
    Unsuspend {
        /// The name, or the full user id
        name: String,
    },
    /// End an account for good; its user leaves their rooms while the server runs
    Deactivate {
        /// The name, or the full user id
        name: String,
        /// Show what the user said only to those who were there
        #[arg(long)]
        erase: bool,
    },
    /// Give an account another password, and log all its devices out; asks for the password
    ResetPassword {
        /// The name, or the full user id
        name: String,
        #[command(flatten)]
        password: PasswordFrom,
    },
}

/// Where a password comes from; never from the arguments, which everybody on the machine can read.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct PasswordFrom {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum RegistrationCommand {
    /// Print the registration token
    Token {
        /// Make a new one first; the old one is good for nothing from then on
        #[arg(long)]
        new: bool,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Print the signing key in use; whoever has it can speak for this server
    Export,
    /// Sign with another key from the next start on: a file with a line `ed25519 VERSION SEED`
    Import {
        /// The file, or - for standard input
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum DatabaseCommand {
    /// Bring the schema up to date; starting the server does the same
    Migrate,
    /// Say what there is
    Status,
    /// Write everything into one file, while the server runs or not
    Backup {
        /// The file to write
        file: PathBuf,
    },
    /// Read such a file into an empty database; the server must not run
    Restore {
        /// The file to read
        file: PathBuf,
    },
}

/// Does what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.to_string());
            failure.exit_code()
        }
    }
}

async fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let file = arguments.config;
    match arguments.command.unwrap_or(Command::Serve) {
        Command::Serve => app::serve(config::load(file.as_deref())?, file).await,
        Command::Version => {
            say(&format!("hearth {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "hearth", &mut io::stdout());
            Ok(())
        }
        Command::Config(ConfigCommand::Example) => {
            say(config::example().trim_end());
            Ok(())
        }
        command => with_configuration(command, config::load(file.as_deref())?).await,
    }
}

async fn with_configuration(command: Command, loaded: Loaded) -> Result<(), Failure> {
    let config = &loaded.config;
    if !matches!(command, Command::Config(_) | Command::Health) {
        telemetry::start_logging(COMMAND_LEVEL, config.log_format).map_err(Failure::Start)?;
    }
    match command {
        Command::Config(ConfigCommand::Check) => check(&loaded).await,
        Command::Config(_) => {
            say(config::shown(&loaded).trim_end());
            Ok(())
        }
        Command::Health => health::ask(config).await,
        Command::User(UserCommand::Create { name, admin, password }) => {
            user::create(config, name, admin, &password).await
        }
        Command::User(UserCommand::List) => user::list(config).await,
        Command::User(UserCommand::Lock { name }) => user::change(config, &name, Deed::Lock).await,
        Command::User(UserCommand::Unlock { name }) => user::change(config, &name, Deed::Unlock).await,
        Command::User(UserCommand::Suspend { name }) => user::change(config, &name, Deed::Suspend).await,
        Command::User(UserCommand::Unsuspend { name }) => user::change(config, &name, Deed::Unsuspend).await,
        Command::User(UserCommand::Deactivate { name, erase }) => {
            user::change(config, &name, Deed::Deactivate { erase }).await
        }
        Command::User(UserCommand::ResetPassword { name, password }) => {
            user::reset_password(config, &name, &password).await
        }
        Command::Registration(RegistrationCommand::Token { new }) => user::token(config, new).await,
        Command::Key(KeyCommand::Export) => key::export(config).await,
        Command::Key(KeyCommand::Import { file }) => key::import(config, &file).await,
        Command::Media(command) => media::run(config, command).await,
        Command::Db(DatabaseCommand::Migrate) => database::migrate(config).await,
        Command::Db(DatabaseCommand::Status) => database::status(config).await,
        Command::Db(DatabaseCommand::Backup { file }) => database::backup(config, &file).await,
        Command::Db(DatabaseCommand::Restore { file }) => database::restore(config, &file).await,
        Command::Serve | Command::Version | Command::Completions { .. } => Ok(()),
    }
}

/// Says what is unwise about the configuration, and about the database where it names one.
async fn check(loaded: &Loaded) -> Result<(), Failure> {
    let mut advice = Advice { warnings: loaded.warnings.clone(), notes: Vec::new() };
    if let Some(url) = &loaded.config.database_url {
        match examine(&url.0, &app::pool(&loaded.config)).await {
            Ok(found) => {
                advice.warnings.extend(found.warnings);
                advice.notes.extend(found.notes);
            }
            // The place where a configuration is checked need not reach the database.
            Err(error @ ConnectError::Unreachable(_)) => advice.warnings.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    for warning in &advice.warnings {
        say(&format!("warning: {warning}"));
    }
    for note in &advice.notes {
        say(&format!("note: {note}"));
    }
    say("the configuration is right");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_password_is_never_an_argument() {
        assert!(Arguments::try_parse_from(["hearth", "user", "create", "alice", "--password", "x"]).is_err());
        assert!(Arguments::try_parse_from(["hearth", "user", "create", "alice", "x"]).is_err());
    }

    #[test]
    fn nothing_at_all_means_to_serve() {
        assert!(Arguments::try_parse_from(["hearth"]).unwrap().command.is_none());
    }
}
