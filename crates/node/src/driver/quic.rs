//! QUIC as the driver uses it: bound when it is first needed, since most runs need none.

use std::sync::Arc;

use peerage_api::request::{NodeConfig, ViaPolicy};
use peerage_base::{Contact, Instant};
use peerage_net::identity::Identity;
use peerage_net::road::{GreetError, Greeted, Quic, QuicConfig, QuicError};
use peerage_peer::RoadKind;
use tokio::sync::{OnceCell, Semaphore};

use super::{Driver, Input};
use crate::inbox::Inbox;

/// Incoming connections that are being opened; more wait in the socket.
const OPENING_MAX: usize = 64;

/// A way to peers by their keys. Clones share it.
#[derive(Clone)]
pub(super) struct Road {
    identity: Identity,
    ways: QuicConfig,
    bound: Arc<OnceCell<Quic>>,
}

impl Road {
    pub(super) fn new(identity: Identity, config: &NodeConfig) -> Self {
        let direct_only = config.via == ViaPolicy::Direct;
        let ways = QuicConfig {
            addr: config.listen.map(|addr| addr.ip()),
            relays: if direct_only { Vec::new() } else { config.relays.clone() },
            relayed_only: config.via == ViaPolicy::Relay,
        };
        Self { identity, ways, bound: Arc::default() }
    }

    async fn quic(&self) -> Result<&Quic, QuicError> {
        self.bound.get_or_try_init(|| Quic::bind(&self.identity, &self.ways)).await
    }

    pub(super) async fn dial(self, contact: Contact) -> Result<Greeted, GreetError> {
        let quic = self.quic().await.map_err(std::io::Error::other)?;
        Ok(quic.dial(&contact).await?)
    }
}

impl Driver {
    /// Keeps in touch with the relays, and lets peers in by QUIC from now on. `None`: no relay is
    /// configured, and nobody is told of QUIC.
    ///
    /// # Errors
    /// No UDP port, or a relay that cannot be understood.
    pub(crate) async fn go_online(&mut self) -> Result<Option<Contact>, QuicError> {
        let Some(road) = self.quic.clone().filter(|road| !road.ways.relays.is_empty()) else {
            return Ok(None);
        };
        let quic = road.quic().await?.clone();
        let contact = quic.contact().await;
        tokio::spawn(accept(quic, self.inbox.clone()));
        Ok(Some(contact))
    }

    /// What a relay says that does not let us in.
    pub(crate) fn denial(&self) -> Option<String> {
        self.quic.as_ref()?.bound.get()?.denial()
    }

    pub(super) fn on_arrived(&mut self, now: Instant, greeted: Greeted) {
        let Some(peer) = greeted.peer else { return };
        let addr = peerage_base::contact::placeholder(peer);
        let Some(conn) = self.peer.accept(now, addr) else { return };
        self.trace_arrival(conn, addr, RoadKind::Quic);
        self.open(now, conn, greeted, addr, None);
    }

    /// Says goodbye to those who are connected by QUIC.
    pub(crate) async fn go_offline(&mut self) {
        if let Some(quic) = self.quic.as_ref().and_then(|road| road.bound.get()) {
            quic.close().await;
        }
    }
}

/// Opens what comes in, until the endpoint is closed.
async fn accept(quic: Quic, inbox: Inbox<Input>) {
    let places = Arc::new(Semaphore::new(OPENING_MAX));
    while let Some(incoming) = quic.accept().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let inbox = inbox.clone();
        let crowded = places.available_permits() < OPENING_MAX / 2;
        tokio::spawn(async move {
            match incoming.open(crowded).await {
                Ok(greeted) => inbox.put(Input::Arrived(Box::new(greeted))),
                Err(error) => tracing::debug!(%error, "an incoming QUIC connection"),
            }
            drop(place);
        });
    }
}
