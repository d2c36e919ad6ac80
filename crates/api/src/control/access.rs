//! Who may do what.

use serde::{Deserialize, Serialize};

/// What a token permits; each scope contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look.
    Read,
    /// Add, pause, remove, limit.
    Control,
    /// Make and revoke tokens, change settings.
    Admin,
}

/// What a user writes is none of the scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not one of read, control and admin")]
pub struct UnknownScope;

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        match text {
            "read" => Ok(Self::Read),
            "control" => Ok(Self::Control),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownScope),
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Control => "control",
            Self::Admin => "admin",
        })
    }
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// Names it.
    pub id: String,
    /// What it is for, as its maker says.
    pub name: String,
    /// What it permits.
    pub scope: Scope,
    /// When it was made.
    pub created_at: u64,
    /// When it was last used, to the minute; absent: not since the daemon started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<u64>,
}

/// All tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// In the order in which they were made.
    pub tokens: Vec<Token>,
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[cfg_attr(feature = "openapi", schema(max_length = 100))]
    pub name: String,
    /// What it permits.
    pub scope: Scope,
}

/// A token that was made, with its secret, which is shown this once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenCreated {
    /// The token.
    #[serde(flatten)]
    pub token: Token,
    /// What to send as `Authorization: Bearer …`.
    pub secret: String,
}

/// Opens a session for a browser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// A token's secret, or the one-time token of a login link.
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub token: String,
}

/// A session; its cookie comes beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// What it permits.
    pub scope: Scope,
    /// To be sent as `X-Csrf-Token` with each request of the session that changes something.
    pub csrf_token: String,
    /// When it ends, if it is not used before.
    pub expires_at: u64,
}

/// A link that opens the page once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginLink {
    /// Where; its fragment is a one-time token for `POST /api/v1/session`.
    pub url: String,
    /// Until when.
    pub expires_at: u64,
}
