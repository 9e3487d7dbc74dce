//! Times, as platforms spell them.

use jiff::{Timestamp, fmt::rfc2822};

/// From here on a number of seconds is one of milliseconds: as seconds it is in the year 5138, as milliseconds in 1973.
const MILLISECONDS: i64 = 100_000_000_000;

/// Reads a moment: RFC 3339 and its relatives, RFC 2822, or seconds or milliseconds since 1970. None where it is no time,
/// or has no zone: the wall clock of an unknown place is no moment.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) {
        let number: i64 = whole.parse().ok()?;
        return if number < MILLISECONDS {
            Timestamp::from_second(number).ok()
        } else {
            Timestamp::from_millisecond(number).ok()
        };
    }
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    // `2026-02-03 18:04:11 UTC` and `2026-02-03 18:04:11 +0100`.
    if let Some((local, zone)) = text.rsplit_once(' ') {
        let zone = if matches!(zone, "UTC" | "GMT" | "Z") { "Z" } else { zone };
        if let Ok(at) = format!("{local}{zone}").parse() {
            return Some(at);
        }
    }
    rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_have_a_zone() {
        for text in [
            "2026-02-03T17:04:11Z",
            "2026-02-03T18:04:11+01:00",
            "2026-02-03T18:04:11.000+0100",
            "2026-02-03 18:04:11 +0100",
            "2026-02-03 17:04:11 UTC",
            "2026-02-03 17:04:11Z",
            "1770138251",
            "1770138251.5",
            "1770138251000",
            " 1770138251 ",
            "Tue, 03 Feb 2026 18:04:11 +0100",
        ] {
            assert_eq!(read(text).map(Timestamp::as_second), Some(1_770_138_251), "{text}");
        }
        for text in [
            "",
            "2026-02-03",
            "2026-02-03T18:04:11",
            "2026-02-03 18:04:11",
            "18:04",
            "soon",
            "-5",
            "99999999999999999999",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "\\PC{0,40}") {
            let _ = read(&text);
        }
    }
}
