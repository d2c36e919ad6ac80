//! `peerage why`: finds, dials and greets as a download would, fetches nothing but the description of the
//! content, and tells what became of each peer.

mod record;
mod verdict;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peerage_api::error::{ExitCode, Failure};
use peerage_api::request::{self, NodeConfig, ViaPolicy};
use peerage_api::why::{WebSeed, Why};
use peerage_api::{Event, SCHEMA_VERSION};
use peerage_base::{InfoHashes, Instant};
use peerage_content::{Hashes, Info};
use peerage_net::http::Client;
use peerage_net::web_seed::{self, FilePart};
use peerage_peer::TorrentParams;
use peerage_swarm::{Bitfield, Content, Event as SwarmEvent};
use tokio::task::JoinSet;

use super::session::{Session, printable, resolve};
use super::source::{self, Source};
use crate::driver::{News, Who};
use crate::{Boxed, Sink, Stop};
use record::Record;

/// How often it looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// When nothing new comes for so long, nothing more is waited for.
const QUIET: Duration = Duration::from_secs(1);

/// Finds out what becomes of `request.link`.
///
/// # Errors
/// The link cannot be read, or what it names is no good torrent; the port cannot be opened.
pub fn why(
    request: request::Why,
    mut config: NodeConfig,
    stop: Stop,
) -> Boxed<'static, Result<Why, Failure>> {
    Box::pin(async move {
        // Nobody waits for the router here, and what it would open is closed at once.
        config.port_mapping = false;
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&warnings);
        let sink: Sink = Arc::new(move |event| {
            if let Event::Warning { message } = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            }
        });
        let who = if request.known { Who::Known } else { Who::Anyone };
        let mut session = Session::start(&config, who, sink, stop)?;
        let result = Look::run(&mut session, &request).await;
        session.finish().await;
        let mut why = result?;
        why.warnings.append(&mut warnings.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(why)
    })
}

/// A look under way.
struct Look {
    started: Instant,
    until: Instant,
    record: Record,
    hashes: InfoHashes,
    name: Option<String>,
    info: Option<Arc<Info>>,
    web_seeds: Vec<WebSeed>,
    probes: JoinSet<(usize, Result<(), web_seed::Error>)>,
}

impl Look {
    async fn run(session: &mut Session, request: &request::Why) -> Result<Why, Failure> {
        let started = session.driver.now();
        let limit = Duration::try_from_secs_f64(request.timeout).unwrap_or(Duration::MAX);
        let source =
            tokio::time::timeout(limit, source::open(&request.link, session.via, session.driver.http()))
                .await;
        let source = source.map_err(|_| {
            Failure::new(ExitCode::Timeout, "E_TIMEOUT", "the torrent file did not come in time")
        })??;
        let (hashes, name) = match &source {
            Source::Torrent(metainfo) => (metainfo.info.hashes, Some(metainfo.info.name.clone())),
            Source::Magnet(magnet) => (magnet.hashes, magnet.name.clone()),
        };
        let mut look = Self {
            started,
            until: started + limit.min(Duration::from_hours(1)),
            record: Record::default(),
            hashes,
            name,
            info: None,
            web_seeds: Vec::new(),
            probes: JoinSet::new(),
        };
        look.begin(session, source, request).await?;
        look.watch(session).await?;
        Ok(look.finish(session))
    }

    async fn begin(
        &mut self,
        session: &mut Session,
        source: Source,
        asked: &request::Why,
    ) -> Result<(), Failure> {
        let mut params = TorrentParams::new(self.hashes);
        params.config.fetch = false;
        let private = matches!(&source, Source::Torrent(metainfo) if metainfo.info.private);
        params.private = private;
        session.add_torrent(params)?;
        let (contacts, addrs, mut trackers, web_seeds) = match source {
            Source::Torrent(metainfo) => {
                self.web_seeds = seeds(&metainfo.web_seeds);
                self.set_content(session, metainfo.hashes());
                (Vec::new(), Vec::new(), metainfo.trackers.clone(), metainfo.web_seeds.clone())
            }
            Source::Magnet(magnet) => {
                let tiers = magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
                (magnet.contacts, magnet.peers, tiers, magnet.web_seeds)
            }
        };
        if self.web_seeds.is_empty() {
            self.web_seeds = seeds(&web_seeds);
        }
        trackers.extend(asked.trackers.iter().map(|url| vec![url.clone()]));
        if session.via != ViaPolicy::Relay {
            self.record.expect_trackers(&trackers);
        } else {
            self.web_seeds.clear();
        }
        let peers: Vec<String> = addrs.into_iter().chain(asked.peers.iter().cloned()).collect();
        let named = resolve(&peers, session.via, &session.sink).await;
        session.driver.accept_peers();
        session.look_for_peers(&contacts, named, trackers);
        if !private && session.driver.has_dht() {
            self.record.expect_dht();
        }
        if !private && session.driver.has_lan() {
            self.record.expect_lan();
        }
        Ok(())
    }

    /// The description of the content is known: from now on peers tell what they have of it.
    fn set_content(&mut self, session: &mut Session, hashes: Hashes) {
        let info = Arc::clone(hashes.info());
        let content = Content { hashes, have: Bitfield::new(info.layout.pieces()), priorities: Vec::new() };
        let now = session.driver.now();
        session.driver.peer.set_content(now, session.torrent, content);
        for (number, seed) in self.web_seeds.iter().enumerate().filter(|_| session.via != ViaPolicy::Relay) {
            let (client, url, info) = (session.driver.http().clone(), seed.url.clone(), Arc::clone(&info));
            self.probes.spawn(async move { (number, probe(&client, &url, &info).await) });
        }
        self.name = Some(info.name.clone());
        self.info = Some(info);
    }

    /// Until nothing more is to be learned, or the time is over.
    async fn watch(&mut self, session: &mut Session) -> Result<(), Failure> {
        let mut quiet_since = self.started;
        loop {
            let now = session.driver.now();
            if session.stop.is_requested() || now >= self.until {
                return Ok(());
            }
            session.tick();
            session.driver.turn(self.until.min(now + LOOK_INTERVAL)).await;
            while let Some(news) = session.driver.news() {
                self.on_news(session, news)?;
            }
            while let Some(Ok((number, result))) = self.probes.try_join_next() {
                if let Some(seed) = self.web_seeds.get_mut(number) {
                    seed.asked = true;
                    seed.error = result.err().map(|error| printable(&error.to_string()));
                }
            }
            let total = self.pieces();
            self.record.on_peers(&session.driver.peer.peers(session.torrent), total);
            let now = session.driver.now();
            if self.record.take_news() || self.is_waiting(session) {
                quiet_since = now;
            }
            if now >= quiet_since + QUIET {
                return Ok(());
            }
        }
    }

    fn on_news(&mut self, session: &mut Session, news: News) -> Result<(), Failure> {
        match news {
            News::Trace(trace) => self.record.on_trace(trace),
            News::Tracker(_, url, result) => self.record.on_tracker(&url, result),
            News::Searched(report, _) => self.record.on_search(report),
            News::Swarm(_, SwarmEvent::Metadata { info }) => {
                let info = Info::parse(&info).map_err(|error| {
                    let message = format!("what the link names is not a good torrent: {error}");
                    Failure::new(ExitCode::Integrity, "E_TORRENT", message)
                })?;
                self.set_content(session, Hashes::new(Arc::new(info)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether an answer is still to come.
    fn is_waiting(&self, session: &Session) -> bool {
        let total = self.pieces();
        let serves = |chokes: bool, pieces: u32| !chokes && Some(pieces) == total;
        let served = self.record.met().any(|met| serves(met.chokes, met.pieces));
        let hoping = |met: &peerage_api::why::Met| total.is_none() || (met.pieces > 0 && met.chokes);
        session.driver.is_announcing()
            || self.record.is_searching()
            || !self.probes.is_empty()
            || self.record.is_trying()
            || (!served && self.record.met().any(hoping))
    }

    fn pieces(&self) -> Option<u32> {
        self.info.as_ref().map(|info| info.layout.pieces())
    }

    fn finish(self, session: &Session) -> Why {
        let pieces = self.pieces();
        let (sources, peers, beyond) = self.record.finish();
        let mut why = Why {
            schema_version: SCHEMA_VERSION,
            name: self.name.as_deref().map(printable),
            infohash_v1: self.hashes.v1.map(|hash| hash.to_string()),
            infohash_v2: self.hashes.v2.map(|hash| hash.to_string()),
            pieces,
            seconds: session.driver.now().since(self.started).as_secs_f64(),
            sources,
            peers,
            web_seeds: self.web_seeds,
            ..Why::default()
        };
        if beyond > 0 {
            why.warnings.push(format!("{beyond} more peers were named, and are not listed"));
        }
        why.verdict = verdict::conclude(&why);
        why
    }
}

fn seeds(urls: &[String]) -> Vec<WebSeed> {
    urls.iter().map(|url| WebSeed { url: url.clone(), ..WebSeed::default() }).collect()
}

/// Whether a web seed would send the first byte. Its answer's headers tell; the byte itself is not read.
async fn probe(client: &Client, url: &str, info: &Info) -> Result<(), web_seed::Error> {
    let names = info.raw_paths();
    let mut files = info.layout.files().iter().zip(names);
    let Some((file, names)) = files.find(|(file, _)| file.len > 0 && !file.is_pad()) else { return Ok(()) };
    let mut names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
    let name = names.next().unwrap_or_default();
    let path: Vec<String> = names.collect();
    let part = FilePart { name: &name, path: &path, file_len: file.len, range: 0..1 };
    web_seed::fetch(client, url, &part).await.map(drop)
}
