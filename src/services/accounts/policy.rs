//! Who may register, and by which stages.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use hearth_store::{Store, StoreError};
use ruma::api::client::uiaa::{LoginTermsParams, PolicyDefinition};
use serde_json::{Map, Value};

use super::uia::{Flow, Stage};
use super::{AccountError, secret};
use crate::clock;

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RegistrationMode {
    /// Nobody.
    Closed,
    /// Who knows a registration token.
    #[default]
    Token,
    /// Anybody.
    Open,
}

/// How registration is configured.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    /// Who may.
    pub mode: RegistrationMode,
    /// The standing token; with none, the one made at the first start.
    pub token: Option<String>,
    /// Documents that must be agreed to, by the id of their policy.
    pub terms: BTreeMap<String, PolicyDefinition>,
}

/// The configuration of registration in force. Cheap to clone; every clone sees a change.
#[derive(Clone, Debug)]
pub struct RegistrationPolicy {
    store: Store,
    current: Arc<RwLock<Arc<Registration>>>,
}

/// A registration token that is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoodToken {
    /// Good for any number of accounts.
    Standing,
    /// Every account counts.
    Counted,
}

impl RegistrationPolicy {
    /// A policy that starts as `registration`.
    #[must_use]
    pub fn new(store: Store, registration: Registration) -> Self {
        Self { store, current: Arc::new(RwLock::new(Arc::new(registration))) }
    }

    /// Puts another configuration in force.
    pub fn set(&self, registration: Registration) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registration);
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> Arc<Registration> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The ways to register, if there are any.
    pub fn flows(&self) -> Result<Vec<Flow>, AccountError> {
        let current = self.current();
        let token = match current.mode {
            RegistrationMode::Closed => return Err(AccountError::RegistrationClosed),
            RegistrationMode::Token => Some(Stage::RegistrationToken),
            RegistrationMode::Open => None,
        };
        let terms = (!current.terms.is_empty()).then_some(Stage::Terms);
        // The dummy follows a token although it asks nothing: clients were written against servers that ask
        // for both, and matrix-nio sends it unasked.
        Ok(vec![token.into_iter().chain([Stage::Dummy]).chain(terms).collect()])
    }

    /// What clients must be told to pass the stages.
    pub(super) fn params(&self) -> Map<String, Value> {
        let current = self.current();
        if current.terms.is_empty() {
            return Map::new();
        }
        let terms = LoginTermsParams { policies: current.terms.clone() };
        // Strings in maps: there is nothing in it that JSON does not have.
        let terms = serde_json::to_value(terms).unwrap_or_default();
        Map::from_iter([(Stage::Terms.name().to_owned(), terms)])
    }

    /// Whether an account can be registered with this token now.
    pub async fn is_token_valid(&self, token: &str) -> Result<bool, StoreError> {
        Ok(self.check_token(token).await?.is_some())
    }

    pub(super) async fn check_token(&self, token: &str) -> Result<Option<GoodToken>, StoreError> {
        let current = self.current();
        let standing = match &current.token {
            Some(configured) => Some(configured.clone()),
            None => self.store.standing_token().await?,
        };
        if standing.is_some_and(|standing| secret::equal(&standing, token)) {
            return Ok(Some(GoodToken::Standing));
        }
        let counted = self.store.registration_token_is_valid(token, clock::now_ms()).await?;
        Ok(counted.then_some(GoodToken::Counted))
    }
}
