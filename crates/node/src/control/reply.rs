//! Failures as answers, and what handlers take from a request.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use peerage_api::control::Problem;
use peerage_api::error::{ExitCode, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::{Content, RefOr, Response as Described, ResponseBuilder};

/// A failure with its HTTP status.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub failure: Failure,
}

/// What a handler answers.
pub(super) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let exit = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                ExitCode::Denied
            }
            StatusCode::NOT_FOUND => ExitCode::NotFound,
            _ => ExitCode::Usage,
        };
        Self { status, failure: Failure::new(exit, code, message) }
    }

    pub fn hint(mut self, hint: &str) -> Self {
        self.failure = self.failure.hint(hint);
        self
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match (failure.code.as_str(), failure.exit) {
            ("E_NO_TRANSFER" | "E_NO_JOB" | "E_NO_TOKEN" | "E_NO_FILE", _) => StatusCode::NOT_FOUND,
            (
                "E_TRANSFER_EXISTS" | "E_OWN_FILES" | "E_BUSY" | "E_NO_METADATA" | "E_TOO_MANY" | "E_EXISTS"
                | "E_RUNNING",
                _,
            ) => StatusCode::CONFLICT,
            ("E_ENDING", _) => StatusCode::SERVICE_UNAVAILABLE,
            ("E_LINK" | "E_TORRENT" | "E_SELECT" | "E_URL" | "E_CODE" | "E_NO_RELAY", _) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            (_, exit) if exit == ExitCode::Usage as u8 => StatusCode::UNPROCESSABLE_ENTITY,
            (_, exit) if exit == ExitCode::NoSpace as u8 => StatusCode::INSUFFICIENT_STORAGE,
            (_, exit) if exit == ExitCode::Denied as u8 => StatusCode::FORBIDDEN,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, failure }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut problem = Problem::new(
            self.status.as_u16(),
            self.status.canonical_reason().unwrap_or("Error"),
            self.failure,
        );
        if problem.code == "E_TRANSFER_EXISTS" {
            problem.transfer = problem.detail.rsplit(' ').next().map(str::to_owned);
        }
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        response
    }
}

/// The failures of every route, for the document.
pub(super) struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<Described>> {
        let content = Content::new(Some(utoipa::openapi::Ref::from_schema_name("Problem")));
        let described = ResponseBuilder::new()
            .description("What went wrong, and what to do next")
            .content("application/problem+json", content)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(described))])
    }
}

/// A JSON document.
pub(super) struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Refusal::from(Failure::new(ExitCode::Unclassified, "E_JSON", error.to_string()))
                .into_response(),
        }
    }
}

/// The guard has read the body within its limits.
impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        let kind = kind.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "E_BODY", "the body cannot be read"))?;
        // A plain form of another site cannot send this kind.
        if kind != "application/json" && !(bytes.is_empty() && kind.is_empty()) {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "E_MEDIA_TYPE",
                "the body must be application/json",
            ));
        }
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text).map(Self).map_err(|error| {
            Refusal::new(
                StatusCode::BAD_REQUEST,
                "E_JSON",
                format!("the body is not as it should be: {error}"),
            )
        })
    }
}

/// The query of a request.
pub(super) struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|error: QueryRejection| {
            Refusal::new(StatusCode::BAD_REQUEST, "E_QUERY", error.body_text())
        })
    }
}

/// The parts of a path.
pub(super) struct Place<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Place<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let place = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        place
            .map(|axum::extract::Path(place)| Self(place))
            .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "E_PATH", error.body_text()))
    }
}
