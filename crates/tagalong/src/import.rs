//! `tagalong import`: what other tools know, from their CSV exports.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use tagalong_proto::v1;

use crate::{
    client::{Clients, Connect, Explain as _},
    output,
    sheet::{Field, Layout, Mapping, PARTNERS, REGISTRATIONS, Reading, SALES, Sheet, mapping},
};

mod partners;
mod registrations;
mod rejected;
mod sales;
mod sending;

use partners::Partners;
use registrations::Registrations;
use sales::Sales;
use sending::Rows;

/// Bring in registrations, sales and partner lists from CSV exports
///
/// Importing a file again changes nothing: what it names is recognised by its IDs, a registration without one by its
/// content. Delimiter, encoding, columns and the writing of dates and amounts are found out, English or German; what the
/// file does not show has to be said. Exits with 1 where a row was rejected.
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Who registered for a webinar, as its tool exports it
    #[command(
        after_help = "Fields: email, affiliate, registered_at, time, id, session, webinar, click.\n\nExample:\n  tagalong import registrations zoom.csv --webinar launch --source zoom --time-zone Europe/Berlin --dry-run"
    )]
    Registrations {
        /// The webinar
        #[arg(long)]
        webinar: String,
        /// The connection that also reports them, so that nobody counts twice [default: import-WEBINAR]
        #[arg(long)]
        source: Option<String>,
        /// The programme that issued the affiliates' IDs, where the webinar's products belong to several
        #[arg(long)]
        programme: Option<String>,
        /// Keep the addresses themselves too, sealed
        #[arg(long)]
        keep_emails: bool,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// What was sold, as the checkout exports it: history, and notifications that were lost
    ///
    /// Payments that did not arrive and tests are left out.
    #[command(
        after_help = "Fields: order, item, product, sold_at, time, email, affiliate, amount, amount_minor, currency, transaction, type, \
status, parent, upsell, bump, coupon, reference, test.\n\nExample:\n  tagalong import sales orders.csv --programme copecart --source copecart --time-zone Europe/Berlin"
    )]
    Sales {
        /// The programme that the platform's account belongs to
        #[arg(long)]
        programme: String,
        /// The connection that also reports them, so that nothing counts twice [default: import-PROGRAMME]
        #[arg(long)]
        source: Option<String>,
        /// Our product, where the file is about one only
        #[arg(long)]
        product: Option<String>,
        #[command(flatten)]
        common: Box<Common>,
    },
    /// A platform's list of its partners: they become payable
    ///
    /// Addresses are kept as keyed hashes, to tell who buys
    /// through their own link.
    #[command(
        after_help = "Fields: affiliate, name, first_name, last_name, email, coupon.\n\nExample:\n  tagalong import partners partners.csv --programme copecart"
    )]
    Partners {
        /// The programme that issued the IDs
        #[arg(long)]
        programme: String,
        #[command(flatten)]
        common: Box<Common>,
    },
}

/// What all imports have in common.
#[derive(clap::Args, Debug)]
pub(crate) struct Common {
    /// The CSV file; - for standard input
    file: PathBuf,
    /// Which column holds a field; without COLUMN, none does; may be repeated
    #[arg(long, value_name = "FIELD=COLUMN", value_parser = mapping)]
    map: Vec<Mapping>,
    #[command(flatten)]
    reading: Reading,
    /// Read and check everything, and store nothing
    #[arg(long)]
    dry_run: bool,
    /// Write rejected rows there, with line numbers and reasons; mended, the file can be imported
    #[arg(long, value_name = "FILE")]
    rejected: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Registrations { webinar, source, programme, keep_emails, common } => {
                let mut clients = common.connect.clients()?;
                let request = v1::GetWebinarRequest { id: webinar.clone() };
                clients.catalogue.get_webinar(request).await.explained()?;
                let programme = programme.unwrap_or_default();
                if !programme.is_empty() {
                    know_programme(&mut clients, &programme).await?;
                }
                let sheet = common.open(&REGISTRATIONS)?;
                sheet.need(&[Field::Email, Field::Id])?;
                let source = source.unwrap_or_else(|| format!("import-{webinar}"));
                let rows = Registrations { webinar, source, programme, keep_emails };
                common.import(rows, sheet).await
            }
            Self::Sales { programme, source, product, common } => {
                let mut clients = common.connect.clients()?;
                know_programme(&mut clients, &programme).await?;
                if let Some(product) = &product {
                    let request = v1::GetProductRequest { id: product.clone() };
                    clients.catalogue.get_product(request).await.explained()?;
                }
                let sheet = common.open(&SALES)?;
                sheet.need(&[Field::Order, Field::Transaction])?;
                if product.is_none() {
                    sheet.need(&[Field::Product]).context(
                        "without a product nothing can be decided; where all are of one, say it with --product",
                    )?;
                }
                let source = source.unwrap_or_else(|| format!("import-{programme}"));
                common.import(Sales { programme, source, product }, sheet).await
            }
            Self::Partners { programme, common } => {
                know_programme(&mut common.connect.clients()?, &programme).await?;
                let sheet = common.open(&PARTNERS)?;
                sheet.need(&[Field::Affiliate])?;
                common.import(Partners { programme }, sheet).await
            }
        }
    }
}

/// Makes sure of what every row would be refused for.
async fn know_programme(clients: &mut Clients, id: &str) -> anyhow::Result<()> {
    let request = v1::GetProgrammeRequest { id: id.to_owned() };
    clients.catalogue.get_programme(request).await.explained()?;
    Ok(())
}

impl Common {
    fn open(&self, layout: &Layout) -> anyhow::Result<Sheet> {
        let sheet = Sheet::open(&self.file, layout, &self.map, &self.reading)?;
        sheet.assume_nothing(&self.reading)?;
        Ok(sheet)
    }

    async fn import<R: Rows>(&self, rows: R, sheet: Sheet) -> anyhow::Result<ExitCode> {
        output::note(format!("{}: {}", sheet.name, sheet.described()));
        let imported = sending::import(rows, sheet, self).await?;
        if self.json {
            output::line(serde_json::to_string(&imported.summary)?)?;
        } else {
            output::line(imported.summary.text(self.dry_run, self.rejected.as_deref()))?;
        }
        if let Some(stopped) = imported.stopped {
            return stopped;
        }
        let clean = imported.summary.rejected == 0;
        Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
