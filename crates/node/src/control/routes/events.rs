//! `/api/v1/events`: server-sent events that can be taken up again.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use peerage_api::control::{Change, Notice};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::body::Flow;
use super::super::reply::{Answer, Params, Problems};
use crate::daemon::unix_now;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(events))
}

/// A line without meaning after so much silence, so that both ends know that the other is there.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that are sent at once.
const BATCH: usize = 64;

/// From where.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct EventParams {
    /// As the header `Last-Event-ID`, for those who cannot send it.
    #[param(max_length = 100)]
    last_event_id: Option<String>,
    /// Only these kinds, with commas between.
    #[param(max_length = 500)]
    types: Option<String>,
}

/// Follow events, from now on or after the one named
#[utoipa::path(get, path = "/api/v1/events", tag = "node",
    params(EventParams, ("last-event-id" = Option<String>, Header, description = "Id of the last event that was received")),
    responses((status = 200, description = "Events; each `data` is a Notice", body = String, content_type = "text/event-stream"), Problems))]
async fn events(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Params(params): Params<EventParams>,
) -> Answer<impl IntoResponse> {
    let header = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let last = header.or(params.last_event_id).filter(|id| !id.is_empty());
    let kinds: Option<Vec<String>> =
        params.types.map(|types| types.split(',').map(|kind| kind.trim().to_owned()).collect());
    let (mut listener, missed) = shared.handle.board.listen(last.as_deref());
    let (sender, body) = Flow::open();
    tokio::spawn(async move {
        // The first line says that it is open, before anything happens.
        let mut text = ": peerage\nretry: 2000\n\n".to_owned();
        if missed {
            text += &reset();
        }
        loop {
            if sender.send(Bytes::from(std::mem::take(&mut text))).await.is_err() {
                return;
            }
            let next = tokio::select! {
                next = listener.next(&shared.handle.board, BATCH) => next,
                () = tokio::time::sleep(HEARTBEAT) => {
                    text = ":\n\n".to_owned();
                    continue;
                }
                () = sender.closed() => return,
                () = shared.stop.requested() => return,
            };
            let Some((notices, missed)) = next else { return };
            if missed {
                text += &reset();
            }
            for notice in notices {
                if kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == notice.change.kind())) {
                    text += &written(&notice);
                }
            }
        }
    });
    Ok(([(header::CONTENT_TYPE, "text/event-stream")], body))
}

fn reset() -> String {
    written(&Notice { id: String::new(), at: unix_now(), change: Change::Reset })
}

/// An event as the stream has it. JSON has no line breaks.
fn written(notice: &Notice) -> String {
    let mut text = String::new();
    if !notice.id.is_empty() {
        let _ = writeln!(text, "id: {}", notice.id);
    }
    let data = serde_json::to_string(notice).unwrap_or_default();
    let _ = write!(text, "event: {}\ndata: {data}\n\n", notice.change.kind());
    text
}
