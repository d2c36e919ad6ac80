//! Tokens and sessions.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use peerage_api::control::{LoginLink, NewToken, Session, SessionRequest, TokenCreated, TokenList};
use peerage_api::error::{ExitCode, Failure};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::access::{digest, secret};
use super::super::guard::{COOKIE, cookie, denied};
use super::super::reply::{Answer, Json, Place, Problems, Refusal};
use super::super::server::Caller;
use crate::daemon::catalog::{Table, TokenRecord};
use crate::daemon::unix_now;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(session, open_session, close_session))
        .routes(routes!(tokens, new_token))
        .routes(routes!(revoke))
        .routes(routes!(login_link))
}

/// Open a session for a browser: a token, or once that of a login link, for a cookie
#[utoipa::path(post, path = "/api/v1/session", request_body = SessionRequest, tag = "access", security(()),
    responses((status = 200, body = Session, headers(("set-cookie" = String))), Problems))]
async fn open_session(
    State(shared): State<Arc<Shared>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<SessionRequest>,
) -> Answer<impl IntoResponse> {
    let from = match caller {
        Caller::At(ip) => Some(ip),
        _ => None,
    };
    let (name, session) = shared.access.open_session(from, &request.token)?.map_err(denied)?;
    let cookie = format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict");
    Ok(([(header::SET_COOKIE, cookie)], Json(session)))
}

/// Show the session of the cookie, with its CSRF token
#[utoipa::path(get, path = "/api/v1/session", tag = "access", responses((status = 200, body = Session), Problems))]
async fn session(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer<Json<Session>> {
    let session = cookie(&headers).and_then(|name| shared.access.session(name));
    let none =
        || Refusal::new(StatusCode::NOT_FOUND, "E_NO_SESSION", "there is no session: you came with a token");
    Ok(Json(session.ok_or_else(none)?))
}

/// End the session of the cookie
#[utoipa::path(delete, path = "/api/v1/session", tag = "access", responses((status = 204, description = "Done"), Problems))]
async fn close_session(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Answer<impl IntoResponse> {
    if let Some(name) = cookie(&headers) {
        shared.access.close_session(name);
    }
    let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, gone)]))
}

/// List tokens
#[utoipa::path(get, path = "/api/v1/tokens", tag = "access", responses((status = 200, body = TokenList), Problems))]
async fn tokens(State(shared): State<Arc<Shared>>) -> Answer<Json<TokenList>> {
    Ok(Json(TokenList { tokens: shared.access.tokens() }))
}

/// Make a token; its secret is shown this once
#[utoipa::path(post, path = "/api/v1/tokens", request_body = NewToken, tag = "access",
    responses((status = 201, body = TokenCreated), Problems))]
async fn new_token(
    State(shared): State<Arc<Shared>>,
    Json(request): Json<NewToken>,
) -> Answer<impl IntoResponse> {
    let name = request.name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(
            Failure::new(ExitCode::Usage, "E_USAGE", "a token has a name of at most 100 letters").into()
        );
    }
    let secret = format!("pg_{}", secret()?);
    let id = digest(&secret).get(..8).unwrap_or_default().to_owned();
    let record = TokenRecord {
        id,
        name: name.to_owned(),
        scope: request.scope,
        created_at: unix_now(),
        digest: digest(&secret),
    };
    let token = shared.access.add_token(record.clone())?;
    let kept = shared.handle.change(move |daemon| {
        daemon.keep(Table::Tokens, &record.id, serde_json::to_vec(&record).unwrap_or_default());
        Ok(())
    });
    kept.await?;
    Ok((StatusCode::CREATED, Json(TokenCreated { token, secret })))
}

/// Revoke a token, and end all sessions
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", params(("id" = String, Path)), tag = "access",
    responses((status = 204, description = "Done"), Problems))]
async fn revoke(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<StatusCode> {
    shared.access.revoke(&id)?;
    let forgotten = shared.handle.change(move |daemon| {
        daemon.drop_kept(Table::Tokens, &id);
        Ok(())
    });
    forgotten.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make a link that opens the page once
#[utoipa::path(post, path = "/api/v1/login-links", tag = "access",
    responses((status = 201, body = LoginLink), Problems))]
async fn login_link(State(shared): State<Arc<Shared>>) -> Answer<impl IntoResponse> {
    let none = || Failure::new(ExitCode::Conflict, "E_BUSY", "the API listens on its UNIX socket alone");
    let addr = shared.addr.ok_or_else(none)?;
    Ok((StatusCode::CREATED, Json(shared.access.login_link(&format!("http://{addr}"))?)))
}
