//! `tagalong audit`: who was credited, who was owed, from two files and nothing else.

use std::{fmt, io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tagalong_attribution::decide::{Policy, TouchModel};

use crate::{
    file::Target,
    output,
    sheet::{Field, Mapping, Problem, REGISTRATIONS, Reading, SALES, Sheet, mapping},
};

mod judging;
mod list;
mod money;
mod orders;
mod page;
mod people;
mod report;
mod terminal;
#[cfg(test)]
mod tests;

use judging::Judge;
use report::Report;

/// Say who was credited and who was owed, from two CSV exports
///
/// Needs no set-up and no running Tagalong, sends nothing and keeps nothing. The first file lists who registered and
/// through which affiliate, as the webinar tool exports it; the second what was sold and whom the platform credited. Buyers
/// are recognised by their e-mail address, which is in none of the answers, or by the registration's ID. Delimiter,
/// encoding, columns and the writing of dates and amounts are found out, English or German; what had to be assumed is said.
/// The rules are the ones Tagalong decides by: last registration before the sale within the window, the first one of
/// each session.
#[derive(clap::Args)]
#[command(
    after_help = "Fields of registrations: email, affiliate, registered_at, time, id, session, webinar.\nFields of orders: order, item, \
product, sold_at, time, email, affiliate, amount, amount_minor, currency, transaction, type, status, parent, upsell, bump, \
registration, test.\n\nExample:\n  tagalong audit registrations.csv orders.csv\n  tagalong audit registrations.csv orders.csv --commission 40 \
--html audit.html --csv audit.csv\n  tagalong audit zoom.csv copecart.csv --map-registrations 'affiliate=Source Name' --time-zone Europe/Berlin"
)]
pub(crate) struct Args {
    /// Who registered
    registrations: PathBuf,
    /// What was sold
    orders: PathBuf,
    /// Write each sale with its reason as CSV; - for standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page to look at and to send on, without e-mail addresses
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print everything as one JSON object
    #[arg(long)]
    json: bool,
    /// The affiliates' share of what was paid, to say what they are owed
    #[arg(long, value_name = "PERCENT", value_parser = basis_points)]
    commission: Option<i128>,
    /// From the registration to the sale at most
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u16).range(1..=3660))]
    window_days: u16,
    /// Which of several affiliates' registrations counts
    #[arg(long, default_value = "last")]
    model: Model,
    /// Only this product, as the orders name it; may be repeated
    #[arg(long = "product", value_name = "PRODUCT")]
    products: Vec<String>,
    /// When everybody registered, for registrations without dates
    #[arg(long, value_name = "TIME", value_parser = moment)]
    registered_at: Option<Timestamp>,
    /// Which column of the registrations holds a field; without COLUMN, none does; may be repeated
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = mapping)]
    map_registrations: Vec<Mapping>,
    /// The same of the orders
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = mapping)]
    map_orders: Vec<Mapping>,
    #[command(flatten)]
    reading: Reading,
}

/// Which touch of the highest rank wins.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Model {
    Last,
    First,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    text.parse()
        .map_err(|_| "expected a time with its zone, such as 2026-02-03T18:00:00+01:00".to_owned())
}

/// Reads per cent, with at most two decimals.
fn basis_points(text: &str) -> Result<i128, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let read = (digits(whole) && digits(part) && part.len() <= 2)
        .then(|| format!("{whole}{part:0<2}").parse().ok())
        .flatten();
    read.filter(|points| (1..=10_000).contains(points))
        .ok_or_else(|| "expected per cent up to 100, such as 40 or 33.33".to_owned())
}

/// Rows that could not be used, the first few by name.
#[derive(Debug, Default)]
struct Unreadable {
    count: u64,
    first: Vec<(u64, Problem)>,
}

impl Unreadable {
    fn add(&mut self, line: u64, problem: Problem) {
        const NAMED: usize = 5;
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push((line, problem));
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (line, problem)) in self.first.iter().enumerate() {
            let semicolon = if n > 0 { "; " } else { "" };
            write!(f, "{semicolon}line {line}: {problem}")?;
        }
        if self.count > self.first.len() as u64 { f.write_str("; …") } else { Ok(()) }
    }
}

impl Args {
    /// Reads, judges, prints.
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        let orders = Sheet::open(&self.orders, &SALES, &self.map_orders, &self.reading)?;
        let registrations = Sheet::open(
            &self.registrations,
            &REGISTRATIONS,
            &self.map_registrations,
            &self.reading,
        )?;
        let report = self.report(&registrations, &orders)?;
        if let Some(path) = &self.csv {
            list::write(&report, path)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(path) = &self.html {
            let write = || -> anyhow::Result<()> {
                let mut target = Target::open(path)?;
                target.write_all(page::page(&report, &orders.zone).as_bytes())?;
                Ok(target.finish()?)
            };
            write().with_context(|| format!("cannot write {}", path.display()))?;
        }
        let to_output =
            |path: &Option<PathBuf>| path.as_deref().is_some_and(crate::file::is_standard_output);
        if self.json {
            output::line(serde_json::to_string_pretty(&report)?)?;
        } else if !to_output(&self.csv) && !to_output(&self.html) {
            output::line(terminal::text(&report, &orders.zone))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn report(&self, registrations: &Sheet, orders: &Sheet) -> anyhow::Result<Report> {
        orders.need(&[Field::Order, Field::Transaction])?;
        orders.need(&[Field::SoldAt])?;
        orders.need(&[Field::Email, Field::Registration])?;
        registrations.need(&[Field::Email, Field::Id])?;
        registrations.need(&[Field::Affiliate])?;
        if self.registered_at.is_none() {
            registrations.need(&[Field::RegisteredAt]).context(
                "registrations need dates; where there are none, say with --registered-at when everybody registered",
            )?;
        }
        let sold = orders::read(orders, &self.products)?;
        let people = people::read(registrations, &sold.all, self.registered_at)?;
        let policy = Policy {
            model: match self.model {
                Model::Last => TouchModel::Last,
                Model::First => TouchModel::First,
            },
            window: SignedDuration::from_hours(24 * i64::from(self.window_days)),
            ..Policy::default()
        };
        let judged = Judge::new(policy, &sold.all, &people)?.all();
        let mut report = report::report(&sold, &people, judged, self.commission);
        report.assumed = self.assumed(registrations, orders, &sold, &people);
        Ok(report)
    }

    fn assumed(
        &self,
        registrations: &Sheet,
        orders: &Sheet,
        sold: &orders::Orders,
        people: &people::People,
    ) -> Vec<String> {
        let mut assumed = Vec::new();
        for (sheet, rows) in
            [(registrations, people.registrations), (orders, sold.all.len() as u64)]
        {
            let what = if std::ptr::eq(sheet, orders) { "order" } else { "registration" };
            let count = report::counted(rows, what);
            assumed.push(format!("{}: {count}; {}", sheet.name, sheet.described()));
            let of = sheet.assumed(&self.reading);
            assumed.extend(of.into_iter().map(|text| format!("{}: {text}", sheet.name)));
        }
        let dates = sold.all.iter().map(|order| order.sold_at);
        if let (Some(first), Some(last)) = (dates.clone().min(), dates.max()) {
            let day = |at: Timestamp| at.to_zoned(orders.zone.clone()).date();
            assumed.push(format!("sales from {} to {}", day(first), day(last)));
        }
        let which = match self.model {
            Model::Last => "last",
            Model::First => "first",
        };
        assumed.push(format!(
            "the {which} registration with an affiliate counts, {} days at most before the sale; within a session the first",
            self.window_days
        ));
        assumed.push(match people.webinars {
            1 => "whatever was sold counts for who registered".to_owned(),
            count => format!(
                "whatever was sold counts for who registered in any of the {count} webinars"
            ),
        });
        assumed.push(
            "not known here: clicks, suspensions, own advertising, affiliates who buy through their own link"
                .to_owned(),
        );
        assumed
    }
}
