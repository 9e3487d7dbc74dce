//! Dates and times, as people and tools write them.

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{Offset, TimeZone},
};

/// What comes first in `03/04/2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DateOrder {
    /// The 3rd of April.
    DayFirst,
    /// March 4th.
    MonthFirst,
}

/// What a date without a time stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// The day's first moment.
    Start,
    /// The day's last second: what else happened that day came before it.
    End,
}

/// A moment as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Seconds or milliseconds since 1970.
    Moment(Timestamp),
    /// A date, perhaps a time, perhaps an offset.
    Calendar(Day, Option<Time>, Option<Offset>),
}

/// A day as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Day {
    /// Only one day can be meant.
    Known(Date),
    /// `a/b/year`: the order of day and month has to be known.
    Either(i8, i8, i16),
}

impl Written {
    /// Takes a moment apart.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return digits(text);
        }
        let tokens = tokens(text)?;
        let mut rest = tokens.as_slice();
        let mut day = None;
        let (mut time, mut offset) = (None, None);
        while !rest.is_empty() {
            if time.is_none()
                && let Some((found, after)) = read_time(rest)
            {
                (time, rest) = (Some(found), after);
            } else if offset.is_none()
                && let Some((found, after)) = read_offset(rest, time.is_some())
            {
                (offset, rest) = (Some(found), after);
            } else if day.is_none()
                && let Some((found, after)) = read_day(rest)
            {
                (day, rest) = (Some(found), after);
            } else if matches!(&rest[0], Token::Mark(',' | '.'))
                || matches!(&rest[0], Token::Word(word) if is_filler(word))
            {
                rest = &rest[1..];
            } else {
                return None;
            }
        }
        Some(Self::Calendar(day?, time, offset))
    }

    /// What the moment shows of the order of day and month.
    pub(super) fn shows(self) -> Option<DateOrder> {
        match self {
            Self::Calendar(Day::Either(a, b, _), ..) => match (a > 12, b > 12) {
                (true, false) => Some(DateOrder::DayFirst),
                (false, true) => Some(DateOrder::MonthFirst),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether it depends on the order of day and month.
    pub(super) fn needs_order(self) -> bool {
        matches!(self, Self::Calendar(Day::Either(a, b, _), ..) if a != b)
    }

    /// Whether it depends on a time zone.
    pub(super) fn needs_zone(self) -> bool {
        matches!(self, Self::Calendar(_, _, None))
    }

    /// Whether it names a day and no time.
    pub(super) fn is_day(self) -> bool {
        matches!(self, Self::Calendar(_, None, _))
    }

    /// The same with the time of day that stands in another column.
    pub(super) fn at_time(self, text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let (time, rest) = read_time(&tokens)?;
        let offset = read_offset(rest, true).map(|(offset, _)| offset);
        match self {
            Self::Calendar(day, None, None) => Some(Self::Calendar(day, Some(time), offset)),
            _ => None,
        }
    }

    /// The moment meant.
    pub(super) fn moment(self, order: DateOrder, zone: &TimeZone, edge: Edge) -> Option<Timestamp> {
        let (day, time, offset) = match self {
            Self::Moment(at) => return Some(at),
            Self::Calendar(day, time, offset) => (day, time, offset),
        };
        let date = match (day, order) {
            (Day::Known(date), _) => date,
            (Day::Either(day, month, year), DateOrder::DayFirst)
            | (Day::Either(month, day, year), DateOrder::MonthFirst) => {
                Date::new(year, month, day).ok()?
            }
        };
        let time = time.unwrap_or(match edge {
            Edge::Start => Time::midnight(),
            Edge::End => Time::constant(23, 59, 59, 0),
        });
        let at = DateTime::from_parts(date, time);
        match offset {
            Some(offset) => offset.to_timestamp(at).ok(),
            None => zone.to_timestamp(at).ok(),
        }
    }
}

fn digits(text: &str) -> Option<Written> {
    match text.len() {
        8 => {
            let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
            let (year, month, day) = (part(0..4)?, part(4..6)?, part(6..8)?);
            Some(Written::Calendar(Day::Known(date(year, month, day)?), None, None))
        }
        10 => Some(Written::Moment(Timestamp::from_second(text.parse().ok()?).ok()?)),
        13 => Some(Written::Moment(Timestamp::from_millisecond(text.parse().ok()?).ok()?)),
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A number and how many digits it has.
    Number(i64, usize),
    /// Letters, in lower case.
    Word(String),
    /// Anything else but spaces.
    Mark(char),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    if text.len() > 64 {
        return None;
    }
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let run = |of: fn(char) -> bool| rest.find(|c| !of(c)).unwrap_or(rest.len());
        let length = if c.is_ascii_digit() {
            let length = run(|c| c.is_ascii_digit());
            tokens.push(Token::Number(rest[..length].parse().ok()?, length));
            length
        } else if c.is_alphabetic() {
            let length = run(char::is_alphabetic);
            tokens.push(Token::Word(rest[..length].to_lowercase()));
            length
        } else {
            tokens.push(Token::Mark(c));
            c.len_utf8()
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// `14:30`, `2:30:05.123 PM`.
fn read_time(tokens: &[Token]) -> Option<(Time, &[Token])> {
    let [Token::Number(hour, 1 | 2), Token::Mark(':'), Token::Number(minute, 2), rest @ ..] =
        tokens
    else {
        return None;
    };
    let (mut rest, mut second, mut nanos) = (rest, 0, 0);
    if let [Token::Mark(':'), Token::Number(value, 2), after @ ..] = rest {
        (second, rest) = (*value, after);
        if let [Token::Mark('.' | ','), Token::Number(value, digits @ 1..=9), after @ ..] = rest {
            let missing = u32::try_from(9 - digits).ok()?;
            (nanos, rest) = (value * 10_i64.pow(missing), after);
        }
    }
    let mut hour = *hour;
    if let [Token::Word(half), after @ ..] = rest
        && let "am" | "pm" = half.as_str()
    {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half == "pm" { 12 } else { 0 };
        rest = after;
    }
    let part = |value: i64| i8::try_from(value).ok();
    let time =
        Time::new(part(hour)?, part(*minute)?, part(second)?, i32::try_from(nanos).ok()?).ok()?;
    Some((time, rest))
}

/// `Z`, `UTC`, `+01:00`, `+0100`, `GMT+1`, `CET`.
fn read_offset(tokens: &[Token], after_time: bool) -> Option<(Offset, &[Token])> {
    if !after_time {
        return None;
    }
    let (mut hours, mut rest) = (None, tokens);
    if let [Token::Word(word), after @ ..] = rest
        && let Some((_, offset)) = ABBREVIATIONS.iter().find(|(name, _)| name == word)
    {
        (hours, rest) = (Some(*offset), after);
    }
    let signed = |sign: char, minutes: i64| {
        let minutes = if sign == '+' { minutes } else { -minutes };
        Offset::from_seconds(i32::try_from(minutes * 60).ok()?).ok()
    };
    // A number after the name of another zone than UTC is none of its offset.
    if hours.is_none_or(|hours| hours == 0) {
        match rest {
            [
                Token::Mark(sign @ ('+' | '-')),
                Token::Number(h, 1 | 2),
                Token::Mark(':'),
                Token::Number(m @ 0..60, 2),
                after @ ..,
            ] => return Some((signed(*sign, h * 60 + m)?, after)),
            [Token::Mark(sign @ ('+' | '-')), Token::Number(hm, 4), after @ ..] => {
                return Some((signed(*sign, hm / 100 * 60 + hm % 100)?, after));
            }
            [Token::Mark(sign @ ('+' | '-')), Token::Number(h, 1 | 2), after @ ..] => {
                return Some((signed(*sign, h * 60)?, after));
            }
            _ => {}
        }
    }
    Some((Offset::from_hours(hours?).ok()?, rest))
}

/// Abbreviations that mean one offset wherever webinars are sold.
const ABBREVIATIONS: [(&str, i8); 15] = [
    ("z", 0),
    ("utc", 0),
    ("gmt", 0),
    ("cet", 1),
    ("mez", 1),
    ("cest", 2),
    ("mesz", 2),
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
];

fn read_day(tokens: &[Token]) -> Option<(Day, &[Token])> {
    use Token::{Mark, Number, Word};
    let known = |year, month, day, rest| Some((Day::Known(date(year, month, day)?), rest));
    match tokens {
        [
            Number(year, 4),
            Mark(a @ ('-' | '/' | '.')),
            Number(month, 1 | 2),
            Mark(b),
            Number(day, 1 | 2),
            rest @ ..,
        ] if a == b => known(small(*year)?, small(*month)?, small(*day)?, rest),
        [
            Number(day, 1 | 2),
            Mark('.'),
            Number(month, 1 | 2),
            Mark('.'),
            Number(year, 2 | 4),
            rest @ ..,
        ] => known(full(*year)?, small(*month)?, small(*day)?, rest),
        [
            Number(a, 1 | 2),
            Mark(first @ ('/' | '-')),
            Number(b, 1 | 2),
            Mark(second),
            Number(year, 2 | 4),
            rest @ ..,
        ] if first == second => {
            let part = |value: i64| i8::try_from(value).ok();
            Some((Day::Either(part(*a)?, part(*b)?, full(*year)?), rest))
        }
        [
            Number(day, 1 | 2),
            Mark('.' | '-'),
            Word(name),
            Mark('-'),
            Number(year, 4),
            rest @ ..,
        ]
        | [Number(day, 1 | 2), Mark('.'), Word(name), Number(year, 4), rest @ ..]
        | [Number(day, 1 | 2), Word(name), Number(year, 4), rest @ ..]
        | [Word(name), Number(day, 1 | 2), Mark(','), Number(year, 4), rest @ ..]
        | [Word(name), Number(day, 1 | 2), Number(year, 4), rest @ ..] => {
            known(small(*year)?, month(name)?, small(*day)?, rest)
        }
        _ => None,
    }
}

fn small(value: i64) -> Option<i16> {
    i16::try_from(value).ok()
}

/// A year of two digits is one of this century.
fn full(year: i64) -> Option<i16> {
    small(if year < 100 { year + 2000 } else { year })
}

fn date(year: i16, month: i16, day: i16) -> Option<Date> {
    Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// A month by its English or German name, whole or by at least three letters.
fn month(name: &str) -> Option<i16> {
    const NAMES: [[&str; 2]; 12] = [
        ["january", "januar"],
        ["february", "februar"],
        ["march", "märz"],
        ["april", "april"],
        ["may", "mai"],
        ["june", "juni"],
        ["july", "juli"],
        ["august", "august"],
        ["september", "september"],
        ["october", "oktober"],
        ["november", "november"],
        ["december", "dezember"],
    ];
    if name.chars().count() < 3 {
        return None;
    }
    let named = |names: &[&str; 2]| names.iter().any(|whole| whole.starts_with(name));
    // `mrz` is how German software shortens March.
    let at = if name == "mrz" { 2 } else { NAMES.iter().position(named)? };
    i16::try_from(at + 1).ok()
}

fn is_filler(word: &str) -> bool {
    const DAYS: [&str; 14] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "montag",
        "dienstag",
        "mittwoch",
        "donnerstag",
        "freitag",
        "samstag",
        "sonntag",
    ];
    matches!(word, "t" | "at" | "um" | "uhr" | "am")
        || word.len() >= 2 && DAYS.iter().any(|day| day.starts_with(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = Written::read(text)?.moment(DateOrder::DayFirst, &berlin, Edge::Start)?;
        Some(at.to_string())
    }

    #[test]
    fn moments_in_all_their_spellings() {
        for (text, expected) in [
            ("2026-11-22", "2026-11-21T23:00:00Z"),
            ("2026-11-22T14:30:05Z", "2026-11-22T14:30:05Z"),
            ("2026-11-22T14:30:05.250+01:00", "2026-11-22T13:30:05.25Z"),
            ("2026-11-22 14:30", "2026-11-22T13:30:00Z"),
            ("2026-11-22 14:30:05 UTC", "2026-11-22T14:30:05Z"),
            ("2026-11-22 14:30:05 +0100", "2026-11-22T13:30:05Z"),
            ("2026-11-22 14:30:05-05", "2026-11-22T19:30:05Z"),
            ("2026/11/22 14:30", "2026-11-22T13:30:00Z"),
            ("20261122", "2026-11-21T23:00:00Z"),
            ("22.11.2026", "2026-11-21T23:00:00Z"),
            ("22.11.2026 14:30", "2026-11-22T13:30:00Z"),
            ("22.11.2026, 14:30 Uhr", "2026-11-22T13:30:00Z"),
            ("So., 22.11.26 um 14:30", "2026-11-22T13:30:00Z"),
            ("1.7.2026 9:05", "2026-07-01T07:05:00Z"),
            ("22/11/2026 14:30", "2026-11-22T13:30:00Z"),
            ("03/04/2026 2:30 PM", "2026-04-03T12:30:00Z"),
            ("22-11-2026 12:00 am", "2026-11-21T23:00:00Z"),
            ("Nov 22, 2026 02:30 PM", "2026-11-22T13:30:00Z"),
            ("Nov 22, 2026 14:30:05 GMT+1", "2026-11-22T13:30:05Z"),
            ("Sunday, November 22, 2026 at 2:30 PM EST", "2026-11-22T19:30:00Z"),
            ("22. November 2026 14:30 MEZ", "2026-11-22T13:30:00Z"),
            ("3. März 2026", "2026-03-02T23:00:00Z"),
            ("22-Nov-2026 14:30", "2026-11-22T13:30:00Z"),
            ("22 Dez 2026", "2026-12-21T23:00:00Z"),
            ("1795357805", "2026-11-22T14:30:05Z"),
            ("1795357805000", "2026-11-22T14:30:05Z"),
            // In the hour that summer time leaves out, and in the one it gives twice.
            ("29.03.2026 02:30", "2026-03-29T01:30:00Z"),
            ("25.10.2026 02:30", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            "soon",
            "14:30",
            "22.13.2026",
            "31.02.2026",
            "2026-11",
            "22.11",
            "2026-11-22 25:00",
            "2026-11-22 13:00 PM",
            "2026-11-22 14:30 XYZ",
            "12",
            "2026-11-22 2026-11-23",
            "22.11.2026 14:30 15:30",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(Written::read(&"1 ".repeat(100)), None);
    }

    #[test]
    fn the_order_shows_where_it_can() {
        for (text, expected) in [
            ("22/11/2026", Some(DateOrder::DayFirst)),
            ("11/22/2026", Some(DateOrder::MonthFirst)),
            ("03/04/2026", None),
            ("22.11.2026", None),
            ("2026-11-22", None),
        ] {
            assert_eq!(Written::read(text).unwrap().shows(), expected, "{text}");
        }
        assert!(Written::read("03/04/2026").unwrap().needs_order());
        assert!(!Written::read("04/04/2026").unwrap().needs_order());
    }

    #[test]
    fn a_day_has_two_edges_and_a_time_may_stand_beside_it() {
        let day = Written::read("22.11.2026").unwrap();
        let at = |written: Written, edge| {
            written.moment(DateOrder::DayFirst, &TimeZone::UTC, edge).unwrap().to_string()
        };
        assert!(day.is_day());
        assert_eq!(at(day, Edge::Start), "2026-11-22T00:00:00Z");
        assert_eq!(at(day, Edge::End), "2026-11-22T23:59:59Z");
        let timed = day.at_time("14:30 Uhr").unwrap();
        assert_eq!(at(timed, Edge::End), "2026-11-22T14:30:00Z");
        assert_eq!(timed.at_time("15:30"), None);
    }
}
