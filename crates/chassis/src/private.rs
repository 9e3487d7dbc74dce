//! Files only their owner may read, written whole or not at all.
use std::{
    fs::{File, Metadata},
    io::{self, Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};

/// 32 bytes from the system's random source.
///
/// # Errors
/// The system has none.
pub fn secret() -> io::Result<[u8; 32]> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(secret)
}

/// Writes a new file with mode 0600, durably: after a crash there is none or a whole one.
///
/// # Errors
/// `AlreadyExists`, leaving the file as it is, and whatever else the system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stage(path, bytes)?.persist_noclobber(path)?;
    sync_directory(path)
}

/// Like [`write_private`], but takes the place of a file that is there.
///
/// # Errors
/// Whatever the system says; the file is then as it was.
pub fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    stage(path, bytes)?.persist(path)?;
    sync_directory(path)
}

/// Reads a file that others cannot read.
///
/// As `PostgreSQL` does it for its key: a file of our own may be open to its owner only; one of
/// root's, as a Kubernetes secret is, may also be readable by its group.
///
/// # Errors
/// An unreadable file, or one that too many may read, saying what to do.
pub fn read_private(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot read {shown}"))?;
    if too_open(&metadata) {
        bail!("{shown} holds secrets but others may read it: run chmod 600 {shown}");
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| format!("cannot read {shown}"))?;
    Ok(bytes)
}

#[cfg(unix)]
fn too_open(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;

    let owner = metadata.uid();
    let allowed =
        if owner == 0 && rustix::process::geteuid().as_raw() != 0 { 0o740 } else { 0o700 };
    metadata.mode() & 0o777 & !allowed != 0
}

#[cfg(not(unix))]
fn too_open(_: &Metadata) -> bool {
    false
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// The content on disk under a name of its own, in the same directory, mode 0600.
fn stage(path: &Path, bytes: &[u8]) -> io::Result<tempfile::NamedTempFile> {
    let mut file = tempfile::NamedTempFile::new_in(directory(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        // Otherwise a power cut can take back the name of a file whose content is safe.
        File::open(directory(path))?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt as _,
    };

    use super::*;

    #[test]
    fn private_files_are_the_owners_and_are_never_overwritten_by_accident() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"first").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = write_private(&path, b"second").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read_private(&path).unwrap(), b"first");
        replace_private(&path, b"second").unwrap();
        assert_eq!(read_private(&path).unwrap(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "a temporary file was left behind");
    }

    #[test]
    fn files_others_can_read_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_private(&path, b"secret").unwrap();
        for mode in [0o604, 0o640, 0o620, 0o644] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read_private(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{mode:o}: {error}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        read_private(&path).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_that_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(write_private(&directory.path().join("no/key"), b"secret").is_err());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
