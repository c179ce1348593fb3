//! What the server and the commands that change something both stand on: the database, the log, accounts.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth_services::accounts::{
    AccountSettings, Accounts, Registration, RegistrationMode, RegistrationPolicy,
};
use hearth_services::interned::Interned;
use hearth_services::log::{Log, LogSettings, Task};
use hearth_store::Store;
use hearth_store::connect::{Database, PoolSettings, Source};
use hearth_store::private_postgres::Options;
use hearth_store::server::Server;
use ruma::api::client::uiaa::{PolicyDefinition, PolicyTranslation};

use super::failure::Failure;
use super::identity;
use crate::config::{Config, Mode};
use crate::lifecycle::Stages;
use crate::supervisor::Supervisor;

/// The id under which clients remember that the terms were agreed to.
const TERMS: &str = "terms_of_service";

/// A command does one thing after the other.
const COMMAND_CONNECTIONS: u32 = 2;

/// What the database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serving.
    Server,
    /// One command, beside a server that may run.
    Command,
}

/// The database, the log over it and the accounts in it.
pub(crate) struct Foundation {
    database: Database,
    /// Who this server is.
    pub(crate) server: Server,
    /// Whether it was made just now.
    pub(crate) is_new: bool,
    pub(crate) log: Log,
    pub(crate) policy: RegistrationPolicy,
    pub(crate) interned: Interned,
    pub(crate) accounts: Accounts,
    pub(crate) supervisor: Supervisor,
    pub(crate) stages: Stages,
    tasks: Vec<Task>,
}

impl Foundation {
    /// Opens the database and the log. Nothing moves before [`Foundation::begin`], so that caches can be
    /// registered with the log.
    pub(crate) async fn open(config: &Config, role: Role) -> Result<Self, Failure> {
        let mut settings = pool(config);
        if role == Role::Command {
            settings.size = settings.size.min(COMMAND_CONNECTIONS);
        }
        let database = match role {
            Role::Server => Database::open(source(config)?, &settings).await?,
            Role::Command => Database::open_for_command(source(config)?, &settings).await?,
        };
        let store = database.store.clone();
        let is_new = store.server().await?.is_none();
        let server = match identity::establish(&store, &config.server_name).await {
            Ok(server) => server,
            Err(error) => {
                database.close().await;
                return Err(error.into());
            }
        };
        let (supervisor, stages) = (Supervisor::default(), Stages::default());
        let log_settings = LogSettings {
            poll_interval: config.log_poll_interval,
            transaction_lifetime: config.transaction_lifetime,
            uia_lifetime: config.uia_session_lifetime,
            sliding_lifetime: config.sync_connection_lifetime,
        };
        let connect = database.connect_options().clone();
        let (log, tasks) = Log::open(store.clone(), connect, log_settings, stages.stopping.clone()).await?;
        let interned = Interned::new(store.clone());
        let policy = RegistrationPolicy::new(store.clone(), registration(config));
        let account_settings = AccountSettings {
            server_name: config.server_name.clone(),
            argon2_memory_kib: config.password_argon2_memory_kib,
            access_token_lifetime: config.access_token_lifetime,
            login_token_lifetime: config.login_token_lifetime,
            openid_token_lifetime: config.openid_token_lifetime,
        };
        let accounts = Accounts::new(store, log.clone(), interned.clone(), policy.clone(), &account_settings);
        Ok(Self { database, server, is_new, log, policy, interned, accounts, supervisor, stages, tasks })
    }

    /// Starts the log's tasks.
    pub(crate) fn begin(&mut self) {
        for task in self.tasks.drain(..) {
            self.supervisor.run(task.name, self.stages.stopping.clone(), task.run);
        }
    }

    /// The store.
    pub(crate) const fn store(&self) -> &Store {
        &self.database.store
    }

    /// Lets the writer commit what waits, for at most `flush`, and lets go of the database.
    pub(crate) async fn close(self, flush: Duration) {
        self.stages.draining.cancel();
        self.stages.closing.cancel();
        self.stages.stopping.cancel();
        let left = self.supervisor.wait_for_tasks(flush).await;
        if left > 0 {
            tracing::warn!("{left} tasks did not end within {} s", flush.as_secs());
        }
        if let Err(error) = self.log.leave().await {
            tracing::warn!("the other replicas could not be told of the end: {error}");
        }
        self.database.close().await;
    }
}

/// Where the database is.
pub(crate) fn source(config: &Config) -> Result<Source, Failure> {
    if let Some(url) = &config.database_url {
        return Ok(Source::Url(url.0.clone()));
    }
    let exe = std::env::current_exe()
        .map_err(|error| Failure::Start(format!("cannot find the path of this program: {error}")))?;
    let mut options = Options::new(&config.data_dir, exe);
    options.programs.clone_from(&config.database_programs);
    options.connections = config.database_pool_size;
    Ok(Source::Private(options))
}

/// How the pool is made.
pub(crate) const fn pool(config: &Config) -> PoolSettings {
    PoolSettings {
        size: config.database_pool_size,
        acquire_timeout: config.database_acquire_timeout,
        statement_timeout: config.database_statement_timeout,
    }
}

/// Who may register, as the configuration says.
pub(super) fn registration(config: &Config) -> Registration {
    let mode = match config.registration_mode {
        Mode::Closed => RegistrationMode::Closed,
        Mode::Token => RegistrationMode::Token,
        Mode::Open => RegistrationMode::Open,
    };
    let mut terms = BTreeMap::new();
    if let (Some(version), Some(url)) = (&config.registration_terms_version, &config.registration_terms_url) {
        let name = config.registration_terms_name.clone();
        let translation = PolicyTranslation { name, url: url.0.clone() };
        let translations = BTreeMap::from([("en".to_owned(), translation)]);
        terms.insert(TERMS.to_owned(), PolicyDefinition { version: version.clone(), translations });
    }
    Registration { mode, token: config.registration_token.as_ref().map(|token| token.0.clone()), terms }
}
