//! Sharing files in place.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use peerage_api::Event;
use peerage_api::error::{ExitCode, Failure};
use peerage_api::event::Stage;
use peerage_api::request::{NodeConfig, Share, ViaPolicy};
use peerage_base::Contact;
use peerage_content::{Metainfo, Version};
use peerage_peer::TorrentParams;
use peerage_store::{AddTorrent, CheckMode, CheckOutcome, Mode, Place};
use peerage_swarm::Priority;

use super::code::Offer;
use super::create::{Made, make};
use super::names::Publisher;
use super::session::{Opened, Session, add_failure, resolve};
use super::source::{TORRENT_HINT, read_torrent};
use super::ways;
use crate::driver::{Torrent, Who};
use crate::{Boxed, Sink, Stop, link};

/// How long a name may take to be published before the share goes on without.
const PUBLISH_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// Shares `request.paths` until `stop`.
///
/// # Errors
/// The paths cannot be read or are not what the torrent describes, the port cannot be opened, or `stop`
/// came before there was a link.
pub fn share(
    request: Share,
    config: NodeConfig,
    stop: Stop,
    sink: Sink,
) -> Boxed<'static, Result<(), Failure>> {
    Box::pin(async move {
        ways::check(&config)?;
        ways::check_share(&config)?;
        let publisher = request.publish.as_deref().map(|name| Publisher::open(name, &config)).transpose()?;
        let offer = if request.code { Some(Offer::open(&config).await?) } else { None };
        let prepared = prepare(&request, &stop, &sink).await?;
        let mut session = Session::start(&config, Who::Known, sink, stop)?;
        let result = serve(&mut session, &request, prepared, offer, publisher).await;
        session.finish().await;
        result
    })
}

/// A torrent and where its files are.
struct Prepared {
    metainfo: Metainfo,
    place: Place,
    check: CheckMode,
}

/// Stopped before anybody could have had anything of it: a script must not take that for a share.
fn cancelled() -> Failure {
    Failure::new(ExitCode::Interrupted, "E_CANCELLED", "stopped before it was shared; there is no link")
}

/// Reads the torrent, or hashes the paths.
async fn prepare(request: &Share, stop: &Stop, sink: &Sink) -> Result<Prepared, Failure> {
    if let Some(torrent) = &request.torrent {
        let metainfo = read_torrent(torrent, TORRENT_HINT)?;
        let [path] = request.paths.as_slice() else {
            return Err(Failure::new(
                ExitCode::Usage,
                "E_USAGE",
                "with --torrent, give the one path that it describes",
            ));
        };
        let place = locate(&metainfo, path)?;
        return Ok(Prepared { metainfo, place, check: CheckMode::Full });
    }
    let cancel = Arc::new(AtomicBool::new(false));
    let (paths, name, sink) = (request.paths.clone(), request.name.clone(), sink.clone());
    let stopped = Arc::clone(&cancel);
    let mut work =
        tokio::task::spawn_blocking(move || make(&paths, name, None, Version::Hybrid, false, &sink, stopped));
    let made = tokio::select! {
        made = &mut work => made,
        () = stop.requested() => {
            cancel.store(true, Ordering::Relaxed);
            return Err(cancelled());
        }
    };
    let Made { mut metainfo, paths, identities, .. } =
        made.map_err(|error| Failure::new(ExitCode::Unclassified, "E_HASH", error.to_string()))??;
    metainfo.trackers = request.trackers.iter().map(|url| vec![url.clone()]).collect();
    Ok(Prepared { metainfo, place: Place::Files(paths), check: CheckMode::JustHashed(identities) })
}

/// Where the files of a torrent are, when the user names the content itself or the folder around it.
pub(super) fn locate(metainfo: &Metainfo, path: &Path) -> Result<Place, Failure> {
    let info = &metainfo.info;
    let found = std::fs::metadata(path)
        .map_err(|error| super::io_failure(&path.display().to_string(), &error).hint(super::CHECK_PATH))?;
    if !info.folder && !found.is_dir() {
        return Ok(Place::Files(vec![path.to_path_buf()]));
    }
    if !found.is_dir() {
        return Err(Failure::new(
            ExitCode::Usage,
            "E_USAGE",
            format!("the torrent describes a folder, and {} is a file", path.display()),
        ));
    }
    let inner = path.join(&info.name);
    Ok(Place::Under(if info.folder && inner.is_dir() { inner } else { path.to_path_buf() }))
}

async fn serve(
    session: &mut Session,
    request: &Share,
    prepared: Prepared,
    offer: Option<Offer>,
    mut publisher: Option<Publisher>,
) -> Result<(), Failure> {
    let Prepared { metainfo, place, check } = prepared;
    let info = Arc::clone(&metainfo.info);
    let hashes = Arc::new(metainfo.hashes());
    let mut params = TorrentParams::new(info.hashes);
    params.private = info.private;
    params.config.upload_slots = session.upload_slots;
    session.add_torrent(params)?;
    let add = AddTorrent {
        id: session.torrent,
        hashes: Arc::clone(&hashes),
        metadata: Bytes::new(),
        place,
        mode: Mode::Seed,
        wanted: None,
    };
    let store = session.driver.store.add(add.clone()).map_err(|error| add_failure(&error))?;
    session.wanted = info.layout.total_len();
    let torrent = Torrent { store, info: Arc::clone(&info), hashes: Arc::clone(&hashes) };
    let Some(Opened { outcome, .. }) = session.open(add, torrent, check, None).await? else {
        return Err(cancelled());
    };
    warn_incomplete(session, &outcome)?;
    // What is missing or gets lost is never fetched: the files are the user's own, and only read.
    let skip = vec![Priority::Skip; hashes.info().layout.files().len()];
    session.set_content(&hashes, &outcome.have, skip);
    if request.super_seeding {
        let now = session.driver.now();
        if let Some(swarm) = session.driver.peer.swarm_mut(session.torrent) {
            swarm.set_super_seeding(now, true);
        }
    }
    go_public(session, request, &metainfo).await?;
    if let Some(publisher) = &mut publisher {
        publish(session, publisher, info.hashes.primary()).await?;
    }
    tell_link(session, request, &metainfo, offer).await?;
    while !session.stop.is_requested() {
        session.turn().await;
        while let Some(news) = session.driver.news() {
            session.report(news);
        }
        if session.tick() {
            publisher.iter_mut().for_each(|publisher| publisher.poll(session));
            session.tell(Event::Progress(session.progress(Stage::Seeding)));
            session.tell(Event::Stats(session.stats()));
        }
    }
    Ok(())
}

/// Publishes it under the user's key. Where no node takes it yet, the share goes on, and so do the tries.
async fn publish(
    session: &mut Session,
    publisher: &mut Publisher,
    info_hash: [u8; 20],
) -> Result<(), Failure> {
    publisher.set_torrent(info_hash);
    let until = session.driver.now() + PUBLISH_LIMIT;
    while !publisher.is_published() && session.driver.now() < until {
        if session.stop.is_requested() {
            return Err(cancelled());
        }
        publisher.poll(session);
        session.turn().await;
        while let Some(news) = session.driver.news() {
            session.report(news);
        }
        session.tick();
    }
    if !publisher.is_published() {
        let message =
            "no node of the DHT has taken the name yet; it is tried again while this runs".to_owned();
        session.tell(Event::Warning { message });
    }
    Ok(())
}

/// Makes the link and tells it, and the code that stands for it.
async fn tell_link(
    session: &mut Session,
    request: &Share,
    metainfo: &Metainfo,
    offer: Option<Offer>,
) -> Result<(), Failure> {
    let info = &metainfo.info;
    let listen = session.driver.local_addrs();
    let reachable = link::reachable(&listen);
    let trackers = if session.via == ViaPolicy::Relay { Vec::new() } else { trackers(request, metainfo) };
    let mut link = link::magnet(info, &trackers, &metainfo.web_seeds, &reachable);
    let online = go_online(session).await?;
    let contact = online.or_else(|| session.driver.key().map(Contact::new));
    link.contacts.extend(contact.map(|contact| Contact { tcp: reachable.clone(), ..contact }));
    session.tell(Event::Ready {
        listen: listen.iter().map(ToString::to_string).collect(),
        infohash_v1: info.hashes.v1.map(|hash| hash.to_string()),
        infohash_v2: info.hashes.v2.map(|hash| hash.to_string()),
        link: link.to_string(),
        code: offer.as_ref().map(Offer::code),
        name: info.name.clone(),
        total: info.layout.total_len(),
    });
    if let Some(offer) = offer {
        offer.serve(link.to_string(), session.sink.clone());
    }
    Ok(())
}

/// Lets peers in by QUIC, and tells where no relay leads here.
async fn go_online(session: &mut Session) -> Result<Option<Contact>, Failure> {
    let online = session.driver.go_online().await;
    let online = online.map_err(|error| Failure::new(ExitCode::Unclassified, "E_QUIC", error.to_string()))?;
    if online.as_ref().is_some_and(|contact| contact.relay.is_none()) {
        let why = session.driver.denial().unwrap_or_else(|| "no relay answers".to_owned());
        if session.via == ViaPolicy::Relay {
            return Err(Failure::new(
                ExitCode::Unreachable,
                "E_RELAY",
                format!("{why}; nothing else may be used"),
            )
            .hint("`peerage doctor --relay URL` tells more"));
        }
        let message = format!("{why}; the link leads only to where this machine can be reached directly");
        session.tell(Event::Warning { message });
    }
    Ok(online)
}

fn trackers(request: &Share, metainfo: &Metainfo) -> Vec<Vec<String>> {
    let given =
        request.trackers.iter().filter(|url| !metainfo.trackers.iter().flatten().any(|known| known == *url));
    metainfo.trackers.iter().cloned().chain(given.map(|url| vec![url.clone()])).collect()
}

/// Lets peers in, and tells trackers and named peers.
async fn go_public(session: &mut Session, request: &Share, metainfo: &Metainfo) -> Result<(), Failure> {
    session.driver.accept_peers();
    let named = tokio::select! {
        named = resolve(&request.peers, session.via, &session.sink) => named,
        () = session.stop.requested() => return Err(cancelled()),
    };
    session.look_for_peers(&[], named, trackers(request, metainfo));
    Ok(())
}

/// A share of data that is not all there serves what is right; of none at all, nothing.
fn warn_incomplete(session: &Session, outcome: &CheckOutcome) -> Result<(), Failure> {
    for error in &outcome.errors {
        session.tell(Event::Warning { message: error.clone() });
    }
    let (good, all) = (outcome.have.count(), outcome.have.pieces());
    if good == 0 && all > 0 {
        return Err(Failure::new(
            ExitCode::Integrity,
            "E_NO_DATA",
            "the path holds nothing of what the torrent describes",
        )
        .hint("give the file or folder that the torrent was made from, or the folder around it"));
    }
    if good < all {
        let message = format!("{good} of {all} pieces are right; only those are served");
        session.tell(Event::Warning { message });
    }
    Ok(())
}
