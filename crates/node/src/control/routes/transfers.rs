//! `/api/v1/transfers`, `/api/v1/shares`, `/api/v1/jobs`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use data_encoding::BASE64;
use peerage_api::control::{
    Add, FileList, FilesPatch, Job, Move, NewShare, Patch, Pause, PeerList, Pieces, Transfer, TransferDetail,
    TransferList, TransferState,
};
use peerage_api::error::{ExitCode, Failure};
use peerage_content::Link;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::reply::{Answer, Json, Params, Place, Problems, Refusal};
use crate::daemon::Addition;
use crate::ops::{LinkSource, open_link, parse_link, parse_torrent, resolve_code};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(get, patch, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(recheck))
        .routes(routes!(relocate))
        .routes(routes!(files, choose_files))
        .routes(routes!(peers))
        .routes(routes!(pieces))
        .routes(routes!(torrent))
        .routes(routes!(share))
        .routes(routes!(job, cancel_job))
}

/// Transfers of a page, unless more or fewer are asked for.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;

/// Which transfers, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// Where the page before this one ended: its `next`.
    #[param(max_length = 200)]
    cursor: Option<String>,
    /// Transfers of the page.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Only those in this state.
    state: Option<TransferState>,
    /// Only those of this category; empty: those without one.
    category: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those whose name contains this text, or whose id begins with it.
    q: Option<String>,
    /// By what: `position` (default), `name`, `added`, `size`, `progress`, `down`, `up`, `ratio`; with `-` before it, backwards.
    #[param(max_length = 20)]
    sort: Option<String>,
}

type Key = (u64, String);

/// What a list is sorted by; for each the number, then the name, then the id.
fn sort_key(sort: &str, transfer: &Transfer) -> Option<Key> {
    let text = |text: &str| (0, text.to_lowercase());
    let number = |number: u64| (number, String::new());
    Some(match sort {
        "position" => number(transfer.position.into()),
        "name" => text(&transfer.name),
        "added" => number(transfer.added_at),
        "size" => number(transfer.total),
        "progress" => number((transfer.done as f64 / transfer.wanted.max(1) as f64 * 1e6) as u64),
        "down" => number(transfer.down_rate),
        "up" => number(transfer.up_rate),
        "ratio" => number((transfer.ratio.clamp(0.0, 1e12) * 1e6) as u64),
        _ => return None,
    })
}

fn matches(params: &ListParams, transfer: &Transfer) -> bool {
    let contains = |text: &str| {
        let text = text.to_lowercase();
        transfer.name.to_lowercase().contains(&text)
            || transfer.id.starts_with(&text)
            || [&transfer.infohash_v1, &transfer.infohash_v2]
                .into_iter()
                .any(|hash| hash.as_deref().is_some_and(|hash| hash.starts_with(&text)))
    };
    params.state.is_none_or(|state| transfer.state == state)
        && params.category.as_deref().is_none_or(|of| transfer.category.as_deref().unwrap_or("") == of)
        && params.tag.as_ref().is_none_or(|tag| transfer.tags.contains(tag))
        && params.q.as_deref().is_none_or(contains)
}

/// List transfers, a page at a time
#[utoipa::path(get, path = "/api/v1/transfers", params(ListParams), tag = "transfers",
    responses((status = 200, body = TransferList), Problems))]
async fn list(
    State(shared): State<Arc<Shared>>,
    Params(params): Params<ListParams>,
) -> Answer<Json<TransferList>> {
    let limit = params.limit.unwrap_or(PAGE);
    let wrong = |what: &str| Refusal::new(StatusCode::BAD_REQUEST, "E_QUERY", what);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(wrong("limit is not a number from 1 to 1000"));
    }
    let sort = params.sort.as_deref().unwrap_or("position");
    let (sort, backwards) = sort.strip_prefix('-').map_or((sort, false), |sort| (sort, true));
    if sort_key(sort, &Transfer::default()).is_none() {
        return Err(wrong("sort is not one of position, name, added, size, progress, down, up, ratio"));
    }
    // The id of the last one of the page before, and its key then: it may have gone since.
    let cursor: Option<(Key, String)> = match &params.cursor {
        Some(text) => {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok();
            let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
            Some(cursor.ok_or_else(|| wrong("cursor is not one that a page ended with"))?)
        }
        None => None,
    };
    let shown = shared.handle.board.transfers();
    let mut found: Vec<((Key, String), &Arc<Transfer>)> = shown
        .iter()
        .filter(|transfer| matches(&params, transfer))
        .map(|transfer| ((sort_key(sort, transfer).unwrap_or_default(), transfer.id.clone()), transfer))
        .collect();
    found.sort_by(|(a, _), (b, _)| if backwards { b.cmp(a) } else { a.cmp(b) });
    let total = u32::try_from(found.len()).unwrap_or(u32::MAX);
    let after = |key: &(Key, String)| {
        cursor.as_ref().is_none_or(|cursor| if backwards { key < cursor } else { key > cursor })
    };
    let mut rest = found.into_iter().filter(|(key, _)| after(key)).peekable();
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.peek().and(page.last()).and_then(|(key, _)| serde_json::to_vec(key).ok());
    Ok(Json(TransferList {
        transfers: page.into_iter().map(|(_, transfer)| Transfer::clone(transfer)).collect(),
        total,
        next: next.map(|key| data_encoding::BASE64URL_NOPAD.encode(&key)),
    }))
}

/// Add a download, or content that is here already
#[utoipa::path(post, path = "/api/v1/transfers", request_body = Add, tag = "transfers",
    responses((status = 201, body = TransferDetail, headers(("location" = String))), Problems))]
async fn add(State(shared): State<Arc<Shared>>, Json(mut add): Json<Add>) -> Answer<impl IntoResponse> {
    let source = match (add.link.take(), add.torrent.take()) {
        (Some(link), None) => follow(&shared, &link).await?,
        (None, Some(torrent)) => {
            let bytes = BASE64.decode(torrent.as_bytes()).map_err(|error| {
                Failure::new(ExitCode::Usage, "E_TORRENT", format!("`torrent` is not base64: {error}"))
            })?;
            LinkSource::Torrent(Box::new(parse_torrent("the torrent", &bytes)?))
        }
        _ => return Err(Failure::new(ExitCode::Usage, "E_USAGE", "give either `link` or `torrent`").into()),
    };
    let detail = shared.handle.change(move |daemon| daemon.add(Addition { add, source })).await?;
    let place = format!("/api/v1/transfers/{}", detail.transfer.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(detail)))
}

/// Finds out what a link names. Files of this machine are not read for whoever has a token: they send the bytes.
async fn follow(shared: &Shared, link: &str) -> Result<LinkSource, Failure> {
    let config = &shared.setup.config;
    if let Some(link) = resolve_code(link, config, &shared.stop, Some(30.0)).await? {
        return open_link(&link, config.via, &shared.setup.http).await;
    }
    if let Link::Path(_) = parse_link(link)? {
        return Err(Failure::new(
            ExitCode::Usage,
            "E_LINK",
            "this is neither a magnet link, an infohash, nor a URL",
        )
        .hint("send the bytes of a .torrent file as `torrent`, in base64"));
    }
    open_link(link, config.via, &shared.setup.http).await
}

/// Show a transfer
#[utoipa::path(get, path = "/api/v1/transfers/{id}", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = TransferDetail), Problems))]
async fn get(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<Json<TransferDetail>> {
    Ok(Json(shared.handle.ask(move |daemon| daemon.detail(&id)).await?))
}

/// Change settings of a transfer
#[utoipa::path(patch, path = "/api/v1/transfers/{id}", params(("id" = String, Path, description = "Id or infohash")),
    request_body = Patch, tag = "transfers", responses((status = 200, body = TransferDetail), Problems))]
async fn patch(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Json(patch): Json<Patch>,
) -> Answer<Json<TransferDetail>> {
    Ok(Json(shared.handle.change(move |daemon| daemon.patch(&id, &patch)).await?))
}

/// What becomes of the files.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct DeleteParams {
    /// Delete the files, too. Those of a share are never deleted.
    data: bool,
}

/// Remove a transfer
#[utoipa::path(delete, path = "/api/v1/transfers/{id}",
    params(("id" = String, Path, description = "Id or infohash"), DeleteParams), tag = "transfers",
    responses((status = 204, description = "It is being removed; files go a little later"), Problems))]
async fn delete(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Params(params): Params<DeleteParams>,
) -> Answer<StatusCode> {
    shared.handle.change(move |daemon| daemon.remove(&id, params.data)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Pause a transfer
#[utoipa::path(post, path = "/api/v1/transfers/{id}/pause", params(("id" = String, Path, description = "Id or infohash")),
    request_body = Pause, tag = "transfers", responses((status = 200, body = TransferDetail), Problems))]
async fn pause(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Json(pause): Json<Pause>,
) -> Answer<Json<TransferDetail>> {
    Ok(Json(shared.handle.change(move |daemon| daemon.pause(&id, pause.seconds)).await?))
}

/// Go on with a transfer
#[utoipa::path(post, path = "/api/v1/transfers/{id}/resume", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = TransferDetail), Problems))]
async fn resume(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<Json<TransferDetail>> {
    Ok(Json(shared.handle.change(move |daemon| daemon.resume_one(&id)).await?))
}

/// Hash all of a transfer anew
#[utoipa::path(post, path = "/api/v1/transfers/{id}/recheck", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = TransferDetail), Problems))]
async fn recheck(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
) -> Answer<Json<TransferDetail>> {
    Ok(Json(shared.handle.change(move |daemon| daemon.recheck(&id)).await?))
}

/// Move a transfer's files into another folder
#[utoipa::path(post, path = "/api/v1/transfers/{id}/move", params(("id" = String, Path, description = "Id or infohash")),
    request_body = Move, tag = "transfers",
    responses((status = 202, body = TransferDetail, description = "It is being moved: its state tells when it is done"), Problems))]
async fn relocate(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Json(to): Json<Move>,
) -> Answer<impl IntoResponse> {
    let detail = shared.handle.change(move |daemon| daemon.relocate(&id, &to.folder)).await?;
    Ok((StatusCode::ACCEPTED, Json(detail)))
}

/// Which files.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct FileParams {
    /// Where the page before this one ended: its `next`.
    #[param(max_length = 20)]
    cursor: Option<String>,
    /// Files of the page.
    #[param(minimum = 1, maximum = 10000, default = 1000)]
    limit: Option<usize>,
}

/// List the files of a transfer
#[utoipa::path(get, path = "/api/v1/transfers/{id}/files",
    params(("id" = String, Path, description = "Id or infohash"), FileParams), tag = "transfers",
    responses((status = 200, body = FileList), Problems))]
async fn files(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Params(params): Params<FileParams>,
) -> Answer<Json<FileList>> {
    let from = params.cursor.as_deref().unwrap_or("0").parse().map_err(|_| {
        Refusal::new(StatusCode::BAD_REQUEST, "E_QUERY", "cursor is not one that a page ended with")
    })?;
    let limit = params.limit.unwrap_or(1000);
    if !(1..=10_000).contains(&limit) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "E_QUERY",
            "limit is not a number from 1 to 10000",
        ));
    }
    Ok(Json(shared.handle.ask(move |daemon| daemon.files(&id, from, limit)).await?))
}

/// Choose files of a transfer
#[utoipa::path(patch, path = "/api/v1/transfers/{id}/files", params(("id" = String, Path, description = "Id or infohash")),
    request_body = FilesPatch, tag = "transfers", responses((status = 204, description = "Done"), Problems))]
async fn choose_files(
    State(shared): State<Arc<Shared>>,
    Place(id): Place<String>,
    Json(patch): Json<FilesPatch>,
) -> Answer<StatusCode> {
    shared.handle.change(move |daemon| daemon.choose_files(&id, &patch)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// List the connected peers of a transfer
#[utoipa::path(get, path = "/api/v1/transfers/{id}/peers", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = PeerList), Problems))]
async fn peers(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<Json<PeerList>> {
    Ok(Json(shared.handle.ask(move |daemon| daemon.peers(&id)).await?))
}

/// Tell which pieces of a transfer are here
#[utoipa::path(get, path = "/api/v1/transfers/{id}/pieces", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = Pieces), Problems))]
async fn pieces(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<Json<Pieces>> {
    Ok(Json(shared.handle.ask(move |daemon| daemon.pieces(&id)).await?))
}

/// The torrent file of a transfer
#[utoipa::path(get, path = "/api/v1/transfers/{id}/torrent", params(("id" = String, Path, description = "Id or infohash")),
    tag = "transfers", responses((status = 200, body = Vec<u8>, content_type = "application/x-bittorrent"), Problems))]
async fn torrent(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<impl IntoResponse> {
    let bytes = shared.handle.ask(move |daemon| daemon.torrent_file(&id)).await?;
    Ok(([(header::CONTENT_TYPE, "application/x-bittorrent")], bytes))
}

/// Share files in place: they are hashed first, as a job
#[utoipa::path(post, path = "/api/v1/shares", request_body = NewShare, tag = "transfers",
    responses((status = 202, body = Job, headers(("location" = String))), Problems))]
async fn share(State(shared): State<Arc<Shared>>, Json(share): Json<NewShare>) -> Answer<impl IntoResponse> {
    let job = shared.handle.ask(move |daemon| daemon.share(&share)).await?;
    let place = format!("/api/v1/jobs/{}", job.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, place)], Json(job)))
}

/// Show a job
#[utoipa::path(get, path = "/api/v1/jobs/{id}", params(("id" = String, Path)), tag = "transfers",
    responses((status = 200, body = Job), Problems))]
async fn job(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<Json<Job>> {
    Ok(Json(shared.handle.ask(move |daemon| daemon.job(&id)).await?))
}

/// Cancel a job
#[utoipa::path(delete, path = "/api/v1/jobs/{id}", params(("id" = String, Path)), tag = "transfers",
    responses((status = 204, description = "It ends soon"), Problems))]
async fn cancel_job(State(shared): State<Arc<Shared>>, Place(id): Place<String>) -> Answer<StatusCode> {
    shared.handle.ask(move |daemon| daemon.cancel_job(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
