//! A new file for a database whose disk has refused to keep something.
//!
//! After a failed write or `fsync` the system takes the lost pages for clean, and ext4 leaves blocks that were refused once
//! unwritten even when they are written again: all looks well until the power is cut. Only a new file can be promised on.

use std::{
    fs::{self, File},
    io,
    path::Path,
};

use rusqlite::Connection;

use super::{BUSY, failed, suffixed};

/// A copy that is not whole yet, and one that is.
const COPY: &str = ".copy";
const WHOLE: &str = ".new";

/// Replaces a database by a copy of it.
pub(super) fn replace(path: &Path) -> rusqlite::Result<()> {
    let copy = suffixed(path, COPY);
    remove(&copy).map_err(failed)?;
    let name = copy.to_str().ok_or_else(|| failed(io::Error::other("the path is not UTF-8")))?;
    let doubtful = Connection::open(path)?;
    doubtful.busy_timeout(BUSY)?;
    doubtful.execute("VACUUM INTO ?1", [name])?;
    drop(doubtful);
    let whole = || {
        File::open(&copy)?.sync_all()?;
        fs::rename(&copy, suffixed(path, WHOLE))?;
        sync_directory(path)
    };
    whole().map_err(failed)?;
    finish(path)?;
    tracing::warn!(path = %path.display(), "the click log goes on in a new file");
    Ok(())
}

/// Puts a whole copy in its place, also one that a process left when it ended.
pub(super) fn finish(path: &Path) -> rusqlite::Result<()> {
    let whole = suffixed(path, WHOLE);
    if !whole.exists() {
        return Ok(());
    }
    let swap = || {
        // They belong to the old file, and would be played into the new one.
        remove(&suffixed(path, "-wal"))?;
        remove(&suffixed(path, "-shm"))?;
        fs::rename(&whole, path)?;
        sync_directory(path)
    };
    swap().map_err(failed)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(path: &Path) -> Vec<i64> {
        let database = Connection::open(path).unwrap();
        let mut rows = database.prepare("SELECT n FROM t ORDER BY n").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn a_copy_takes_the_place_of_the_file_also_after_a_crash() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("clicks.sqlite");
        let database = Connection::open(&path).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA user_version = 2; CREATE TABLE t (n);
                 INSERT INTO t VALUES (1), (2);",
            )
            .unwrap();
        drop(database);
        fs::write(suffixed(&path, COPY), "half of one").unwrap();
        replace(&path).unwrap();
        assert_eq!(numbers(&path), [1, 2]);

        // It ended between the copy and the swap, and left something in the old file's log.
        fs::copy(&path, suffixed(&path, WHOLE)).unwrap();
        fs::write(suffixed(&path, "-wal"), "of the old file").unwrap();
        finish(&path).unwrap();
        assert_eq!(numbers(&path), [1, 2]);
        let left = fs::read_dir(data.path()).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["clicks.sqlite"]);
        let database = Connection::open(&path).unwrap();
        let version: i64 =
            database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 2);
    }
}
