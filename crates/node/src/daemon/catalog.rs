//! The catalogue: everything that the daemon keeps between runs, in one database of its own.
//!
//! A thread owns the writing side. What was put is committed in order, many changes with one commit where they
//! come faster than the disk; [`Catalog::settle`] tells when all before it is durable. So a change is acknowledged
//! to a client only once it survives `kill -9` and a loss of power, and the driver never waits for the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use peerage_api::control::Scope;
use peerage_api::error::{ExitCode, Failure};
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::record::Record;

const TRANSFERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("transfers");
const DESCRIPTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("descriptions");
const PLACES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("places");
const TOKENS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tokens");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Version of what is in there. A newer one is not opened.
const VERSION: u8 = 1;
/// Changes that wait for the thread. Whoever finds it full waits: only when the disk stands still.
const QUEUE_MAX: usize = 4096;
/// Changes of one commit.
const BATCH_MAX: usize = 512;
/// Bytes that the database may keep in memory.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// A token, as the catalogue has it: its secret is known by its hash alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub created_at: u64,
    /// SHA-256 of the secret, in hexadecimal. 256 random bits need no slow hash.
    pub digest: String,
}

/// What was there at the start.
#[derive(Default)]
pub(crate) struct Loaded {
    pub transfers: Vec<Record>,
    pub tokens: Vec<TokenRecord>,
    /// Small values by name.
    pub meta: BTreeMap<String, Vec<u8>>,
}

/// Which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Transfers,
    /// Torrent files, or (first byte `i`) bare info dictionaries.
    Descriptions,
    /// Paths of the files of a share, each ended by a zero byte.
    Places,
    Tokens,
    Meta,
}

impl Table {
    fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        match self {
            Self::Transfers => TRANSFERS,
            Self::Descriptions => DESCRIPTIONS,
            Self::Places => PLACES,
            Self::Tokens => TOKENS,
            Self::Meta => META,
        }
    }
}

/// Called once all before it is durable, or with why it is not.
type Settled = Box<dyn FnOnce(Result<(), Failure>) + Send>;

enum Change {
    Put(Table, String, Vec<u8>),
    Remove(Table, String),
    Settle(Settled),
}

/// Reads what the catalogue keeps; from any thread.
#[derive(Clone)]
pub(crate) struct Reader(Arc<Database>);

impl Reader {
    /// A value.
    pub fn get(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let read = || -> Result<_, redb::Error> {
            let read = self.0.begin_read()?;
            let table = read.open_table(table.definition())?;
            Ok(table.get(key)?.map(|value| value.value().to_vec()))
        };
        read().map_err(|error| failure(&error))
    }
}

/// The open catalogue.
pub(crate) struct Catalog {
    changes: Option<Sender<Change>>,
    reader: Reader,
    thread: Option<JoinHandle<()>>,
}

impl Catalog {
    /// Opens or makes the database in `dir`.
    ///
    /// # Errors
    /// It cannot be opened, was written by a newer version, or is damaged.
    pub fn open(dir: &Path) -> Result<(Self, Loaded), Failure> {
        let path = dir.join("daemon.redb");
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(&path).map_err(|error| open_failure(&path, &error))?;
        let loaded = load(&database).map_err(|error| failure(&error))?;
        match loaded.meta.get("version").map(Vec::as_slice) {
            Some([version]) if *version > VERSION => {
                let message = format!("{} was written by a newer version of peerage", path.display());
                return Err(Failure::new(ExitCode::Version, "E_NEWER", message)
                    .hint("run that version, or put the folder's backup there"));
            }
            _ => {}
        }
        let reader = Reader(Arc::new(database));
        let (changes, receiver) = bounded(QUEUE_MAX);
        let database = Arc::clone(&reader.0);
        let thread = std::thread::Builder::new()
            .name("catalogue".to_owned())
            .spawn(move || write(&database, &receiver))
            .map_err(|error| {
                Failure::new(ExitCode::Unclassified, "E_SYSTEM", format!("cannot start a thread: {error}"))
            })?;
        Ok((Self { changes: Some(changes), reader, thread: Some(thread) }, loaded))
    }

    /// For other threads.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Keeps a value.
    pub fn put(&self, table: Table, key: &str, value: Vec<u8>) {
        self.send(Change::Put(table, key.to_owned(), value));
    }

    /// Keeps a transfer.
    pub fn put_record(&self, record: &Record) {
        // Of these types nothing can fail.
        self.put(Table::Transfers, &record.id, serde_json::to_vec(record).unwrap_or_default());
    }

    /// Forgets a value.
    pub fn remove(&self, table: Table, key: &str) {
        self.send(Change::Remove(table, key.to_owned()));
    }

    /// Calls back when all before it is durable.
    pub fn settle(&self, settled: impl FnOnce(Result<(), Failure>) + Send + 'static) {
        self.send(Change::Settle(Box::new(settled)));
    }

    /// Ends a wait when all before it was tried to be written: for threads that read what was put just now.
    pub fn barrier(&self) -> Receiver<()> {
        let (sender, receiver) = bounded(1);
        self.settle(move |_| {
            let _ = sender.send(());
        });
        receiver
    }

    fn send(&self, change: Change) {
        if let Some(changes) = &self.changes {
            let _ = changes.send(change);
        }
    }

    /// Writes what waits, and closes it.
    pub fn close(mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

fn load(database: &Database) -> Result<Loaded, redb::Error> {
    // All tables exist from here on, so that readers need not ask.
    let write = database.begin_write()?;
    for table in [TRANSFERS, DESCRIPTIONS, PLACES, TOKENS] {
        write.open_table(table)?;
    }
    {
        let mut meta = write.open_table(META)?;
        if meta.get("version")?.is_none() {
            meta.insert("version", [VERSION].as_slice())?;
        }
    }
    write.commit()?;
    let mut loaded = Loaded::default();
    let read = database.begin_read()?;
    for row in read.open_table(TRANSFERS)?.iter()? {
        let (key, value) = row?;
        match serde_json::from_slice::<Record>(value.value()) {
            Ok(record) => loaded.transfers.push(record),
            Err(error) => {
                tracing::error!(transfer = key.value(), %error, "the catalogue's entry is not readable")
            }
        }
    }
    for row in read.open_table(TOKENS)?.iter()? {
        let (_, value) = row?;
        loaded.tokens.extend(serde_json::from_slice::<TokenRecord>(value.value()).ok());
    }
    for row in read.open_table(META)?.iter()? {
        let (key, value) = row?;
        loaded.meta.insert(key.value().to_owned(), value.value().to_vec());
    }
    Ok(loaded)
}

/// The thread: one commit for all that waits.
fn write(database: &Database, changes: &Receiver<Change>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(BATCH_MAX - 1));
        let result = commit(database, &batch).map_err(|error| failure(&error));
        if let Err(error) = &result {
            tracing::error!(%error, "the catalogue could not be written");
        }
        for change in batch {
            if let Change::Settle(settled) = change {
                settled(result.clone());
            }
        }
    }
}

fn commit(database: &Database, batch: &[Change]) -> Result<(), redb::Error> {
    if batch.iter().all(|change| matches!(change, Change::Settle(_))) {
        return Ok(());
    }
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    for change in batch {
        match change {
            Change::Put(table, key, value) => {
                write.open_table(table.definition())?.insert(key.as_str(), value.as_slice())?;
            }
            Change::Remove(table, key) => {
                write.open_table(table.definition())?.remove(key.as_str())?;
            }
            Change::Settle(_) => {}
        }
    }
    write.commit()?;
    Ok(())
}

fn failure(error: &redb::Error) -> Failure {
    let full = matches!(error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull);
    let exit = if full { ExitCode::NoSpace } else { ExitCode::Unclassified };
    Failure::new(exit, "E_STATE", format!("the daemon's catalogue: {error}"))
        .hint("free space in the state folder (`peerage paths`), then start the daemon again")
}

fn open_failure(path: &Path, error: &DatabaseError) -> Failure {
    let message = format!("{}: {error}", path.display());
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            Failure::new(ExitCode::Locked, "E_RUNNING", message).hint("another process has it open")
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) => Failure::of_kind(error.kind(), message)
            .hint("`peerage paths` shows the folders; --home DIR or PEERAGE_HOME puts them elsewhere"),
        _ => Failure::new(ExitCode::Integrity, "E_STATE", message)
            .hint("put the file's backup there, or move it away: the transfers' files stay as they are"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_there_after_a_new_start() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, loaded) = Catalog::open(dir.path()).unwrap();
        assert!(loaded.transfers.is_empty());
        for n in 0..100 {
            catalog.put_record(&Record { id: format!("{n:03}"), ..Record::default() });
        }
        catalog.remove(Table::Transfers, "007");
        let (sender, receiver) = bounded(1);
        catalog.settle(move |result| drop(sender.send(result)));
        receiver.recv().unwrap().unwrap();
        assert_eq!(catalog.reader().get(Table::Transfers, "007").unwrap(), None);
        // Two at a time are told apart.
        assert_eq!(Catalog::open(dir.path()).err().map(|failure| failure.exit), Some(14));
        catalog.close();
        let (_, loaded) = Catalog::open(dir.path()).unwrap();
        assert_eq!(loaded.transfers.len(), 99);
    }

    #[test]
    fn a_newer_catalogue_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (catalog, _) = Catalog::open(dir.path()).unwrap();
        catalog.put(Table::Meta, "version", vec![VERSION + 1]);
        catalog.close();
        assert_eq!(Catalog::open(dir.path()).err().map(|failure| failure.exit), Some(15));
    }
}
