//! User-interactive authentication: a request that is made again and again, each time with one more stage
//! passed, until it is let through.
//!
//! Sessions are rows, so that any replica can go on with them. A session is for one route, one user and one
//! body. What of the body is secret is not stored: the client sends it again.

use hearth_core::id::UserNid;
use hearth_store::uia::{UiaProgress, UiaSession};
use hearth_store::{Store, StoreError};
use serde_json::{Map, Value, json};

use super::policy::GoodToken;
use super::{AccountError, Accounts, RegistrationPolicy, secret};
use crate::clock;

type JsonObject = Map<String, Value>;

/// Keys of a body that are never stored.
const SECRETS: [&str; 2] = ["password", "new_password"];

/// A stage of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing at all.
    Dummy,
    /// A registration token.
    RegistrationToken,
    /// Agreeing to documents.
    Terms,
    /// The password of whose token it is.
    Password,
}

/// Stages that, passed in this order, let a request through.
pub type Flow = Vec<Stage>;

/// A request that needs user-interactive authentication.
#[derive(Debug)]
pub struct Attempt {
    route: String,
    user: Option<UserNid>,
    request: JsonObject,
    secrets: JsonObject,
    auth: Option<JsonObject>,
    session: Option<UiaSession>,
}

/// A request that was let through.
#[derive(Debug)]
pub struct Passed {
    session: Option<String>,
    results: JsonObject,
}

/// What the client is told until then.
#[derive(Clone, Debug, PartialEq)]
pub struct Challenge {
    /// The flows offered.
    pub flows: Vec<Flow>,
    /// The stages passed.
    pub completed: Vec<String>,
    /// What the stages need.
    pub params: JsonObject,
    /// The session to go on with.
    pub session: String,
    /// Why the last stage was not passed.
    pub failure: Option<StageFailure>,
}

/// Why a stage was not passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageFailure {
    /// The session is unknown, expired, or of another request.
    UnknownSession,
    /// The stage is not the next of any flow.
    NotOffered,
    /// What the stage needs was not sent.
    Incomplete,
    /// The registration token is not valid.
    WrongToken,
    /// It is not the password of whose token it is.
    WrongPassword,
}

/// Why a request was not let through.
#[derive(Debug, thiserror::Error)]
pub enum UiaError {
    /// More is needed.
    #[error("more authentication is needed")]
    Challenge(Box<Challenge>),
    /// The session was begun with another body.
    #[error("the request changed since the session was begun")]
    OtherRequest,
    /// `auth` is not an object.
    #[error("auth is not an object")]
    BadAuth,
    /// The session of a fallback page is not known.
    #[error("the session is not known")]
    UnknownSession,
    /// A password could not be checked.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// User-interactive authentication. Cheap to clone.
#[derive(Clone)]
pub struct Uia {
    store: Store,
    policy: RegistrationPolicy,
    accounts: Accounts,
}

impl Stage {
    /// Its type in the protocol.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dummy => "m.login.dummy",
            Self::RegistrationToken => "m.login.registration_token",
            Self::Terms => "m.login.terms",
            Self::Password => "m.login.password",
        }
    }

    /// The stage of a type.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Dummy, Self::RegistrationToken, Self::Terms, Self::Password]
            .into_iter()
            .find(|stage| stage.name() == name)
    }
}

impl Attempt {
    /// The body of the request, less `auth`: of this request, or of the first one where this has none.
    #[must_use]
    pub fn body(&self) -> JsonObject {
        self.request.clone().into_iter().chain(self.secrets.clone()).collect()
    }
}

impl Passed {
    /// The registration token with a limited number of uses that was used, if one was.
    #[must_use]
    pub fn counted_token(&self) -> Option<String> {
        let used = self.results.get(Stage::RegistrationToken.name())?;
        let counted = used.get("counted")?.as_bool()?;
        counted.then(|| used.get("token")?.as_str().map(ToOwned::to_owned)).flatten()
    }
}

impl Uia {
    /// With sessions in `store`, registration tokens and terms as `policy` and passwords as `accounts` has them.
    #[must_use]
    pub const fn new(store: Store, policy: RegistrationPolicy, accounts: Accounts) -> Self {
        Self { store, policy, accounts }
    }

    /// Begins with the body of a request to `route`, made by `user` if there is one, and finds the session
    /// it goes on with.
    pub async fn begin(
        &self,
        route: String,
        user: Option<UserNid>,
        mut body: JsonObject,
    ) -> Result<Attempt, UiaError> {
        let auth = match body.remove("auth") {
            None | Some(Value::Null) => None,
            Some(Value::Object(auth)) => Some(auth),
            Some(_) => return Err(UiaError::BadAuth),
        };
        let secrets = SECRETS.iter().filter_map(|key| body.remove_entry(*key)).collect();
        let session = match auth.as_ref().and_then(|auth| auth.get("session")).and_then(Value::as_str) {
            Some(id) => self.store.uia_session(id).await?,
            None => None,
        };
        let session = session.filter(|session| session.route == route && session.user == user);
        let request = match &session {
            Some(session) => self.same_request(session, body).await?,
            None => body,
        };
        Ok(Attempt { route, user, request, secrets, auth, session })
    }

    async fn same_request(&self, session: &UiaSession, body: JsonObject) -> Result<JsonObject, UiaError> {
        if body.is_empty() || body == session.request {
            return Ok(session.request.clone());
        }
        if session.request.is_empty() {
            // Begun only to see the flows.
            self.store.set_uia_request(&session.id, &body).await?;
            return Ok(body);
        }
        Err(UiaError::OtherRequest)
    }

    /// Lets a request through if it has passed a flow; otherwise tries the stage it brings.
    pub async fn pass(&self, attempt: &Attempt, flows: &[Flow]) -> Result<Passed, UiaError> {
        let before = attempt.session.as_ref().map(|session| session.progress.clone()).unwrap_or_default();
        let mut session = attempt.session.as_ref().map(|session| session.id.clone());
        let (progress, failure) = match self.try_stage(attempt, flows, &before).await? {
            Tried::Nothing => (before, None),
            Tried::Failed(failure) => (before, Some(failure)),
            Tried::Passed(stage, result) => match &session {
                Some(id) => match self.store.pass_uia_stage(id, stage.name(), &result).await? {
                    Some(progress) => (progress, None),
                    None => (before, Some(StageFailure::UnknownSession)),
                },
                None => (after(before, stage, result), None),
            },
        };
        if failure.is_none() && flows.iter().any(|flow| is_complete(flow, &progress.completed)) {
            return Ok(Passed { session, results: progress.results });
        }
        let completed = progress.completed.clone();
        let id = match session.take() {
            Some(id) => id,
            None => self.keep(attempt, progress).await?,
        };
        Err(UiaError::Challenge(Box::new(Challenge {
            flows: flows.to_vec(),
            completed,
            params: self.params(flows),
            session: id,
            failure,
        })))
    }

    /// Ends the session of a request that has been carried out. Where that fails it is cleaned up by age.
    pub async fn finish(&self, passed: Passed) {
        let Some(id) = passed.session else { return };
        if let Err(error) = self.store.delete_uia_session(&id).await {
            tracing::warn!(%error, "a finished authentication session could not be deleted");
        }
    }

    /// Whether there is such a session, for a page that shows a stage of it.
    pub async fn is_known(&self, session: &str) -> Result<bool, UiaError> {
        Ok(self.store.uia_session(session).await?.is_some())
    }

    /// Tries a stage of a session from a page in the browser.
    pub async fn pass_by_page(
        &self,
        session: &str,
        stage: Stage,
        input: JsonObject,
    ) -> Result<Option<StageFailure>, UiaError> {
        let known = self.store.uia_session(session).await?.ok_or(UiaError::UnknownSession)?;
        match self.check(stage, &input, known.user).await? {
            Ok(result) => {
                let progress = self.store.pass_uia_stage(session, stage.name(), &result).await?;
                progress.map(|_| None).ok_or(UiaError::UnknownSession)
            }
            Err(failure) => Ok(Some(failure)),
        }
    }

    async fn try_stage(
        &self,
        attempt: &Attempt,
        flows: &[Flow],
        before: &UiaProgress,
    ) -> Result<Tried, UiaError> {
        let Some(auth) = &attempt.auth else { return Ok(Tried::Nothing) };
        if auth.contains_key("session") && attempt.session.is_none() {
            return Ok(Tried::Failed(StageFailure::UnknownSession));
        }
        // Without a type it only asks whether a page in the browser passed a stage meanwhile.
        let Some(name) = auth.get("type").and_then(Value::as_str) else { return Ok(Tried::Nothing) };
        if before.completed.iter().any(|completed| completed == name) {
            return Ok(Tried::Nothing);
        }
        let next = Stage::from_name(name)
            .filter(|stage| flows.iter().any(|flow| next_stage(flow, &before.completed) == Some(*stage)));
        let Some(stage) = next else { return Ok(Tried::Failed(StageFailure::NotOffered)) };
        Ok(match self.check(stage, auth, attempt.user).await? {
            Ok(result) => Tried::Passed(stage, result),
            Err(failure) => Tried::Failed(failure),
        })
    }

    async fn check(
        &self,
        stage: Stage,
        input: &JsonObject,
        owner: Option<UserNid>,
    ) -> Result<Result<Value, StageFailure>, UiaError> {
        match stage {
            Stage::Dummy | Stage::Terms => Ok(Ok(json!({}))),
            Stage::RegistrationToken => {
                let Some(token) = input.get("token").and_then(Value::as_str) else {
                    return Ok(Err(StageFailure::Incomplete));
                };
                Ok(match self.policy.check_token(token).await? {
                    Some(good) => Ok(json!({ "token": token, "counted": good == GoodToken::Counted })),
                    None => Err(StageFailure::WrongToken),
                })
            }
            Stage::Password => self.check_password(input, owner).await,
        }
    }

    /// > `identifier` … `user` is deprecated in favour of it.
    async fn check_password(
        &self,
        input: &JsonObject,
        owner: Option<UserNid>,
    ) -> Result<Result<Value, StageFailure>, UiaError> {
        let name = match input.get("identifier") {
            Some(identifier) if identifier.get("type").and_then(Value::as_str) == Some("m.id.user") => {
                identifier.get("user")
            }
            Some(_) => None,
            None => input.get("user"),
        };
        let password = input.get("password").and_then(Value::as_str);
        let (Some(name), Some(password)) = (name.and_then(Value::as_str), password) else {
            return Ok(Err(StageFailure::Incomplete));
        };
        // Of a request without a user there is nobody whose password it could be.
        let Some(owner) = owner else { return Ok(Err(StageFailure::WrongPassword)) };
        let right = self.accounts.is_password_of(owner, name, password.to_owned()).await?;
        Ok(if right { Ok(json!({})) } else { Err(StageFailure::WrongPassword) })
    }

    /// What clients must be told to pass the stages of these flows.
    fn params(&self, flows: &[Flow]) -> JsonObject {
        let is_offered = |name: &str| flows.iter().flatten().any(|stage| stage.name() == name);
        self.policy.params().into_iter().filter(|(name, _)| is_offered(name)).collect()
    }

    async fn keep(&self, attempt: &Attempt, progress: UiaProgress) -> Result<String, StoreError> {
        let session = UiaSession {
            id: secret::random(),
            route: attempt.route.clone(),
            user: attempt.user,
            request: attempt.request.clone(),
            progress,
            created_ts: clock::now_ms(),
        };
        self.store.add_uia_session(&session).await?;
        Ok(session.id)
    }
}

enum Tried {
    Nothing,
    Failed(StageFailure),
    Passed(Stage, Value),
}

fn after(mut progress: UiaProgress, stage: Stage, result: Value) -> UiaProgress {
    progress.completed.push(stage.name().to_owned());
    progress.results.insert(stage.name().to_owned(), result);
    progress
}

fn is_complete(flow: &[Stage], completed: &[String]) -> bool {
    flow.iter().all(|stage| completed.iter().any(|completed| completed == stage.name()))
}

/// The first stage of a flow that is not passed.
fn next_stage(flow: &[Stage], completed: &[String]) -> Option<Stage> {
    flow.iter().copied().find(|stage| completed.iter().all(|completed| completed != stage.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stages_of_a_flow_come_in_order() {
        let flow = [Stage::RegistrationToken, Stage::Terms];
        let token = || "m.login.registration_token".to_owned();
        assert_eq!(next_stage(&flow, &[]), Some(Stage::RegistrationToken));
        assert_eq!(next_stage(&flow, &[token()]), Some(Stage::Terms));
        assert!(!is_complete(&flow, &[token()]));
        assert!(is_complete(&flow, &[token(), "m.login.terms".into()]));
        assert_eq!(next_stage(&flow, &[token(), "m.login.terms".into()]), None);
    }
}
