//! Commands about the database.

use std::path::Path;

use hearth_store::backup;
use hearth_store::connect::{Database, database_status};

use super::output::say;
use crate::app::{Failure, pool, source};
use crate::config::Config;

/// Opens the database beside a server that may run, with its schema brought up to date.
pub(super) async fn open(config: &Config) -> Result<Database, Failure> {
    Ok(Database::open_for_command(source(config)?, &pool(config)).await?)
}

/// Brings the schema up to date.
pub(super) async fn migrate(config: &Config) -> Result<(), Failure> {
    open(config).await?.close().await;
    say("the database's schema is up to date");
    Ok(())
}

/// Says what there is.
pub(super) async fn status(config: &Config) -> Result<(), Failure> {
    let status = database_status(source(config)?).await?;
    let schema = &status.schema;
    say(&format!(
        "PostgreSQL   {}, {}",
        status.version,
        if status.private { "private" } else { "elsewhere" }
    ));
    say(&format!("size         {}", status.size));
    say(&format!("server name  {}", status.server_name.as_deref().unwrap_or("(never started)")));
    let applied = schema.applied.map_or_else(|| "none".to_owned(), |version| version.to_string());
    say(&format!("schema       {applied}; {} migrations pending", schema.pending));
    if let Some(head) = status.head {
        say(&format!("log          at position {head}"));
    }
    Ok(())
}

/// Writes everything into one file.
pub(super) async fn backup(config: &Config, file: &Path) -> Result<(), Failure> {
    let bytes = backup::write(source(config)?, config.database_programs.as_deref(), file).await?;
    say(&format!("wrote {} ({} KiB)", file.display(), bytes.div_ceil(1024)));
    Ok(())
}

/// Reads such a file into an empty database, and brings its schema up to date.
pub(super) async fn restore(config: &Config, file: &Path) -> Result<(), Failure> {
    backup::read(source(config)?, config.database_programs.as_deref(), file).await?;
    open(config).await?.close().await;
    say(&format!("restored {}", file.display()));
    Ok(())
}
