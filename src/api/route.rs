//! One endpoint, one route: a ruma request type, its handler and its policy on one line.
//!
//! Handlers differ in their types; routes do not. Each handler is boxed behind one function shape, so that
//! axum and the glue around it are compiled once.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use axum::routing::MethodFilter;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hearth_services::accounts::{Caller, Restrictions};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use ruma::api::error::ErrorKind;
use ruma::api::path_builder::PathBuilder;
use ruma::api::{IncomingRequest, OutgoingResponse};

use crate::admission::Line;
use crate::app::App;
use crate::error::{Error, Result, render};
use crate::extract::{self, Content, Identify, Interactive, Ruma};
use crate::rate_limit::Family;

/// The largest body of an endpoint that says nothing else: an event of 64 KiB in any escaping, and the keys
/// of a device.
const BODY_LIMIT: usize = 1024 * 1024;

/// What the body of a request may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// A JSON object, or nothing, where nothing in it need be.
    JsonOrNothing,
    /// A JSON object.
    Json,
    /// Something else.
    Anything,
}

/// Whom a route is for, of those an administrator keeps from something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admits {
    /// Everybody.
    Locked,
    /// Who is suspended, but not who is locked.
    Suspended,
    /// Nobody of them.
    Unrestricted,
}

/// What holds for one route before its handler is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The most bytes that the body may have.
    pub(crate) body_limit: usize,
    /// Where it waits for its turn.
    pub(crate) line: Line,
    /// Which requests it is counted with.
    pub(crate) family: Family,
    /// How much longer than others it may take.
    pub(crate) extra_time: Duration,
    /// It is answered only when everything that was acknowledged anywhere before it is seen.
    pub(crate) fresh: bool,
    /// What the body may be.
    pub(crate) body: Body,
    /// Whoever makes it is at the keyboard.
    pub(crate) activity: bool,
    /// Whom it is for.
    pub(crate) admits: Admits,
}

/// A method, its paths, its policy and what answers.
pub(crate) struct Route {
    method: Method,
    paths: Vec<String>,
    policy: Policy,
    answer: Answer,
}

type Answer = Arc<dyn Fn(App, Policy, Request) -> BoxFuture<'static, Result<Response>> + Send + Sync>;

impl Admits {
    /// Refuses a caller whom the route is not for.
    pub(crate) fn check(self, caller: &Caller) -> Result<()> {
        let Restrictions { locked, suspended } = caller.restrictions;
        match self {
            Self::Suspended | Self::Unrestricted if locked => Err(Error::locked()),
            Self::Unrestricted if suspended => Err(Error::suspended()),
            _ => Ok(()),
        }
    }
}

impl Route {
    fn new(method: Method, paths: Vec<String>, answer: Answer) -> Self {
        let policy = Policy {
            body_limit: BODY_LIMIT,
            line: Line::Main,
            family: Family::Other,
            extra_time: Duration::ZERO,
            fresh: true,
            body: Body::JsonOrNothing,
            activity: false,
            admits: Admits::Suspended,
        };
        Self { method, paths, policy, answer }
    }

    /// Counts it with the requests of a family.
    pub(crate) fn limited(mut self, family: Family) -> Self {
        self.policy.family = family;
        self
    }

    /// Serves those too who are locked.
    pub(crate) fn even_locked(mut self) -> Self {
        self.policy.admits = Admits::Locked;
        self
    }

    /// Does not serve those who are suspended: it is taking part.
    pub(crate) fn unless_suspended(mut self) -> Self {
        self.policy.admits = Admits::Unrestricted;
        self
    }

    /// Lets it wait for its turn elsewhere.
    pub(crate) fn in_line(mut self, line: Line) -> Self {
        self.policy.line = line;
        self
    }

    /// Lets it take so much longer than others.
    pub(crate) fn extra_time(mut self, time: Duration) -> Self {
        self.policy.extra_time = time;
        self
    }

    /// Lets its body have at most so many bytes.
    pub(crate) fn body_limit(mut self, bytes: usize) -> Self {
        self.policy.body_limit = bytes;
        self
    }

    /// Refuses an empty body, where what matters is the body as a whole.
    pub(crate) fn needs_body(mut self) -> Self {
        self.policy.body = Body::Json;
        self
    }

    /// Takes it for a sign that its caller is at the keyboard.
    pub(crate) fn shows_activity(mut self) -> Self {
        self.policy.activity = true;
        self
    }

    /// Takes a body that is not JSON.
    pub(crate) fn any_body(mut self) -> Self {
        self.policy.body = Body::Anything;
        self
    }

    /// Serves one path more, which takes the same arguments.
    pub(crate) fn also(mut self, path: &str) -> Self {
        self.paths.push(path.to_owned());
        self
    }

    /// Serves every path with and without a slash at its end.
    pub(crate) fn slash_optional(mut self) -> Self {
        let others: Vec<String> = self
            .paths
            .iter()
            .map(|path| path.strip_suffix('/').map_or_else(|| format!("{path}/"), ToOwned::to_owned))
            .collect();
        self.paths.extend(others);
        self
    }

    /// Serves, beside each path, the path without its last argument, with and without a slash at its end: the
    /// argument is empty then.
    pub(crate) fn last_argument_optional(mut self) -> Self {
        let shorter: Vec<String> = self
            .paths
            .iter()
            .filter(|path| path.ends_with('}'))
            .filter_map(|path| path.rsplit_once('/').map(|(shorter, _)| shorter.to_owned()))
            .collect();
        self.paths.retain(|path| path.ends_with('}'));
        for path in shorter {
            self.paths.push(format!("{path}/"));
            self.paths.push(path);
        }
        self.paths.sort();
        self.paths.dedup();
        self
    }

    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    pub(crate) fn filter(&self) -> MethodFilter {
        match self.method {
            Method::POST => MethodFilter::POST,
            Method::PUT => MethodFilter::PUT,
            Method::DELETE => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        }
    }
}

/// An endpoint as ruma describes it, under every path it ever had.
pub(crate) fn route<T, F, Fut, R>(handler: F) -> Route
where
    T: IncomingRequest + Send + 'static,
    T::Authentication: Identify,
    F: Fn(App, Ruma<T>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
    R: OutgoingResponse,
{
    let answer = move |app: App, policy, request| {
        async move {
            let ruma = extract::ruma::<T>(&app, policy, request).await?;
            handler(app, ruma).await.map(render)
        }
        .boxed()
    };
    Route::new(T::METHOD, paths::<T>(), Arc::new(answer))
}

/// As [`route`], for an endpoint with user-interactive authentication.
pub(crate) fn interactive<T, F, Fut, R>(handler: F) -> Route
where
    T: IncomingRequest + Send + 'static,
    T::Authentication: Identify,
    F: Fn(App, Interactive<T>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
    R: OutgoingResponse,
{
    let answer = move |app: App, policy, request| {
        async move {
            let interactive = extract::interactive::<T>(&app, policy, request).await?;
            handler(app, interactive).await.map(render)
        }
        .boxed()
    };
    Route::new(T::METHOD, paths::<T>(), Arc::new(answer))
}

/// An endpoint whose handler takes the body as it comes.
pub(crate) fn receiving<T, F, Fut>(handler: F) -> Route
where
    T: IncomingRequest + Send + 'static,
    T::Authentication: Identify,
    F: Fn(App, Ruma<T>, Content) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let answer = move |app: App, policy, request| {
        async move {
            let (ruma, content) = extract::streaming::<T>(&app, policy, request).await?;
            handler(app, ruma, content).await
        }
        .boxed()
    };
    Route::new(T::METHOD, paths::<T>(), Arc::new(answer))
}

/// An endpoint whose handler looks at the headers, and makes its own response.
pub(crate) fn fetching<T, F, Fut>(handler: F) -> Route
where
    T: IncomingRequest + Send + 'static,
    T::Authentication: Identify,
    F: Fn(App, Ruma<T>, HeaderMap) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let answer = move |app: App, policy, request| {
        async move {
            let (ruma, headers) = extract::with_headers::<T>(&app, policy, request).await?;
            handler(app, ruma, headers).await
        }
        .boxed()
    };
    Route::new(T::METHOD, paths::<T>(), Arc::new(answer))
}

/// A path of our own whose handler takes a request without a body as it arrived, and who makes it.
pub(crate) fn arriving<A, F, Fut>(method: Method, path: &'static str, handler: F) -> Route
where
    A: Identify<Caller = A> + Send + 'static,
    F: Fn(App, (Parts, A)) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let answer = move |app: App, policy, request| {
        let handler = Arc::clone(&handler);
        async move {
            let arrived = extract::arrived::<A>(&app, policy, request).await?;
            handler(app, arrived).await
        }
        .boxed()
    };
    Route::new(method, vec![path.to_owned()], Arc::new(answer))
}

/// A path of our own, which takes nothing.
pub(crate) fn plain<F, Fut, R>(method: Method, path: &'static str, handler: F) -> Route
where
    F: Fn(App) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<R>> + Send + 'static,
    R: OutgoingResponse,
{
    let answer = move |app, _, _| async move { handler(app).await.map(render) }.boxed();
    Route::new(method, vec![path.to_owned()], Arc::new(answer)).limited(Family::Unlimited).in_line(Line::None)
}

fn paths<T: IncomingRequest>() -> Vec<String> {
    T::PATH_BUILDER.all_paths().map(ToOwned::to_owned).collect()
}

/// A route as axum serves it.
#[derive(Clone)]
pub(crate) struct Served {
    app: App,
    policy: Policy,
    answer: Answer,
}

impl Served {
    pub(crate) fn new(app: App, route: Route) -> Self {
        Self { app, policy: route.policy, answer: route.answer }
    }
}

impl tower::Service<Request> for Served {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let deadline = self.app.settings.request_deadline + self.policy.extra_time;
        let (app, policy, answer) = (self.app.clone(), self.policy, Arc::clone(&self.answer));
        async move {
            let turn = match app.admission.enter(policy.line).await {
                Ok(turn) => turn,
                Err(refused) => return Ok(refused.into_response()),
            };
            if let Some(turn) = &turn {
                request.extensions_mut().insert(turn.clone());
            }
            let answered = tokio::time::timeout(deadline, answer(app, policy, request)).await;
            drop(turn);
            Ok(answered.unwrap_or_else(|_| Err(Error::deadline())).unwrap_or_else(Error::into_response))
        }
        .boxed()
    }
}

/// > 404 … `M_UNRECOGNIZED`: the server does not know the endpoint.
pub(crate) async fn unknown_path() -> Response {
    Error::new(StatusCode::NOT_FOUND, ErrorKind::Unrecognized, "There is no such endpoint.").into_response()
}

/// > 405 … `M_UNRECOGNIZED`: the endpoint is known, the method is not.
pub(crate) async fn wrong_method() -> Response {
    Error::new(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::Unrecognized,
        "This endpoint does not take that method.",
    )
    .into_response()
}
