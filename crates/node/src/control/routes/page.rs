//! What a browser gets: the page's own files, and the API's document.
//!
//! The files of the page are in `crates/node/web/`, and are part of the program. They hold nothing of anybody's, and
//! so need no token; what they show they ask of the API.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::super::Shared;

/// Each file of the page: its path, kind and content.
const FILES: &[(&str, &str, &[u8])] = &[
    ("/", "text/html; charset=utf-8", include_bytes!("../../../web/index.html")),
    ("/adding.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/adding.js")),
    ("/api.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/api.js")),
    ("/app.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/app.js")),
    ("/detail.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/detail.js")),
    ("/pages.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/pages.js")),
    ("/store.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/store.js")),
    ("/text.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/text.js")),
    ("/transfers.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/transfers.js")),
    ("/ui.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/ui.js")),
    ("/icon.svg", "image/svg+xml", include_bytes!("../../../web/icon.svg")),
    ("/docs", "text/html; charset=utf-8", include_bytes!("../../../web/docs.html")),
    ("/docs.js", "text/javascript; charset=utf-8", include_bytes!("../../../web/docs.js")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../../../web/style.css")),
];

pub(super) fn routes() -> Router<Arc<Shared>> {
    let router = Router::new().route("/openapi.json", get(document));
    FILES.iter().fold(router, |router, (path, kind, content)| {
        router.route(
            path,
            get(async || ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *content)),
        )
    })
}

async fn document(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let text = shared.openapi.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text)
}
