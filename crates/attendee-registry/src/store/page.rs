//! Page sizes and page tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::error::{Error, Result};

/// Reads `page_size`.
///
/// # Errors
/// If it is negative or over 1000.
pub(crate) fn size(page_size: i32) -> Result<u64> {
    match page_size {
        0 => Ok(100),
        1..=1000 => Ok(u64::from(page_size.unsigned_abs())),
        _ => Err(Error::invalid("page_size", "must be from 0 to 1000")),
    }
}

/// The token of the page after the row with this key, for this list only.
pub(crate) fn token(list: &str, key: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}\n{key}"))
}

/// The key of the last row of the page before; none for the first page.
///
/// # Errors
/// If the token was not made for this list, or its key is not `valid`.
pub(crate) fn after(
    list: &str,
    token: &str,
    valid: impl Fn(&str) -> bool,
) -> Result<Option<String>> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix(list)?.strip_prefix('\n').map(str::to_owned))
        .filter(|key| valid(key))
        .map(Some)
        .ok_or_else(|| Error::invalid("page_token", "was not given out by this list"))
}

/// Cuts the row that was read to see whether there are more, and says how to go on.
pub(crate) fn cut<T>(
    list: &str,
    mut rows: Vec<T>,
    size: u64,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, String) {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > size;
    rows.truncate(size);
    let next = rows.last().filter(|_| more).map(|row| token(list, &key(row))).unwrap_or_default();
    (rows, next)
}
