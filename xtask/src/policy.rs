//! What is allowed: the one place to change when a crate comes or an arrow is added. ARCHITECTURE.md draws the layers.

/// Crates without clock, threads, environment and I/O.
pub const PURE: [&str; 7] = ["base", "wire", "content", "overlay", "swarm", "peer", "lab"];

/// For each crate the workspace crates it may depend on. All else is forbidden.
pub const ALLOWED: [(&str, &[&str]); 12] = [
    ("base", &[]),
    ("wire", &["base"]),
    ("content", &["base", "wire"]),
    ("overlay", &["base", "wire"]),
    ("swarm", &["base", "wire", "content"]),
    ("peer", &["base", "wire", "content", "swarm"]),
    ("store", &["base", "content", "wire"]),
    ("net", &["base", "wire", "swarm"]),
    ("api", &[]),
    ("node", &["base", "wire", "content", "overlay", "swarm", "peer", "store", "net", "api"]),
    ("lab", &["base", "wire", "content", "overlay", "swarm", "peer"]),
    ("cli", &["api", "node", "lab"]),
];

/// Why an edge is forbidden: the first entry that matches. `*` stands for every crate.
pub const REASONS: [(&str, &str, &str); 16] = [
    ("base", "*", "base is the lowest layer: everything depends on it"),
    ("wire", "content", "bytes are decoded without knowing what they are for"),
    ("swarm", "peer", "the peer composes swarms: dependencies point down"),
    ("wire", "*", "wire knows bytes only, so that its decoders can be fuzzed alone"),
    ("content", "*", "content is data; what moves or keeps it lies above"),
    ("overlay", "*", "a pure machine that knows keys and addresses, and nothing of what is at them"),
    ("swarm", "*", "a pure machine: the node joins it with network and disk"),
    ("peer", "*", "a pure machine: the node joins it with network and disk"),
    ("store", "net", "disk and network meet in the node only"),
    ("store", "*", "the store keeps bytes; it knows no peers and decides nothing about them"),
    ("net", "content", "the network moves bytes; it does not know what they mean"),
    ("net", "*", "the network moves bytes; who gets which is decided in the machines"),
    ("api", "*", "api is what programs outside of the node link: types only"),
    ("node", "*", "the node is a library: commands and output are the cli's"),
    ("lab", "*", "the lab drives machines in virtual time: sockets and disks are simulated"),
    ("cli", "*", "the cli reaches a node through api, and starts one; it has no logic of its own"),
];

/// Packages that no pure crate may reach, directly or not, with what they bring in.
pub const IMPURE: [(&str, &str); 34] = [
    ("tokio", "an async runtime"),
    ("async-std", "an async runtime"),
    ("smol", "an async runtime"),
    ("futures-executor", "an async runtime"),
    ("mio", "sockets"),
    ("socket2", "sockets"),
    ("hyper", "sockets"),
    ("quinn", "sockets and a clock"),
    ("quinn-proto", "a clock"),
    ("rustix", "system calls"),
    ("nix", "system calls"),
    ("getrandom", "entropy: it comes as an argument"),
    ("rand", "ambient randomness: use base::Rng"),
    ("fastrand", "ambient randomness: use base::Rng"),
    ("ahash", "a hash order that differs between processes"),
    ("chrono", "a clock"),
    ("time", "a clock"),
    ("jiff", "a clock"),
    ("humantime", "a clock"),
    ("instant", "a clock"),
    ("web-time", "a clock"),
    ("quanta", "a clock"),
    ("coarsetime", "a clock"),
    ("minstant", "a clock"),
    ("tempfile", "files"),
    ("memmap2", "files"),
    ("redb", "files"),
    ("rayon", "threads"),
    ("crossbeam-channel", "threads"),
    ("parking_lot", "threads"),
    ("num_cpus", "the environment"),
    ("if-addrs", "the environment"),
    ("etcetera", "the environment"),
    ("tracing", "a clock in its subscribers, and an ambient one: machines report through outputs"),
];

/// Lines of a file; longer ones need an entry in the allow-list.
pub const FILE_LINES_MAX: usize = 800;

/// Lines of a function, signature and closing brace included.
pub const FUNCTION_LINES_MAX: usize = 70;

/// Lines of `base`, tests included: it stays small.
pub const BASE_LINES_MAX: usize = 1500;
