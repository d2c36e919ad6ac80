//! The maxima that guard every field from the wire, each with its reason.
//!
//! Values follow what deployed clients accept, so that honest content is never refused. Where a
//! number comes from a document it is named.

/// Bytes of a transfer unit on the wire. BEP 3 clients refuse larger requests.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// Bytes of a Merkle leaf (BEP 52). Equal to [`BLOCK_LEN`], so that a block can be judged alone.
pub const LEAF_LEN: u32 = BLOCK_LEN;

/// Bytes of a `.torrent` file: room for two million version 1 pieces and their v2 layers.
pub const TORRENT_FILE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of an info dictionary that peers may offer (libtorrent: 30 MiB).
pub const METADATA_BYTES_MAX: usize = 30 * 1024 * 1024;

/// Bytes of one piece of metadata (BEP 9).
pub const METADATA_PIECE_LEN: usize = 16 * 1024;

/// Pieces of a torrent (libtorrent: 2,097,152).
pub const PIECES_MAX: u32 = 2_097_152;

/// Bytes of a piece. The largest that libtorrent loads is 512 MiB; hashing state stays small.
pub const PIECE_LEN_MAX: u32 = 512 * 1024 * 1024;

/// Files of a torrent.
pub const FILES_MAX: usize = 1_000_000;

/// Folders above a file within a torrent.
pub const PATH_DEPTH_MAX: usize = 100;

/// Nested lists and dictionaries in bencode (libtorrent: 100).
pub const BENCODE_DEPTH_MAX: usize = 100;

/// Values and keys in one bencoded document (libtorrent: 3,000,000).
pub const BENCODE_TOKENS_MAX: usize = 3_000_000;

/// Bytes of one peer-wire message but a bitfield's or a hash list's own size fits easily
/// (libtorrent's receive buffer: 2 MiB). A larger length prefix ends the connection.
pub const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Requests that one peer may have waiting at ours; advertised as `reqq` (BEP 10). transmission
/// asks for so many each half second, so the number bounds what it can download from us.
pub const REQUESTS_IN_MAX: usize = 8192;

/// Requests that we keep waiting at one peer which does not advertise `reqq`.
pub const REQUESTS_OUT_DEFAULT: usize = 500;

/// Rejected requests from one peer, while it is choked, after which it is disconnected.
pub const REJECTS_MAX: u32 = 50;

/// Addresses known for one torrent (libtorrent: 3,000).
pub const CANDIDATES_MAX: usize = 3_000;

/// Peers taken from one exchange message (BEP 11: 50 added and 50 dropped; libtorrent takes 100).
pub const PEX_PEERS_MAX: usize = 100;

/// Bytes of a tracker's reply.
pub const TRACKER_REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Peers taken from one tracker reply.
pub const TRACKER_PEERS_MAX: usize = 500;

/// Trackers of one torrent.
pub const TRACKERS_MAX: usize = 200;

/// Web seeds of one torrent.
pub const WEB_SEEDS_MAX: usize = 50;

/// Connections of a node, by default.
pub const CONNECTIONS_MAX: usize = 200;

/// Outgoing connections that are not open yet, by default.
pub const HALF_OPEN_MAX: usize = 64;

/// Messages of hole punching (BEP 55) that one connection may bring about in a minute. A peer introduces us
/// to those that it told us of; more would make us dial at a stranger's pace.
pub const HOLEPUNCHES_PER_MINUTE_MAX: u32 = 30;

/// Bytes of a KRPC datagram that is read. BEP 32 asks for 1,024 at least; a stored item of 1,000
/// bytes with its key, signature, salt and nodes (BEP 44) takes up to about 1,700.
pub const KRPC_BYTES_MAX: usize = 2048;

/// Nested values within a KRPC message (libtorrent: 10).
pub const KRPC_DEPTH_MAX: usize = 10;

/// Values and keys within a KRPC message (libtorrent: 500).
pub const KRPC_TOKENS_MAX: usize = 500;

/// Bytes of a transaction id that is echoed. Programs use 2 to 8.
pub const KRPC_TRANSACTION_BYTES_MAX: usize = 32;

/// Bytes of a write token that is kept and sent back. Programs use 4 to 20.
pub const KRPC_TOKEN_BYTES_MAX: usize = 64;

/// Nodes of each address family taken from one reply (BEP 5: 8; some programs send more).
pub const KRPC_NODES_MAX: usize = 20;

/// Peers taken from one reply: what fits a datagram.
pub const KRPC_VALUES_MAX: usize = 200;

/// Info hashes taken from one sample (BEP 51): what fits a datagram.
pub const KRPC_SAMPLES_MAX: usize = 100;

/// Encoded bytes of a stored item (BEP 44).
pub const DHT_ITEM_BYTES_MAX: usize = 1000;

/// Bytes of a stored item's salt (BEP 44).
pub const DHT_SALT_BYTES_MAX: usize = 64;

/// uTP connections that others began and have not shown to be at their address: a flood of forged
/// addresses finds a place for no more (threats.md W9).
pub const UTP_HALF_OPEN_MAX: usize = 100;

/// uTP connections that one address may open to us: several clients behind one NAT, no flood.
pub const UTP_CONNECTIONS_PER_HOST_MAX: usize = 16;

/// uTP packets of one connection that are sent and not acknowledged: far below the 32,768 at which
/// sequence numbers of 16 bits become ambiguous.
pub const UTP_PACKETS_OUT_MAX: usize = 8192;

/// How far ahead of the first missing uTP packet others are kept. A selective ack names 2,016.
pub const UTP_PACKETS_EARLY_MAX: usize = 4096;

/// Bytes of an announce on the local network: what fits a datagram everywhere (BEP 14: 1,400).
pub const LSD_BYTES_MAX: usize = 1400;

/// Infohashes of one announce on the local network: what fits it.
pub const LSD_HASHES_MAX: usize = 22;

/// Bytes of the text by which the sender of such an announce knows itself. Programs use 8 to 16.
pub const LSD_COOKIE_BYTES_MAX: usize = 64;

/// Bytes of a broadcast message: news, not content.
pub const GOSSIP_PAYLOAD_BYTES_MAX: usize = 4096;

/// Peers named in one message of membership (HyParView names 8).
pub const GOSSIP_MEMBERS_MAX: usize = 32;

/// Broadcast messages named in one message.
pub const GOSSIP_IHAVES_MAX: usize = 64;

/// Bytes of a frame of gossip: the longest is one with a payload.
pub const GOSSIP_FRAME_BYTES_MAX: usize = 36 + GOSSIP_PAYLOAD_BYTES_MAX;

/// News that go along with one message of failure detection (SWIM, section 5: 6).
pub const SWIM_UPDATES_MAX: usize = 6;

/// Milliseconds of a network coordinate, and of a round trip that counts for one: half the earth and a slow line
/// are below one second.
pub const COORDINATE_MS_MAX: f32 = 60_000.0;

/// Bytes of a frame between nodes of a search overlay: two full lists of IPv6 nodes fit. With IPv4 most
/// frames fit a datagram.
pub const OVERLAY_FRAME_BYTES_MAX: usize = 4096;

/// Nodes in one list of an overlay's frame: a neighbourhood set (Pastry: 32) or a successor list with fingers.
pub const OVERLAY_NODES_MAX: usize = 32;

/// Addresses in one list of an overlay's frame.
pub const OVERLAY_ADDRS_MAX: usize = 64;

/// Keys in one list of an overlay's frame; longer indexes travel in several frames.
pub const OVERLAY_KEYS_MAX: usize = 100;

/// Bytes of a query routing table (a Bloom filter): at 4 bits set per key, 1,000 keys are taken for others in
/// 2.4 % of cases.
pub const OVERLAY_BLOOM_BYTES_MAX: usize = 1024;

/// Hops that a flooded query may go; Gnutella 0.4 began with 7, and dropped what asked for more.
pub const FLOOD_TTL_MAX: u8 = 7;

/// Steps of one random walk, and of a biased one. Lv et al. (2002) and Gia (2003) use 1,024.
pub const WALK_STEPS_MAX: u16 = 1024;
