//! Files that people open: there whole or not at all, and harmless in a spreadsheet.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// What went wrong below the CSV: whether the reader has gone is asked elsewhere.
pub(crate) fn written(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// What a spreadsheet takes for the beginning of a formula.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A text from outside, made harmless where a spreadsheet would take it for a formula.
pub(crate) fn foreign(text: &str) -> Cow<'_, str> {
    if text.starts_with(FORMULA) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// What [`foreign`] was made from.
pub(crate) fn original(text: &str) -> &str {
    text.strip_prefix('\'').filter(|text| text.starts_with(FORMULA)).unwrap_or(text)
}

/// Where a file is written to.
pub(crate) enum Target {
    /// What cannot be replaced, only written to: standard output, a pipe, a device.
    Open(Box<dyn Write>),
    /// A file beside the one that is wanted. It takes its place when it is whole, and is gone where that never comes.
    Beside(NamedTempFile, PathBuf),
}

/// Whether a path stands for standard output.
pub(crate) fn is_standard_output(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Target {
    /// Opens it.
    ///
    /// # Errors
    /// If it cannot be written there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if is_standard_output(path) {
            return Ok(Self::Open(Box::new(io::stdout())));
        }
        // What a link points to is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Open(Box::new(File::options().write(true).open(path)?)));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut beside = tempfile::Builder::new();
        beside.prefix(".tagalong-");
        // As the file whose place it takes, or as any other new one, less what the user's mask takes away.
        #[cfg(unix)]
        beside.permissions(path.metadata().map_or_else(
            |_| std::os::unix::fs::PermissionsExt::from_mode(0o666),
            |there| there.permissions(),
        ));
        Ok(Self::Beside(beside.tempfile_in(directory)?, path))
    }

    /// Makes what was written the file.
    ///
    /// # Errors
    /// If it cannot; the file is as it was.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Open(mut open) => open.flush(),
            Self::Beside(file, path) => {
                file.as_file().sync_all()?;
                file.persist(path)?;
                Ok(())
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Open(open) => open.write(bytes),
            Self::Beside(file, _) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Open(open) => open.flush(),
            Self::Beside(file, _) => file.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_run_is_text() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"] {
            assert_eq!(foreign(formula), format!("'{formula}"));
            assert_eq!(original(&foreign(formula)), formula);
        }
        for text in ["", "r-1", "81234", "zoom", "a=b", "'=1"] {
            assert_eq!(foreign(text), text);
        }
    }

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("links.csv");
        let files = || std::fs::read_dir(directory.path()).unwrap().count();
        let begun = |text: &str| {
            let mut target = Target::open(&path).unwrap();
            target.write_all(text.as_bytes()).unwrap();
            target
        };
        drop(begun("half"));
        assert_eq!(files(), 0);
        begun("whole").finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        drop(begun("half of another"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(files(), 1);
    }
}
