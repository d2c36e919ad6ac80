//! The node as a whole: status, limits, settings, health.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use peerage_api::control::{Health, Limits, LimitsPatch, Pause, SettingList, Status, SyncReply};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::metrics::MEDIA_TYPE;
use super::super::reply::{Answer, Json, Params, Problems, Refusal};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(sync))
        .routes(routes!(limits, set_limits))
        .routes(routes!(config))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(metrics))
        .routes(routes!(healthz))
        .routes(routes!(livez))
        .routes(routes!(readyz))
}

/// Tell how the daemon is doing
#[utoipa::path(get, path = "/api/v1/status", tag = "node", responses((status = 200, body = Status), Problems))]
async fn status(State(shared): State<Arc<Shared>>) -> Answer<Json<Status>> {
    Ok(Json(Status::clone(&shared.handle.board.status())))
}

/// Since when.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct SyncParams {
    /// The `rid` of the last answer; without it, everything is told.
    #[param(max_length = 100)]
    rid: Option<String>,
}

/// Tell what has changed since the last answer
#[utoipa::path(get, path = "/api/v1/sync", params(SyncParams), tag = "node",
    responses((status = 200, body = SyncReply), Problems))]
async fn sync(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<SyncParams>,
) -> Answer<Json<SyncReply>> {
    Ok(Json(shared.handle.board.sync(params.rid.as_deref())))
}

/// Show the limits, and what is used of each
#[utoipa::path(get, path = "/api/v1/limits", tag = "node", responses((status = 200, body = Limits), Problems))]
async fn limits(State(shared): State<Arc<Shared>>) -> Answer<Json<Limits>> {
    Ok(Json(shared.handle.ask(|daemon| Ok(daemon.limits())).await?))
}

/// Change limits
#[utoipa::path(patch, path = "/api/v1/limits", request_body = LimitsPatch, tag = "node",
    responses((status = 200, body = Limits), Problems))]
async fn set_limits(
    State(shared): State<Arc<Shared>>,
    Json(patch): Json<LimitsPatch>,
) -> Answer<Json<Limits>> {
    let limits = shared.handle.change(move |daemon| {
        daemon.set_limits(&patch);
        Ok(daemon.limits())
    });
    Ok(Json(limits.await?))
}

/// Show every setting, its value and where it comes from
#[utoipa::path(get, path = "/api/v1/config", tag = "node", responses((status = 200, body = SettingList), Problems))]
async fn config(State(shared): State<Arc<Shared>>) -> Answer<Json<SettingList>> {
    Ok(Json(SettingList { settings: shared.setup.request.settings.clone() }))
}

/// Pause everything
#[utoipa::path(post, path = "/api/v1/pause", request_body = Pause, tag = "node",
    responses((status = 204, description = "Done"), Problems))]
async fn pause(State(shared): State<Arc<Shared>>, Json(pause): Json<Pause>) -> Answer<StatusCode> {
    let paused = shared.handle.change(move |daemon| {
        daemon.pause_all(pause.seconds);
        Ok(())
    });
    paused.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Go on with everything that is not paused itself
#[utoipa::path(post, path = "/api/v1/resume", tag = "node", responses((status = 204, description = "Done"), Problems))]
async fn resume(State(shared): State<Arc<Shared>>) -> Answer<StatusCode> {
    let resumed = shared.handle.change(|daemon| {
        daemon.resume_all();
        Ok(())
    });
    resumed.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tell a monitoring system how the daemon is doing
#[utoipa::path(get, path = "/metrics", tag = "node",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text"), Problems))]
async fn metrics(State(shared): State<Arc<Shared>>) -> Answer<impl IntoResponse> {
    let text = shared.metrics.encode().map_err(|_| {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "E_METRICS", "a value of the metrics has no text")
    })?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text))
}

fn well() -> Json<Health> {
    Json(Health { status: "ok".to_owned() })
}

/// Whether the daemon is alive and its thread turns
#[utoipa::path(get, path = "/healthz", tag = "node", security(()), responses((status = 200, body = Health), Problems))]
async fn healthz(State(shared): State<Arc<Shared>>) -> Answer<Json<Health>> {
    shared.handle.ask(|_| Ok(())).await?;
    Ok(well())
}

/// Whether the process is alive
#[utoipa::path(get, path = "/livez", tag = "node", security(()), responses((status = 200, body = Health), Problems))]
async fn livez() -> Json<Health> {
    well()
}

/// Whether the daemon serves
#[utoipa::path(get, path = "/readyz", tag = "node", security(()), responses((status = 200, body = Health), Problems))]
async fn readyz(State(shared): State<Arc<Shared>>) -> Answer<Json<Health>> {
    shared.handle.ask(|_| Ok(())).await?;
    Ok(well())
}
