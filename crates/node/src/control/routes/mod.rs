//! The routes. Each handler stands in the OpenAPI document by its own annotation.

mod access;
mod events;
mod node;
mod page;
mod stream;
mod transfers;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::{Router, middleware};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use super::reply::Refusal;
use super::{Shared, guard};

/// Types that only stand in descriptions by hand.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Peerage control API",
        description = "What `peerage daemon` answers on its UNIX socket and on loopback. Errors are problems (RFC 9457). See docs/api.md.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    components(schemas(peerage_api::control::Problem, peerage_api::control::Notice))
)]
struct Document;

fn routes() -> (Router<Arc<Shared>>, OpenApi) {
    let mut document = Document::openapi();
    if let Some(components) = &mut document.components {
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", bearer);
    }
    document.security = Some(vec![SecurityRequirement::new::<&str, [&str; 0], &str>("token", [])]);
    OpenApiRouter::with_openapi(document)
        .merge(transfers::routes())
        .merge(node::routes())
        .merge(access::routes())
        .merge(events::routes())
        .merge(stream::routes())
        .split_for_parts()
}

/// All routes, behind the guard.
pub(super) fn router(shared: &Arc<Shared>) -> Router {
    let (router, document) = routes();
    let text = document.to_pretty_json().unwrap_or_default();
    let _ = shared.openapi.set(text);
    router
        .merge(page::routes())
        .fallback(async || {
            Refusal::new(StatusCode::NOT_FOUND, "E_NO_ROUTE", "there is nothing here")
                .hint("/docs lists what there is")
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "E_METHOD", "this is not done here")
                .hint("/docs lists what there is")
        })
        .layer(middleware::from_fn_with_state(Arc::clone(shared), guard::guard))
        .with_state(Arc::clone(shared))
}
