//! Counters.

/// What a DHT node did since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that came in.
    pub received: u64,
    /// Of these: no messages.
    pub malformed: u64,
    /// Of these: from blocked hosts, dropped unread.
    pub blocked: u64,
    /// Of these: answers that nobody awaited.
    pub unexpected: u64,
    /// Queries answered.
    pub answered: u64,
    /// Queries refused with an error.
    pub refused: u64,
    /// Answers not sent, for the upload limit.
    pub unsent: u64,
    /// Bytes of answers.
    pub answer_bytes: u64,
    /// Queries sent.
    pub asked: u64,
    /// Of these: failed.
    pub failed: u64,
    /// Look-ups begun by commands.
    pub lookups: u64,
    /// Keys found crowded.
    pub crowded: u64,
}
