//! Failures over HTTP.

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A failure as RFC 9457 has it (`application/problem+json`), with our own stable code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `about:blank`: the code says what kind it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// HTTP status.
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599))]
    pub status: u16,
    /// One plain sentence.
    pub detail: String,
    /// Stable name, `E_…`.
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The exit code with which a command ends for the same reason.
    pub exit: u8,
    /// The transfer that is there already, where that is the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<String>,
}

impl Problem {
    /// A failure under an HTTP status.
    #[must_use]
    pub fn new(status: u16, title: &str, failure: Failure) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: title.to_owned(),
            status,
            detail: failure.message,
            code: failure.code,
            hint: failure.hint,
            exit: failure.exit,
            transfer: None,
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { code: problem.code, message: problem.detail, hint: problem.hint, exit: problem.exit }
    }
}
