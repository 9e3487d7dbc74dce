//! Looks for what must not be there, byte by byte.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every file below a directory that holds the text, in any case.
pub(crate) fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if holds(&fs::read(&path).unwrap(), text) {
            found.push(path);
        }
    }
    found
}

/// Whether bytes hold the text, in any case.
pub(crate) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}
