//! Opening the state file: one writer, the right file, the right schema.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    Row, SqlitePool,
    migrate::Migrator,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use super::StoreError;

/// Takes the lock that makes this process the only attester on the file, until the handle is dropped or the process ends.
/// SQLite alone would let two attesters write in turn, and each would undo what the other decides.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    create_folder(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = PathBuf::from(name);
    let file = private().open(&lock).map_err(|source| StoreError::Lock {
        path: lock.clone(),
        source,
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Lock { path: lock, source }),
    }
}

/// Opens the file for writing, made if need be, and migrates it.
pub(super) async fn writer(path: &Path) -> Result<SqlitePool, StoreError> {
    // SQLite gives its own files beside this one the same mode.
    private().open(path).map_err(|source| StoreError::Create {
        path: path.to_owned(),
        source,
    })?;
    let pool = connect(path, SqliteConnectOptions::new().synchronous(SqliteSynchronous::Full)).await?;
    let found = schema(&pool, path).await?.unwrap_or(0);
    if found > known() {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: known(),
        });
    }
    // Only now: both are written into the file, which might have been another program's.
    pragma(&pool, path, "PRAGMA auto_vacuum = INCREMENTAL").await?;
    pragma(&pool, path, "PRAGMA journal_mode = WAL").await?;
    // After a large transaction the log is cut back to this, in bytes.
    pragma(&pool, path, "PRAGMA journal_size_limit = 16777216").await?;
    let migrated = MIGRATIONS.run(&pool).await;
    migrated.map_err(|source| StoreError::Migrate {
        path: path.to_owned(),
        source: source.into(),
    })?;
    let row = sqlx::query("SELECT auto_vacuum FROM pragma_auto_vacuum")
        .fetch_one(&pool)
        .await;
    let mode = row.and_then(|row| row.try_get::<i64, _>("auto_vacuum"));
    if mode.map_err(|source| failed(path, source))? == 0 {
        // A file from before: only writing it anew lets it shrink later.
        tracing::info!(path = %path.display(), "the state file is written anew, once, so that it can shrink from now on");
        pragma(&pool, path, "VACUUM").await?;
    }
    Ok(pool)
}

async fn pragma(pool: &SqlitePool, path: &Path, sql: &'static str) -> Result<(), StoreError> {
    let done = sqlx::query(sql).execute(pool).await;
    done.map(|_| ()).map_err(|source| failed(path, source))
}

/// Opens the file for reading.
pub(super) async fn reader(path: &Path) -> Result<SqlitePool, StoreError> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        Err(error) => {
            return Err(StoreError::Open {
                path: path.to_owned(),
                source: error.into(),
            });
        }
        Ok(_) => {}
    }
    let pool = connect(path, SqliteConnectOptions::new().read_only(true)).await?;
    let (found, known) = (schema(&pool, path).await?.unwrap_or(0), known());
    let path = path.to_owned();
    match found.cmp(&known) {
        std::cmp::Ordering::Less => Err(StoreError::Older { path, found, known }),
        std::cmp::Ordering::Greater => Err(StoreError::Newer { path, found, known }),
        std::cmp::Ordering::Equal => Ok(pool),
    }
}

/// One connection, kept for good: SQLite has one writer at a time, and waiting for it in line here is better than its
/// busy time-outs.
async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let options = options
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false);
    pool.connect_with(options).await.map_err(|source| failed(path, source))
}

/// The version of the file's schema; `None` for an empty file.
async fn schema(pool: &SqlitePool, path: &Path) -> Result<Option<i64>, StoreError> {
    let failed = |source| failed(path, source);
    let row = sqlx::query(
        "SELECT (SELECT application_id FROM pragma_application_id) AS application,
            (SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations') AS versioned,
            (SELECT count(*) FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations') AS others",
    );
    let row = row.fetch_one(pool).await.map_err(failed)?;
    let [application, versioned, others] =
        ["application", "versioned", "others"].map(|column| row.try_get::<i64, _>(column));
    let (application, versioned, others) = (
        application.map_err(failed)?,
        versioned.map_err(failed)? > 0,
        others.map_err(failed)? > 0,
    );
    // Killed between creating the table of versions and the first migration, a file is nobody's yet.
    let ours = application == APPLICATION || (application == 0 && !others);
    if !ours {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    if !versioned {
        return Ok(None);
    }
    let newest = sqlx::query("SELECT max(version) AS newest FROM _sqlx_migrations")
        .fetch_one(pool)
        .await
        .map_err(failed)?;
    newest.try_get("newest").map_err(failed)
}

pub(super) fn known() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

fn failed(path: &Path, source: sqlx::Error) -> StoreError {
    let path = path.to_owned();
    let code = source
        .as_database_error()
        .and_then(|error| error.code())
        .map(|code| code.into_owned());
    match code.as_deref() {
        Some(NOT_A_DATABASE) => StoreError::Foreign { path },
        Some(CORRUPT) => StoreError::Damaged {
            path,
            detail: source.to_string(),
        },
        _ => StoreError::Open {
            path,
            source: source.into(),
        },
    }
}

fn create_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
    else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|source| StoreError::Create {
        path: folder.to_owned(),
        source,
    })
}

/// Opens or creates a file that only its owner may read: it tells where peers are.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// `PRAGMA application_id` of the first migration.
const APPLICATION: i64 = 0x5065_5665;
/// SQLite's result codes.
const NOT_A_DATABASE: &str = "26";
const CORRUPT: &str = "11";
/// How long to wait for a lock that a reader's recovery of the file may hold.
const BUSY: Duration = Duration::from_secs(5);
