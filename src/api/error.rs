//! Every error a client can see: one table from what happened to a status, an errcode and a sentence.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use hearth_core::canonical_json::JsonError;
use hearth_core::pdu::BuildError;
use hearth_services::StoreError;
use hearth_services::account_data::AccountDataError;
use hearth_services::accounts::AccountError;
use hearth_services::accounts::uia::{Challenge, Flow, StageFailure, UiaError};
use hearth_services::ephemeral::presence::PresenceError;
use hearth_services::ephemeral::receipts::ReceiptError;
use hearth_services::ephemeral::typing::TypingError;
use hearth_services::filters::FilterError;
use hearth_services::log::CommitError;
use hearth_services::media::MediaError;
use hearth_services::profiles::ProfileError;
use hearth_services::rooms::RoomError;
use hearth_services::sync::SyncError;
use http::StatusCode;
use ruma::api::OutgoingResponse;
use ruma::api::client::uiaa::{AuthFlow, AuthType, UiaaInfo, UiaaResponse};
use ruma::api::error::{
    Error as MatrixError, ErrorBody, ErrorKind, LimitExceededErrorData, RetryAfter, StandardErrorBody,
    UnknownTokenErrorData, UserLimitExceededErrorData,
};

use crate::reply::Json;

/// The result of every handler.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request has no result.
#[derive(Debug)]
pub(crate) struct Error(Box<Kind>);

#[derive(Debug)]
enum Kind {
    /// The client is told what is wrong.
    Refused { status: StatusCode, kind: ErrorKind, message: Cow<'static, str> },
    /// The client must authenticate further.
    Challenge(Box<Challenge>),
    /// Something that the server needs is away: trying again may help.
    Unavailable(&'static str, Box<dyn std::error::Error + Send + Sync>),
    /// The server is at fault. The client learns nothing but an id that is also in the log.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

/// How long a client should wait before it tries again what found the server busy.
const BUSY: Duration = Duration::from_secs(2);

const DATABASE: &str = "its database";

impl Error {
    /// An error with its status, errcode and sentence.
    pub(crate) fn new(status: StatusCode, kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Kind::Refused { status, kind, message: message.into() }))
    }

    pub(crate) fn bad_request(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, kind, message)
    }

    pub(crate) fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorKind::Forbidden, message)
    }

    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorKind::NotFound, message)
    }

    pub(crate) fn missing_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorKind::MissingToken, "This request needs an access token.")
    }

    pub(crate) fn unknown_token() -> Self {
        let kind = ErrorKind::UnknownToken(UnknownTokenErrorData { soft_logout: false });
        Self::new(StatusCode::UNAUTHORIZED, kind, "The token is not known. Log in again.")
    }

    /// The token is good, but not for as long as an administrator locks the account.
    pub(crate) fn locked() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            ErrorKind::UserLocked,
            "This account is locked by an administrator.",
        )
    }

    pub(crate) fn suspended() -> Self {
        let message =
            "This account is suspended by an administrator: it can read, and leave, but not take part.";
        Self::new(StatusCode::FORBIDDEN, ErrorKind::UserSuspended, message)
    }

    /// Too many requests. Both places that tell how long to wait say whole seconds, rounded up.
    pub(crate) fn limit_exceeded(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let retry_after = Some(RetryAfter::Delay(Duration::from_secs(seconds.max(1))));
        let kind = ErrorKind::LimitExceeded(LimitExceededErrorData { retry_after });
        Self::new(StatusCode::TOO_MANY_REQUESTS, kind, "Too many requests: try again later.")
    }

    /// Too many requests of everybody are worked on.
    pub(crate) fn overloaded() -> Self {
        Self::limit_exceeded(BUSY)
    }

    /// The body does not come.
    pub(crate) fn slow_body() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, ErrorKind::Unknown, "The body came too slowly.")
    }

    pub(crate) fn deadline() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unknown,
            "The server took too long: it is too busy.",
        )
    }

    /// What this process knows may be long past.
    pub(crate) fn out_of_touch() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unknown,
            "The server has lost touch with its database. Try again later.",
        )
    }

    pub(crate) fn full() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unknown,
            "The server's disk is full: nothing can be written. Try again later.",
        )
    }

    /// The server's own fault.
    pub(crate) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Box::new(Kind::Internal(error.into())))
    }

    /// The reply. What is not the client's doing is logged here, once.
    pub(crate) fn into_response(self) -> Response {
        match *self.0 {
            Kind::Refused { status, kind, message } => render(standard(status, kind, message.into_owned())),
            Kind::Challenge(challenge) => render(challenge_body(*challenge)),
            Kind::Unavailable(what, error) => {
                let id = error_id();
                tracing::warn!(error.id = %id, %error, "the server cannot reach {what}");
                let message = format!("The server cannot reach {what}. Try again later. ({id})");
                render(standard(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message))
            }
            Kind::Internal(error) => {
                let id = error_id();
                tracing::error!(error.id = %id, %error, "a request failed");
                let message = format!("The server made a mistake. Its log tells more under {id}.");
                render(standard(StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown, message))
            }
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self(Box::new(Kind::Unavailable(DATABASE, Box::new(error)))),
            StoreError::Conflict(_) | StoreError::Refused(_) | StoreError::Corrupt { .. } => {
                Self::internal(error)
            }
        }
    }
}

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Busy => Self::limit_exceeded(BUSY),
            CommitError::Full => Self::full(),
            CommitError::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, "The server is stopping.")
            }
            CommitError::Unavailable => Self(Box::new(Kind::Unavailable(DATABASE, Box::new(error)))),
            CommitError::Store(error) => error.into(),
            // What these mean to a client only the service knows that proposed it.
            CommitError::RoomMoved | CommitError::Repeated(_) | CommitError::Taken | CommitError::Absent => {
                Self::internal(error)
            }
        }
    }
}

impl From<AccountError> for Error {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::RegistrationClosed => Self::forbidden("Registration is closed on this server."),
            AccountError::NameTaken => {
                Self::bad_request(ErrorKind::UserInUse, "Somebody has, or had, an account of this name.")
            }
            AccountError::Name(error) => Self::bad_request(ErrorKind::InvalidUsername, error.to_string()),
            AccountError::DeviceId(error) | AccountError::DeviceName(error) => {
                Self::bad_request(ErrorKind::InvalidParam, error.to_string())
            }
            AccountError::PasswordLength => Self::bad_request(
                ErrorKind::WeakPassword,
                "A password has at least one and at most 1024 bytes.",
            ),
            AccountError::WrongPassword => Self::forbidden("The user name or the password is wrong."),
            AccountError::Deactivated => {
                Self::new(StatusCode::FORBIDDEN, ErrorKind::UserDeactivated, "This account was deactivated.")
            }
            AccountError::WrongLoginToken => Self::forbidden("The login token is not known, or no longer."),
            AccountError::UnknownRefreshToken => Self::unknown_token(),
            AccountError::TokenExpired => {
                let kind = ErrorKind::UnknownToken(UnknownTokenErrorData { soft_logout: true });
                Self::new(
                    StatusCode::UNAUTHORIZED,
                    kind,
                    "The access token expired. Refresh it, or log in again.",
                )
            }
            AccountError::Locked => Self::locked(),
            AccountError::NoAccount => Self::not_found("There is no such account."),
            AccountError::NoDevice => Self::not_found("There is no such device."),
            AccountError::TokenUsedUp => {
                Self::forbidden("The registration token was used as often as it may be.")
            }
            AccountError::TooManyGuesses(wait) => Self::limit_exceeded(wait),
            AccountError::Busy => Self::limit_exceeded(BUSY),
            AccountError::Hash(_) => Self::internal(error),
            AccountError::Commit(error) => error.into(),
            AccountError::Store(error) => error.into(),
        }
    }
}

fn content_error(error: &JsonError) -> ErrorKind {
    if error.is_syntax() { ErrorKind::NotJson } else { ErrorKind::BadJson }
}

impl From<UiaError> for Error {
    fn from(error: UiaError) -> Self {
        match error {
            UiaError::Challenge(challenge) => Self(Box::new(Kind::Challenge(challenge))),
            UiaError::OtherRequest => {
                Self::forbidden("The request changed since its authentication was begun.")
            }
            UiaError::BadAuth => Self::bad_request(ErrorKind::BadJson, "\"auth\" must be an object."),
            UiaError::UnknownSession => {
                Self::not_found("This authentication session is not known, or expired.")
            }
            UiaError::Account(error) => error.into(),
            UiaError::Store(error) => error.into(),
        }
    }
}

impl From<AccountDataError> for Error {
    fn from(error: AccountDataError) -> Self {
        match error {
            AccountDataError::Managed => Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                ErrorKind::BadJson,
                "The server manages this type itself: it cannot be set here.",
            ),
            AccountDataError::Absent => Self::not_found("There is no account data of this type."),
            AccountDataError::UnknownRoom => Self::not_found("The room is not known here."),
            AccountDataError::Name(error) => Self::bad_request(ErrorKind::InvalidParam, error.to_string()),
            AccountDataError::BadContent => {
                Self::bad_request(ErrorKind::BadJson, "The content is not what this type requires.")
            }
            AccountDataError::IgnoresSelf => {
                Self::bad_request(ErrorKind::InvalidParam, "You cannot ignore yourself.")
            }
            AccountDataError::BadOrder => {
                Self::bad_request(ErrorKind::BadJson, "The order of a tag is a number from 0 to 1.")
            }
            AccountDataError::Commit(error) => error.into(),
            AccountDataError::Store(error) => error.into(),
        }
    }
}

impl From<ReceiptError> for Error {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::WrongThread => {
                Self::bad_request(ErrorKind::InvalidParam, "The event is not in that thread.")
            }
            ReceiptError::Room(error) => error.into(),
            ReceiptError::Marker(error) => error.into(),
            ReceiptError::Commit(error) => error.into(),
            ReceiptError::Store(error) => error.into(),
        }
    }
}

impl From<TypingError> for Error {
    fn from(error: TypingError) -> Self {
        match error {
            TypingError::Room(error) => error.into(),
            TypingError::Commit(error) => error.into(),
        }
    }
}

impl From<PresenceError> for Error {
    fn from(error: PresenceError) -> Self {
        match error {
            PresenceError::NotShared => Self::forbidden("You are in no room with this user."),
            PresenceError::Status(error) => Self::bad_request(ErrorKind::InvalidParam, error.to_string()),
            PresenceError::Commit(error) => error.into(),
            PresenceError::Store(error) => error.into(),
        }
    }
}

impl From<MediaError> for Error {
    fn from(error: MediaError) -> Self {
        let too_large =
            |message: String| Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, message);
        match error {
            MediaError::Absent => Self::not_found("There is no such file here."),
            MediaError::NotYetUploaded => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                ErrorKind::NotYetUploaded,
                "The file has not been uploaded yet. Try again later.",
            ),
            MediaError::Filled => Self::new(
                StatusCode::CONFLICT,
                ErrorKind::CannotOverwriteMedia,
                "This id has its file already.",
            ),
            MediaError::NotYours => Self::forbidden("This id was reserved by another user."),
            MediaError::TooManyPending | MediaError::Busy => Self::limit_exceeded(BUSY),
            MediaError::TooLarge(most) => too_large(format!("A file may have at most {most} bytes.")),
            MediaError::NoAddress => Self::bad_request(ErrorKind::InvalidParam, sentence(&error)),
            MediaError::WrongLength { .. } | MediaError::NoThumbnail(_) => {
                Self::bad_request(ErrorKind::Unknown, sentence(&error))
            }
            MediaError::UserFull(None) => Self::forbidden("Your files take all the room that you have here."),
            MediaError::UserFull(Some(page)) => {
                let kind = ErrorKind::UserLimitExceeded(UserLimitExceededErrorData::new(page));
                Self::new(StatusCode::FORBIDDEN, kind, "Your files take all the room that you have here.")
            }
            MediaError::ServerFull => Self::forbidden("This server has no room for more files."),
            MediaError::Blocked => {
                Self::forbidden("The administrators of this server do not allow this file.")
            }
            MediaError::WrongOffset(_) => {
                Self::new(StatusCode::CONFLICT, ErrorKind::Unknown, sentence(&error))
            }
            MediaError::NoPreview(_) => {
                Self::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, sentence(&error))
            }
            MediaError::PictureTooLarge => too_large(sentence(&error)),
            MediaError::Scanner(_) | MediaError::Storage(_) => {
                Self(Box::new(Kind::Unavailable("the storage of its media", Box::new(error))))
            }
            MediaError::Full => Self::full(),
            MediaError::Lost(_) => Self::internal(error),
            MediaError::Store(error) => error.into(),
        }
    }
}

impl From<FilterError> for Error {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Invalid(_) | FilterError::BadJson(_) => {
                Self::bad_request(ErrorKind::BadJson, format!("This is not a filter: {error}."))
            }
            FilterError::TooMany => {
                Self::bad_request(ErrorKind::Unknown, "This account has too many filters already.")
            }
            FilterError::Absent => Self::not_found("There is no such filter."),
            FilterError::Store(error) => error.into(),
        }
    }
}

impl From<ProfileError> for Error {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Absent => Self::not_found("There is no such user, or they have not set this."),
            ProfileError::BadKey => Self::bad_request(
                ErrorKind::InvalidParam,
                "A profile field is displayname, avatar_url, or a name like org.example.field.",
            ),
            ProfileError::KeyTooLong => Self::bad_request(
                ErrorKind::KeyTooLarge,
                "The name of a profile field has at most 255 bytes.",
            ),
            ProfileError::BadValue => {
                Self::bad_request(ErrorKind::InvalidParam, "The value is not what this field requires.")
            }
            ProfileError::ValueTooLong => {
                Self::bad_request(ErrorKind::InvalidParam, "The value is too long for this field.")
            }
            ProfileError::TooLarge => {
                Self::bad_request(ErrorKind::ProfileTooLarge, "A profile has at most 65536 bytes in all.")
            }
            ProfileError::Commit(error) => error.into(),
            ProfileError::Store(error) => error.into(),
        }
    }
}

impl From<RoomError> for Error {
    fn from(error: RoomError) -> Self {
        let status = |status, kind| Self::new(status, kind, sentence(&error));
        let bad_request = |kind| Self::bad_request(kind, sentence(&error));
        match error {
            RoomError::UnknownRoom | RoomError::UnknownEvent | RoomError::UnknownAlias => {
                status(StatusCode::NOT_FOUND, ErrorKind::NotFound)
            }
            RoomError::AliasTaken => status(StatusCode::CONFLICT, ErrorKind::Unknown),
            RoomError::Denied(_) | RoomError::Membership(_) | RoomError::Remote(_) => {
                status(StatusCode::FORBIDDEN, ErrorKind::Forbidden)
            }
            RoomError::InvalidParameter(_)
            | RoomError::Grammar(_)
            | RoomError::UnknownPreset
            | RoomError::TooMany { .. }
            | RoomError::Build(
                BuildError::FieldTooLong(_) | BuildError::Nul(_) | BuildError::TooManyReferences(_),
            ) => bad_request(ErrorKind::InvalidParam),
            RoomError::BadAlias(_) => bad_request(ErrorKind::BadAlias),
            RoomError::InvalidState(_) => bad_request(ErrorKind::InvalidRoomState),
            RoomError::StillIn => bad_request(ErrorKind::Unknown),
            RoomError::Content(ref content) => bad_request(content_error(content)),
            RoomError::Build(BuildError::TooLarge(_)) => {
                status(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge)
            }
            RoomError::Build(_) => Self::internal(error),
            RoomError::Contended | RoomError::NewStateKey(_) => Self::limit_exceeded(BUSY),
            RoomError::Commit(CommitError::Taken) => {
                Self::bad_request(ErrorKind::RoomInUse, "Another room has this alias.")
            }
            RoomError::Commit(error) => error.into(),
            RoomError::Store(error) => error.into(),
        }
    }
}

impl From<SyncError> for Error {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::UnknownToken => Self::bad_request(
                ErrorKind::InvalidParam,
                "This server did not give out this token: sync again without one.",
            ),
            SyncError::UnknownPos => Self::bad_request(
                ErrorKind::UnknownPos,
                "The position is unknown or has expired: begin anew without one.",
            ),
            SyncError::BadFilter(why) => {
                Self::bad_request(ErrorKind::BadJson, format!("This is not a filter: {why}."))
            }
            SyncError::Relations => {
                Self::bad_request(ErrorKind::InvalidParam, "This server does not filter by relations yet.")
            }
            SyncError::TooMany => Self::limit_exceeded(BUSY),
            SyncError::Behind => Self(Box::new(Kind::Unavailable(DATABASE, Box::new(error)))),
            SyncError::Filter(error) => error.into(),
            SyncError::Store(error) => error.into(),
        }
    }
}

/// What went wrong, as a sentence.
fn sentence(error: &impl std::error::Error) -> String {
    let said = error.to_string();
    let mut letters = said.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if said.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Any reply as bytes.
pub(crate) fn render(reply: impl OutgoingResponse) -> Response {
    use ruma::api::OutgoingResponseExt;
    match reply.try_into_http_response::<Vec<u8>>() {
        Ok(response) => response.map(Body::from),
        Err(error) => {
            tracing::error!(%error, "a reply cannot be written");
            let mut response =
                Response::new(Body::from(r#"{"errcode":"M_UNKNOWN","error":"The server made a mistake."}"#));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

fn standard(status: StatusCode, kind: ErrorKind, message: String) -> MatrixError {
    MatrixError { status_code: status, body: ErrorBody::Standard(StandardErrorBody { kind, message }) }
}

/// The body that asks for more authentication.
///
/// > A homeserver … responds with … 401 … `flows`, `params`, `session` and, after a stage, `completed`.
fn challenge_body(challenge: Challenge) -> UiaaResponse {
    let flow = |flow: &Flow| AuthFlow { stages: flow.iter().map(|s| AuthType::from(s.name())).collect() };
    UiaaResponse::AuthResponse(UiaaInfo {
        flows: challenge.flows.iter().map(flow).collect(),
        completed: challenge.completed.into_iter().map(AuthType::from).collect(),
        params: serde_json::value::to_raw_value(&challenge.params).ok(),
        session: Some(challenge.session),
        auth_error: challenge.failure.map(|failure| Box::new(stage_failure(failure))),
    })
}

fn stage_failure(failure: StageFailure) -> StandardErrorBody {
    let (kind, message) = match failure {
        StageFailure::UnknownSession => {
            (ErrorKind::Unknown, "The session is unknown, expired, or of another request: begin again.")
        }
        StageFailure::NotOffered => (ErrorKind::Unknown, "This stage is not the next one of any flow."),
        StageFailure::Incomplete => (ErrorKind::MissingParam, "This stage needs more than was sent."),
        StageFailure::WrongToken => (ErrorKind::Forbidden, "The registration token is not valid."),
        StageFailure::WrongPassword => (ErrorKind::Forbidden, "This is not your user name and password."),
    };
    StandardErrorBody { kind, message: message.to_owned() }
}

/// Names one failure in the log and to the client.
fn error_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl From<Json> for Response {
    fn from(json: Json) -> Self {
        render(json)
    }
}

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;

    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_limit_says_whole_seconds_rounded_up() {
        let response = Error::limit_exceeded(Duration::from_millis(1001)).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let body = body(response).await;
        assert_eq!((&body["errcode"], &body["retry_after_ms"]), (&"M_LIMIT_EXCEEDED".into(), &2000.into()));
    }

    #[tokio::test]
    async fn an_internal_error_tells_nothing_but_its_id() {
        let response = Error::internal("the secret is 7").into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = body(response).await;
        assert_eq!(body["errcode"], "M_UNKNOWN");
        assert!(!body["error"].as_str().unwrap().contains("secret"), "{body}");
    }

    #[tokio::test]
    async fn a_challenge_lists_flows_params_and_the_session() {
        use hearth_services::accounts::uia::Stage;
        let challenge = Challenge {
            flows: vec![vec![Stage::RegistrationToken, Stage::Terms]],
            completed: vec!["m.login.registration_token".into()],
            params: serde_json::Map::new(),
            session: "s".into(),
            failure: None,
        };
        let response = Error::from(UiaError::Challenge(Box::new(challenge))).into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let expected = serde_json::json!({
            "flows": [{ "stages": ["m.login.registration_token", "m.login.terms"] }],
            "completed": ["m.login.registration_token"],
            "params": {},
            "session": "s",
        });
        assert_eq!(body(response).await, expected);
    }
}
