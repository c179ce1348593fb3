//! Requests whose path ruma knows and whose body it would read too much into.

use std::marker::PhantomData;

use ruma::api::error::{DeserializationError, Error as MatrixError};
use ruma::api::{IncomingRequest, Metadata};
use serde::de::DeserializeOwned;
use serde::de::value::{Error as PathError, SeqDeserializer};

/// A request at the paths of `T`, with the path's arguments as `P` and the body as `B`.
pub(crate) struct At<T, P, B> {
    /// The arguments in the path.
    pub(crate) path: P,
    /// The query, as it was sent.
    pub(crate) query: String,
    /// The body; of `{}` where there is none.
    pub(crate) body: B,
    endpoint: PhantomData<fn() -> T>,
}

impl<T: Metadata, P, B> Metadata for At<T, P, B> {
    const METHOD: http::Method = T::METHOD;
    const RATE_LIMITED: bool = T::RATE_LIMITED;
    type Authentication = T::Authentication;
    type PathBuilder = T::PathBuilder;
    const PATH_BUILDER: T::PathBuilder = T::PATH_BUILDER;
}

impl<T, P, B> IncomingRequest for At<T, P, B>
where
    T: IncomingRequest,
    P: DeserializeOwned,
    B: DeserializeOwned,
{
    type EndpointError = MatrixError;
    type OutgoingResponse = T::OutgoingResponse;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let path = P::deserialize(SeqDeserializer::<_, PathError>::new(arguments.iter().copied()))?;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let body = if request.body().is_empty() { b"{}" } else { *request.body() };
        Ok(Self { path, query, body: serde_json::from_slice(body)?, endpoint: PhantomData })
    }
}
