//! CSV exports of other people's tools: what is in them is found out by reading them once, before they are read for
//! their content.

use std::{
    fs::File,
    io::{self, Seek as _, SeekFrom},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};
use csv::StringRecord;
use encoding_rs::Encoding;
use jiff::{Timestamp, tz::TimeZone};

mod columns;
mod encoding;
mod money;
mod registration;
mod sale;
#[cfg(test)]
mod tests;
mod time;

pub(crate) use columns::{
    Columns, Field, Layout, Mapping, PARTNERS, REGISTRATIONS, SALES, mapping,
};
use encoding::Decoded;
pub(crate) use money::{Decimal, currency};
pub(crate) use registration::Registration;
pub(crate) use sale::{Kind, Money, Sale};
pub(crate) use time::{DateOrder, Edge};

use crate::file::original;

/// What a person says of a file, where it cannot say it itself.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Reading {
    /// Time zone of times without one, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub time_zone: Option<TimeZone>,
    /// What comes first in dates such as 03/04/2026 [default: what other dates of the file show]
    #[arg(long, value_name = "ORDER")]
    pub dates: Option<DateOrder>,
    /// What stands before the decimals [default: what the amounts of the file show]
    #[arg(long, value_name = "SIGN")]
    pub decimal: Option<Decimal>,
    /// Currency of amounts without one, such as EUR
    #[arg(long, value_name = "CODE", value_parser = currency_code)]
    pub currency: Option<String>,
}

fn zone(text: &str) -> Result<TimeZone, String> {
    TimeZone::get(text).map_err(|_| "expected a time zone such as Europe/Berlin or UTC".to_owned())
}

fn currency_code(text: &str) -> Result<String, String> {
    let known = currency(text).map(|(code, _)| code);
    known.ok_or_else(|| "expected an ISO 4217 code, such as EUR".to_owned())
}

/// A row that cannot be used: which field, and what is wrong with it. Never what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct Problem {
    pub(crate) field: Field,
    pub(crate) problem: &'static str,
}

/// What the rows of a file show.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that was seen or not")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Rows that are not empty.
    pub(crate) rows: u64,
    /// A time without a zone was seen.
    pub(crate) without_zone: bool,
    /// A date without a time was seen.
    pub(crate) without_time: bool,
    /// A date was seen that could be read in two ways.
    pub(crate) either_date: bool,
    /// An amount was seen that could be read in two ways.
    pub(crate) either_amount: bool,
    day_first: bool,
    month_first: bool,
    comma: bool,
    point: bool,
}

/// A CSV file, and how to read it.
#[derive(Debug)]
pub(crate) struct Sheet {
    file: File,
    /// The file's name without its directory.
    pub(crate) name: String,
    pub(crate) encoding: &'static Encoding,
    pub(crate) delimiter: u8,
    /// The line of the header, from 1.
    pub(crate) header_line: u64,
    pub(crate) header: Vec<String>,
    pub(crate) columns: Columns,
    pub(crate) shown: Shown,
    /// How dates and amounts are read: as shown, as told, or as assumed.
    pub(crate) dates: DateOrder,
    pub(crate) decimal: Option<Decimal>,
    pub(crate) zone: TimeZone,
    pub(crate) currency: Option<String>,
}

/// Longest row, in bytes: what is longer has a quote that nobody closed.
const LONGEST_ROW: usize = 256 * 1024;
/// How many rows may stand above the header.
const ABOVE_HEADER: usize = 40;
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

impl Sheet {
    /// Finds out what is in a file. Reads it once.
    ///
    /// # Errors
    /// If it cannot be read, has no header that is understood, or contradicts itself.
    pub(crate) fn open(
        path: &Path,
        layout: &Layout,
        mappings: &[Mapping],
        reading: &Reading,
    ) -> anyhow::Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let opened = || -> anyhow::Result<Self> {
            let mut file = seekable(path)?;
            let encoding = encoding::detect(&mut file)?;
            let Header { delimiter, line, names } = find_header(&file, encoding, layout, mappings)?;
            let columns = Columns::find(layout, &names, mappings).map_err(anyhow::Error::msg)?;
            let mut sheet = Self {
                file,
                name,
                encoding,
                delimiter,
                header_line: line,
                header: names,
                columns,
                shown: Shown::default(),
                dates: DateOrder::DayFirst,
                decimal: None,
                zone: reading.time_zone.clone().unwrap_or_else(TimeZone::system),
                currency: reading.currency.clone(),
            };
            sheet.shown = sheet.survey()?;
            sheet.settle(reading)?;
            Ok(sheet)
        };
        opened().with_context(|| format!("cannot read {}", path.display()))
    }

    /// What the rows show of how they are to be read.
    fn survey(&self) -> anyhow::Result<Shown> {
        let mut shown = Shown::default();
        let dates = [Field::RegisteredAt, Field::SoldAt].map(|field| self.columns.get(field));
        let times = self.columns.get(Field::Time);
        let amounts = self.columns.get(Field::Amount);
        let mut rows = self.rows()?;
        while let Some(row) = rows.next()? {
            shown.rows += 1;
            for column in dates.into_iter().flatten() {
                let text = row.column(column).unwrap_or_default();
                let Some(mut written) = time::Written::read(text) else { continue };
                if let Some(clock) = times.and_then(|column| row.column(column)) {
                    written = written.at_time(clock).unwrap_or(written);
                }
                shown.without_zone |= written.needs_zone();
                shown.without_time |= written.is_day();
                match written.shows() {
                    Some(DateOrder::DayFirst) => shown.day_first = true,
                    Some(DateOrder::MonthFirst) => shown.month_first = true,
                    None => shown.either_date |= written.needs_order(),
                }
            }
            if let Some(written) =
                amounts.and_then(|column| money::Written::read(row.column(column)?))
            {
                match written.shows() {
                    Some(Decimal::Comma) => shown.comma = true,
                    Some(Decimal::Point) => shown.point = true,
                    None => shown.either_amount |= written.has_marks(),
                }
            }
        }
        Ok(shown)
    }

    /// Decides how dates and amounts are read.
    fn settle(&mut self, reading: &Reading) -> anyhow::Result<()> {
        let shown = self.shown;
        let german = self.delimiter == b';';
        self.dates = match (reading.dates, shown.day_first, shown.month_first) {
            (Some(told), ..) => told,
            (None, true, true) => {
                bail!("dates have the day first in one row and the month in another: see --dates")
            }
            (None, true, false) => DateOrder::DayFirst,
            (None, false, false) if german => DateOrder::DayFirst,
            (None, false, _) => DateOrder::MonthFirst,
        };
        self.decimal = match (reading.decimal, shown.comma, shown.point) {
            (Some(told), ..) => Some(told),
            (None, true, true) => None,
            (None, true, false) => Some(Decimal::Comma),
            (None, false, false) if german => Some(Decimal::Comma),
            (None, false, _) => Some(Decimal::Point),
        };
        Ok(())
    }

    /// Refuses what would have to be assumed.
    ///
    /// # Errors
    /// Names what to say.
    pub(crate) fn assume_nothing(&self, reading: &Reading) -> anyhow::Result<()> {
        let shown = self.shown;
        ensure!(
            reading.time_zone.is_some() || !shown.without_zone,
            "{} has times without a time zone: say which with --time-zone, such as --time-zone Europe/Berlin",
            self.name
        );
        ensure!(
            reading.dates.is_some() || !shown.either_date || shown.day_first || shown.month_first,
            "{} has dates such as 03/04/2026, and none that shows whether the day or the month comes first: see --dates",
            self.name
        );
        ensure!(
            reading.decimal.is_some() || !shown.either_amount || shown.comma || shown.point,
            "{} has amounts such as 1.234, and none that shows what stands before the decimals: see --decimal",
            self.name
        );
        Ok(())
    }

    /// What was assumed, in words; empty where everything was shown or told.
    pub(crate) fn assumed(&self, reading: &Reading) -> Vec<String> {
        let shown = self.shown;
        let mut assumed = Vec::new();
        if shown.without_zone {
            let zone = self.zone.iana_name().unwrap_or("this computer's time zone");
            assumed.push(format!("times without a zone are in {zone} (--time-zone)"));
        }
        if shown.either_date && reading.dates.is_none() && !shown.day_first && !shown.month_first {
            let first = match self.dates {
                DateOrder::DayFirst => "day",
                DateOrder::MonthFirst => "month",
            };
            assumed.push(format!("dates such as 03/04/2026 have the {first} first (--dates)"));
        }
        if shown.either_amount && reading.decimal.is_none() && !shown.comma && !shown.point {
            let thousands = match self.decimal {
                Some(Decimal::Comma) => "1.234",
                Some(Decimal::Point) | None => "1,234",
            };
            assumed.push(format!("an amount such as {thousands} is one of thousands (--decimal)"));
        }
        assumed
    }

    /// The file's dialect and columns, in words.
    pub(crate) fn described(&self) -> String {
        let delimiter = match self.delimiter {
            b',' => "comma",
            b';' => "semicolon",
            b'\t' => "tab",
            _ => "bar",
        };
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|(field, at)| format!("{field} = {}", self.header[at].trim()))
            .collect();
        format!("{}, {delimiter}; {}", self.encoding.name(), columns.join(", "))
    }

    /// Refuses a file without a column that is needed.
    ///
    /// # Errors
    /// Names the field and the columns there are.
    pub(crate) fn need(&self, any_of: &[Field]) -> anyhow::Result<()> {
        if any_of.iter().any(|field| self.columns.get(*field).is_some()) {
            return Ok(());
        }
        let names: Vec<&str> = any_of.iter().map(|field| field.name()).collect();
        bail!(
            "{} has no column for {}: map one, such as {}=COLUMN; there are {}",
            self.name,
            names.join(" or "),
            names[0],
            listed(&self.header)
        )
    }

    /// Reads the rows from the first one on.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn rows(&self) -> anyhow::Result<Rows<'_>> {
        let mut reader = reader(&self.file, self.encoding, self.delimiter)?;
        let mut record = StringRecord::new();
        let mut line = 0;
        while line < self.header_line {
            line = read(&mut reader, &mut record)?.context("the file became shorter")?;
        }
        Ok(Rows { sheet: self, reader, record })
    }
}

/// The rows of a file, one after the other.
pub(crate) struct Rows<'a> {
    sheet: &'a Sheet,
    reader: csv::Reader<Decoded<&'a File>>,
    record: StringRecord,
}

impl Rows<'_> {
    /// The next row that is not empty.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Row<'_>>> {
        loop {
            let Some(line) = read(&mut self.reader, &mut self.record)? else { return Ok(None) };
            if self.record.iter().any(|text| !text.trim().is_empty()) {
                return Ok(Some(Row { sheet: self.sheet, record: &self.record, line }));
            }
        }
    }
}

/// One row.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    sheet: &'a Sheet,
    record: &'a StringRecord,
    /// The line of the file that it begins in, from 1.
    pub(crate) line: u64,
}

impl<'a> Row<'a> {
    /// All its columns, as they are.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.record.iter().map(|text| text.trim_end_matches('\r').to_owned()).collect()
    }

    fn column(&self, at: usize) -> Option<&'a str> {
        self.record.get(at).map(|text| original(text.trim())).filter(|text| !text.is_empty())
    }

    /// What a field holds; nothing where it is empty or has no column.
    pub(crate) fn text(&self, field: Field) -> Option<&'a str> {
        self.column(self.sheet.columns.get(field)?)
    }

    /// What a field holds that may be missing, as an owned text.
    pub(crate) fn owned(&self, field: Field) -> String {
        self.text(field).unwrap_or_default().to_owned()
    }

    /// The moment a field holds.
    pub(crate) fn moment(&self, field: Field, edge: Edge) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.text(field) else { return Ok(None) };
        let sheet = self.sheet;
        let moment = || {
            let mut written = time::Written::read(text)?;
            if written.is_day()
                && let Some(clock) = self.text(Field::Time)
            {
                written = written.at_time(clock)?;
            }
            written.moment(sheet.dates, &sheet.zone, edge)
        };
        moment().map(Some).ok_or(Problem { field, problem: "is not a date that can be read" })
    }

    /// An amount in minor units with its currency, which is empty where nothing says it.
    pub(crate) fn amount(&self) -> Result<Option<(i64, String)>, Problem> {
        let sheet = self.sheet;
        let named = self.text(Field::Currency).or(sheet.currency.as_deref());
        let problem = |problem| Problem { field: Field::Amount, problem };
        let currency_of =
            |beside: Option<&str>| match self.text(Field::Currency).or(beside).or(named) {
                None => Ok((String::new(), 2)),
                Some(text) => currency(text)
                    .ok_or(Problem { field: Field::Currency, problem: "is no ISO 4217 code" }),
            };
        if let Some(text) = self.text(Field::AmountMinor) {
            let (code, _) = currency_of(None)?;
            let units = text
                .parse()
                .ok()
                .filter(|units: &i64| units.unsigned_abs() <= 1_000_000_000_000_000);
            let units = units.ok_or(Problem {
                field: Field::AmountMinor,
                problem: "is not an amount in minor units",
            })?;
            return Ok(Some((units, code)));
        }
        let Some(text) = self.text(Field::Amount) else { return Ok(None) };
        let written = money::Written::read(text).ok_or(problem("is not an amount"))?;
        let (code, exponent) = currency_of(written.currency)?;
        // Where the file has both styles, each amount has to show its own.
        let decimal = sheet
            .decimal
            .or_else(|| written.shows())
            .or((!written.has_marks()).then_some(Decimal::Point));
        let decimal = decimal.ok_or(problem("could mean two amounts: see --decimal"))?;
        let units = written.minor_units(decimal, exponent);
        Ok(Some((units.ok_or(problem("is not an amount of its currency"))?, code)))
    }
}

/// The file, or, where it can be read only once, an unlinked copy of it.
fn seekable(path: &Path) -> io::Result<File> {
    if path.as_os_str() == "-" {
        let mut copy = tempfile::tempfile()?;
        io::copy(&mut io::stdin().lock(), &mut copy)?;
        return Ok(copy);
    }
    let mut file = File::open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut file, &mut copy)?;
    Ok(copy)
}

fn reader<'a>(
    mut file: &'a File,
    encoding: &'static Encoding,
    delimiter: u8,
) -> anyhow::Result<csv::Reader<Decoded<&'a File>>> {
    file.seek(SeekFrom::Start(0))?;
    let mut builder = csv::ReaderBuilder::new();
    // A line ends with a line feed, so that lines can be counted; what may stand before it is trimmed with the text.
    let end = csv::Terminator::Any(b'\n');
    builder.delimiter(delimiter).has_headers(false).flexible(true).terminator(end);
    Ok(builder.from_reader(Decoded::new(file, encoding)))
}

/// Reads a record; the line it begins in.
fn read<R: io::Read>(
    reader: &mut csv::Reader<R>,
    record: &mut StringRecord,
) -> anyhow::Result<Option<u64>> {
    let next = reader.position().line();
    if !reader.read_record(record)? {
        return Ok(None);
    }
    // The record's own position would be that of the empty lines before it.
    let inside = record.as_slice().bytes().filter(|byte| *byte == b'\n').count() as u64;
    let line = reader.position().line().saturating_sub(1 + inside).max(next);
    ensure!(
        record.as_slice().len() <= LONGEST_ROW,
        "the row of line {line} is too long: is a quote never closed?"
    );
    Ok(Some(line))
}

struct Header {
    delimiter: u8,
    line: u64,
    names: Vec<String>,
}

/// Finds the header and the delimiter by which most of its columns are understood. Some tools write a title above it.
fn find_header(
    file: &File,
    encoding: &'static Encoding,
    layout: &Layout,
    mappings: &[Mapping],
) -> anyhow::Result<Header> {
    let mut best: Option<(usize, Header)> = None;
    let mut first = None;
    for delimiter in DELIMITERS {
        let mut reader = reader(file, encoding, delimiter)?;
        let mut record = StringRecord::new();
        for _ in 0..ABOVE_HEADER {
            // A wrong delimiter may make one row of everything.
            let Ok(Some(line)) = read(&mut reader, &mut record) else { break };
            let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
            first.get_or_insert_with(|| listed(&names));
            let understood = columns::understood(layout, &names, mappings);
            if understood > best.as_ref().map_or(0, |(most, _)| *most) {
                best = Some((understood, Header { delimiter, line, names }));
            }
        }
    }
    match (best, first) {
        (Some((_, header)), _) => Ok(header),
        (None, None) => bail!("the file is empty"),
        (None, Some(first)) => {
            bail!("no header of {} was found; the file begins with {first}", layout.what)
        }
    }
}

/// Column names for people; a file without a header begins with somebody's data.
fn listed(names: &[String]) -> String {
    let name = |name: &String| {
        if name.contains('@') { "…".to_owned() } else { name.trim().chars().take(40).collect() }
    };
    names.iter().map(name).collect::<Vec<String>>().join(", ")
}
