//! Where are accounts, sessions and all that is edited kept, so that an acknowledged change is never lost?
//!
//! One redb file: every [`Entities::write`] is one transaction that is on the disk before it returns. Values are JSON, so
//! that an operator can read what a later version wrote; a version number in the file says which shape they have.
//!
//! A disk that is full or failing refuses the write and the file stays as it was; the next write opens it anew, because
//! redb trusts nothing after a failed write.

use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::replace::{sync, wipe};

/// Shape of the values that this version writes.
const SCHEMA: u32 = 1;

/// Longest value, bytes.
const VALUE_BYTES_MAX: usize = 16 << 20;

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

/// A kind of entity: its name in the file, and its type.
#[derive(Debug)]
pub struct Table<T> {
    name: &'static str,
    kind: PhantomData<fn() -> T>,
}

impl<T> Table<T> {
    /// The table `name`.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, kind: PhantomData }
    }

    const fn definition(&self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(self.name)
    }
}

/// Why something is not kept, or not found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk.
    #[error("the disk that holds {} is full", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The disk does not do what it is asked.
    #[error("{} cannot be read or written: {detail}", path.display())]
    Failing {
        /// The file.
        path: PathBuf,
        /// As the system says.
        detail: String,
    },
    /// The bytes are not what was written.
    #[error("{} is damaged: {detail}. Move it away and restore the last backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        detail: String,
    },
    /// Another process has it.
    #[error("{} is open in another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote it.
    #[error("{} has schema {found}, this version knows up to {known}: run the version that wrote it", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The latest schema of this version.
        known: u32,
    },
    /// More than an entity, or a record, may have.
    #[error("{len_bytes} bytes are too large, {max_bytes} are allowed")]
    TooLarge {
        /// Its length.
        len_bytes: usize,
        /// How long it may be.
        max_bytes: usize,
    },
}

/// Entities with their keys, and the keys of those that cannot be read.
pub type Readable<T> = (Vec<(String, T)>, Vec<String>);

/// The file of entities.
#[derive(Debug)]
pub struct Entities {
    path: PathBuf,
    /// `None` only while a failed file could not be opened anew.
    database: RwLock<Option<Database>>,
}

impl Entities {
    /// Opens the file, or makes it, readable for nobody else.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing is changed then.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let database = open(&path)?;
        Ok(Self { path, database: RwLock::new(Some(database)) })
    }

    /// A file that cannot be opened: each call tries again, and says what is wrong until somebody has mended that.
    #[must_use]
    pub fn unopened(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), database: RwLock::new(None) }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The entity with this key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get<T: DeserializeOwned>(&self, table: &Table<T>, key: &str) -> Result<Option<T>, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(redb::Error::from)?;
            let rows = match read.open_table(table.definition()) {
                Ok(rows) => rows,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(redb::Error::from(error).into()),
            };
            let Some(value) = rows.get(key).map_err(redb::Error::from)? else { return Ok(None) };
            Ok(Some(parse(table, key, value.value())?))
        })
    }

    /// All entities of a kind with their keys, in the order of the keys.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn all<T: DeserializeOwned>(&self, table: &Table<T>) -> Result<Vec<(String, T)>, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(redb::Error::from)?;
            let rows = match read.open_table(table.definition()) {
                Ok(rows) => rows,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(redb::Error::from(error).into()),
            };
            let mut all = Vec::new();
            for row in rows.iter().map_err(redb::Error::from)? {
                let (key, value) = row.map_err(redb::Error::from)?;
                all.push((key.value().to_owned(), parse(table, key.value(), value.value())?));
            }
            Ok(all)
        })
    }

    /// All entities of a kind that can be read, in the order of the keys, and the keys of those that cannot.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the file itself cannot be read.
    pub fn readable<T: DeserializeOwned>(&self, table: &Table<T>) -> Result<Readable<T>, StoreError> {
        self.with(|database| {
            let read = database.begin_read().map_err(redb::Error::from)?;
            let rows = match read.open_table(table.definition()) {
                Ok(rows) => rows,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok((Vec::new(), Vec::new())),
                Err(error) => return Err(redb::Error::from(error).into()),
            };
            let (mut good, mut damaged) = (Vec::new(), Vec::new());
            for row in rows.iter().map_err(redb::Error::from)? {
                let (key, value) = row.map_err(redb::Error::from)?;
                let key = key.value().to_owned();
                match serde_json::from_slice(value.value()) {
                    Ok(value) => good.push((key, value)),
                    Err(_damaged) => damaged.push(key),
                }
            }
            Ok((good, damaged))
        })
    }

    /// Makes all changes of `change`, or none where it fails; they are on the disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn write<R>(
        &self,
        mut change: impl FnMut(&mut Write<'_>) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        self.with(|database| {
            let transaction = database.begin_write().map_err(redb::Error::from)?;
            let mut write = Write { transaction: &transaction, failed: None };
            match change(&mut write) {
                Ok(told) => {
                    transaction.commit().map_err(redb::Error::from)?;
                    Ok(told)
                }
                Err(error) => {
                    let why = write.failed.take();
                    let _ = transaction.abort();
                    Err(why.unwrap_or(Trouble::Store(error)))
                }
            }
        })
    }

    /// Copies all that is in it to a file that is not there yet, as it was at one moment; writing goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; no file is left then.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        let copied = self.with(|database| {
            let read = database.begin_read().map_err(redb::Error::from)?;
            let copy = new_database(path).map_err(Trouble::Store)?;
            copy_tables(&read, &copy, None)
        });
        if copied.is_err() {
            let _ = std::fs::remove_file(path);
        }
        copied
    }

    /// Puts an entity in the place of another so that nothing of that one is left: redb does not overwrite pages that it
    /// frees, so all else is copied to a new file, which takes the place of the old one, and that is overwritten. Everybody
    /// else waits meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; all is as it was then.
    pub fn rewrite_with<T: Serialize>(
        &self,
        table: &Table<T>,
        key: &str,
        value: &T,
    ) -> Result<(), StoreError> {
        let mut held = self.database.write().unwrap_or_else(PoisonError::into_inner);
        let database = match held.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let new = new_path(&self.path);
        let failed = |error: io::Error| StoreError::of_io(&self.path, &error);
        let copied = (|| {
            let copy = new_database(&new).map_err(Trouble::Store)?;
            let read = database.begin_read().map_err(redb::Error::from)?;
            copy_tables(&read, &copy, Some((table.name, key)))?;
            let transaction = copy.begin_write().map_err(redb::Error::from)?;
            Write { transaction: &transaction, failed: None }
                .put(table, key, value)
                .map_err(Trouble::Store)?;
            transaction.commit().map_err(redb::Error::from)?;
            Ok(())
        })();
        let copied = copied.map_err(|trouble: Trouble| trouble.of(&self.path)).and_then(|()| {
            let before = std::fs::OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
            std::fs::rename(&new, &self.path).map_err(failed)?;
            Ok(before)
        });
        let before = match copied {
            Ok(before) => before,
            Err(error) => {
                let _ = std::fs::remove_file(&new);
                *held = Some(database);
                return Err(error);
            }
        };
        // Closed before it is overwritten, so that nothing is written to it after.
        drop(database);
        sync(self.path.parent().unwrap_or(Path::new("."))).and_then(|()| wipe(&before)).map_err(failed)?;
        *held = Some(open(&self.path)?);
        Ok(())
    }

    /// Does `work`, opening the file anew where an earlier failure has closed it.
    fn with<R>(&self, mut work: impl FnMut(&Database) -> Result<R, Trouble>) -> Result<R, StoreError> {
        {
            let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(database) = &*database {
                match work(database) {
                    Ok(told) => return Ok(told),
                    Err(Trouble::Redb(redb::Error::PreviousIo | redb::Error::DatabaseClosed)) => {}
                    Err(trouble) => return Err(trouble.of(&self.path)),
                }
            }
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        let opened = database.insert(open(&self.path)?);
        work(opened).map_err(|trouble| trouble.of(&self.path))
    }
}

/// One transaction.
pub struct Write<'a> {
    transaction: &'a redb::WriteTransaction,
    failed: Option<Trouble>,
}

impl Write<'_> {
    /// The entity as this transaction sees it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn get<T: DeserializeOwned>(&mut self, table: &Table<T>, key: &str) -> Result<Option<T>, StoreError> {
        self.noting(|transaction| {
            let rows = transaction.open_table(table.definition()).map_err(redb::Error::from)?;
            let found = rows.get(key).map_err(redb::Error::from)?;
            found.map(|value| parse(table, key, value.value())).transpose()
        })
    }

    /// Keeps an entity, in place of one with the same key.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn put<T: Serialize>(&mut self, table: &Table<T>, key: &str, value: &T) -> Result<(), StoreError> {
        self.noting(|transaction| {
            let bytes = serde_json::to_vec(value)
                .map_err(|error| Trouble::Redb(redb::Error::Corrupted(error.to_string())))?;
            if bytes.len() > VALUE_BYTES_MAX {
                return Err(Trouble::Store(StoreError::TooLarge {
                    len_bytes: bytes.len(),
                    max_bytes: VALUE_BYTES_MAX,
                }));
            }
            let mut rows = transaction.open_table(table.definition()).map_err(redb::Error::from)?;
            rows.insert(key, bytes.as_slice()).map_err(redb::Error::from)?;
            Ok(())
        })
    }

    /// Forgets an entity; `false`: there was none.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn remove<T>(&mut self, table: &Table<T>, key: &str) -> Result<bool, StoreError> {
        self.noting(|transaction| {
            let mut rows = transaction.open_table(table.definition()).map_err(redb::Error::from)?;
            Ok(rows.remove(key).map_err(redb::Error::from)?.is_some())
        })
    }

    /// Keeps what redb said, which knows more than the error that the caller passes on.
    fn noting<R>(
        &mut self,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<R, Trouble>,
    ) -> Result<R, StoreError> {
        work(self.transaction).map_err(|trouble| {
            let told = trouble.brief();
            self.failed = Some(trouble);
            told
        })
    }
}

/// What went wrong, before it is known in which file.
enum Trouble {
    Redb(redb::Error),
    Store(StoreError),
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        Self::Redb(error)
    }
}

impl Trouble {
    fn of(self, path: &Path) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Store(error) => error,
            Self::Redb(redb::Error::Io(error)) => StoreError::of_io(&path, &error),
            Self::Redb(redb::Error::Corrupted(detail)) => StoreError::Damaged { path, detail },
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::InUse { path },
            Self::Redb(error) => StoreError::Failing { path, detail: error.to_string() },
        }
    }

    fn brief(&self) -> StoreError {
        let path = PathBuf::new();
        match self {
            Self::Redb(error) => StoreError::Failing { path, detail: error.to_string() },
            Self::Store(error) => StoreError::Failing { path, detail: error.to_string() },
        }
    }
}

impl StoreError {
    /// What the system said of a file.
    #[must_use]
    pub fn of_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path },
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                Self::Damaged { path, detail: error.to_string() }
            }
            _ => Self::Failing { path, detail: error.to_string() },
        }
    }
}

fn parse<T: DeserializeOwned>(table: &Table<T>, key: &str, bytes: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(bytes)
        .map_err(|error| Trouble::Redb(redb::Error::Corrupted(format!("{} {key}: {error}", table.name))))
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let trouble = |error: redb::Error| Trouble::Redb(error).of(path);
    let file = private_file(path).map_err(|error| StoreError::of_io(path, &error))?;
    let database = FileBackend::new(file)
        .and_then(|backend| Database::builder().create_with_backend(backend))
        .map_err(|error| trouble(redb::Error::from(error)))?;
    // What a rewriting left that was killed.
    let _ = std::fs::remove_file(new_path(path));
    let found = schema(&database).map_err(trouble)?;
    match found {
        Some(SCHEMA) => {}
        Some(found) if found > SCHEMA => {
            return Err(StoreError::Newer { path: path.to_owned(), found, known: SCHEMA });
        }
        // Schema 1 is the first: only a new file has none.
        _ => set_schema(&database).map_err(trouble)?,
    }
    Ok(database)
}

/// Where a file is made that takes the place of `path`.
fn new_path(path: &Path) -> PathBuf {
    path.with_extension("redb.new")
}

fn new_database(path: &Path) -> Result<Database, StoreError> {
    let _ = std::fs::remove_file(path);
    let file = private_file(path).map_err(|error| StoreError::of_io(path, &error))?;
    FileBackend::new(file)
        .and_then(|backend| Database::builder().create_with_backend(backend))
        .map_err(|error| Trouble::Redb(error.into()).of(path))
}

/// Copies every table, but for one row of one of them.
fn copy_tables(
    from: &redb::ReadTransaction,
    to: &Database,
    without: Option<(&str, &str)>,
) -> Result<(), Trouble> {
    let write = to.begin_write().map_err(redb::Error::from)?;
    for table in from.list_tables().map_err(redb::Error::from)? {
        let name = table.name();
        if name == META.name() {
            let rows = from.open_table(META).map_err(redb::Error::from)?;
            let mut copy = write.open_table(META).map_err(redb::Error::from)?;
            for row in rows.iter().map_err(redb::Error::from)? {
                let (key, value) = row.map_err(redb::Error::from)?;
                copy.insert(key.value(), value.value()).map_err(redb::Error::from)?;
            }
            continue;
        }
        let definition = TableDefinition::<&str, &[u8]>::new(name);
        let rows = from.open_table(definition).map_err(redb::Error::from)?;
        let mut copy = write.open_table(definition).map_err(redb::Error::from)?;
        for row in rows.iter().map_err(redb::Error::from)? {
            let (key, value) = row.map_err(redb::Error::from)?;
            if without != Some((name, key.value())) {
                copy.insert(key.value(), value.value()).map_err(redb::Error::from)?;
            }
        }
    }
    write.commit().map_err(redb::Error::from)?;
    Ok(())
}

fn schema(database: &Database) -> Result<Option<u32>, redb::Error> {
    let read = database.begin_read()?;
    match read.open_table(META) {
        Ok(meta) => Ok(meta.get("schema")?.map(|version| version.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_schema(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        write.open_table(META)?.insert("schema", SCHEMA)?;
    }
    write.commit()?;
    Ok(())
}

/// A file for the daemon's user only, made where there is none.
fn private_file(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const WORDS: Table<String> = Table::new("words");

    fn put(entities: &Entities, key: &str, word: &str) -> Result<(), StoreError> {
        entities.write(|write| write.put(&WORDS, key, &word.to_owned()))
    }

    #[test]
    fn what_was_written_is_there_after_opening_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.redb");
        let entities = Entities::open(&path).unwrap();
        assert_eq!(entities.get(&WORDS, "a").unwrap(), None);
        put(&entities, "b", "two").unwrap();
        put(&entities, "a", "one").unwrap();
        assert!(matches!(Entities::open(&path), Err(StoreError::InUse { .. })));
        drop(entities);
        let entities = Entities::open(&path).unwrap();
        let all = entities.all(&WORDS).unwrap();
        assert_eq!(all, [("a".to_owned(), "one".to_owned()), ("b".to_owned(), "two".to_owned())]);
        assert!(entities.write(|write| write.remove(&WORDS, "a")).unwrap());
        assert!(!entities.write(|write| write.remove(&WORDS, "a")).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_change_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let entities = Entities::open(dir.path().join("e.redb")).unwrap();
        let told = entities.write(|write| {
            write.put(&WORDS, "a", &"one".to_owned())?;
            write.put(&WORDS, "b", &"x".repeat(VALUE_BYTES_MAX))
        });
        assert!(matches!(told, Err(StoreError::TooLarge { .. })), "{told:?}");
        assert_eq!(entities.get(&WORDS, "a").unwrap(), None);
    }

    #[test]
    fn a_file_that_is_cut_or_overwritten_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("e.redb");
        let entities = Entities::open(&whole).unwrap();
        for at in 0..2_000 {
            put(&entities, &format!("{at:05}"), &"word ".repeat(50)).unwrap();
        }
        drop(entities);
        let bytes = std::fs::read(&whole).unwrap();
        for (name, damaged) in [
            ("half", bytes[..bytes.len() / 2].to_vec()),
            ("few", bytes[..100].to_vec()),
            ("text", b"this is no database at all".repeat(1_000)),
            ("zeros", vec![0; bytes.len()]),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, &damaged).unwrap();
            let told = Entities::open(&path).and_then(|entities| entities.all(&WORDS));
            assert!(matches!(told, Err(StoreError::Damaged { .. })), "{name}: {told:?}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "{name} was changed");
        }
    }

    #[test]
    fn a_later_versions_file_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("e.redb");
        drop(Entities::open(&path).unwrap());
        let database = Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write.open_table(META).unwrap().insert("schema", SCHEMA + 1).unwrap();
        write.commit().unwrap();
        drop(database);
        assert!(matches!(Entities::open(&path), Err(StoreError::Newer { .. })));
    }
}
