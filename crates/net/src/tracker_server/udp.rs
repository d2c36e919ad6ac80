//! The UDP side (BEP 15).

use super::State;
use peerage_wire::tracker::udp::{Family, Reply, Request};
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{net::UdpSocket, time::sleep};

/// Bytes of a request at most: an announce with a path (BEP 41), or a scrape of 74 hashes.
const REQUEST_BYTES_MAX: usize = 2048;

/// Peers told at most, so that a reply fits a packet of 1,280 bytes: the smallest MTU of IPv6.
const PEERS_V4_MAX: usize = 190;
const PEERS_V6_MAX: usize = 65;

/// Answers packets for ever, one at a time; what does not fit the socket's queue is lost.
pub(super) async fn serve(state: Arc<State>, socket: UdpSocket) {
    let mut buf = [0; REQUEST_BYTES_MAX];
    loop {
        let (len, from) = match socket.recv_from(&mut buf).await {
            Ok(received) => received,
            Err(error) => {
                // Such as the ICMP answer to an earlier reply.
                tracing::trace!(%error, "tracker: receive");
                sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let packet = buf.get(..len).unwrap_or_default();
        let ip = from.ip().to_canonical();
        let Some(reply) = respond(&state, ip, packet) else {
            state.counters.refused.fetch_add(1, Relaxed);
            continue;
        };
        let _ = socket.try_send_to(&reply.encode(family(ip)), from);
    }
}

fn family(ip: IpAddr) -> Family {
    if ip.is_ipv4() { Family::V4 } else { Family::V6 }
}

/// The answer, if there is one. Before a sender has shown a connection id it gets 16 bytes for 16
/// bytes, or nothing: a forged source is not worth forging.
fn respond(state: &State, ip: IpAddr, packet: &[u8]) -> Option<Reply> {
    let uptime = state.start.elapsed();
    match Request::decode(packet).ok()? {
        Request::Connect { transaction } => {
            Some(Reply::Connect { transaction, connection: state.ids.make(ip, uptime) })
        }
        Request::Announce { connection, transaction, mut request, url_data: _ } => {
            if !state.ids.check(connection, ip, uptime) {
                return None;
            }
            let (v4, most) = if ip.is_ipv4() { (true, PEERS_V4_MAX) } else { (false, PEERS_V6_MAX) };
            let most = u32::try_from(most).unwrap_or(u32::MAX);
            let default = u32::try_from(state.config.numwant_default).unwrap_or(u32::MAX);
            request.num_want = Some(request.num_want.unwrap_or(default).min(most));
            let fits = |addr: &SocketAddr| addr.is_ipv4() == v4;
            Some(match state.announce(ip, &request, fits) {
                Ok(reply) => {
                    state.counters.announces_udp.fetch_add(1, Relaxed);
                    Reply::Announce { transaction, reply }
                }
                Err(reason) => {
                    state.counters.refused.fetch_add(1, Relaxed);
                    Reply::Error { transaction, message: reason.to_owned() }
                }
            })
        }
        Request::Scrape { connection, transaction, info_hashes } => {
            if !state.ids.check(connection, ip, uptime) {
                return None;
            }
            state.counters.scrapes.fetch_add(1, Relaxed);
            let table = state.table();
            let entries = info_hashes.iter().map(|hash| table.0.scrape(hash)).collect();
            Some(Reply::Scrape { transaction, entries })
        }
    }
}
