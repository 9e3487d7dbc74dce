//! `tagalong links`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::ValueEnum;
use tagalong_proto::v1;

use super::{attendee::Who, moment, text_file};
use crate::{
    client::{Connect, Explain as _},
    output,
};

mod export;

/// Purchase links, and what a link does
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Render an attendee's purchase link
    #[command(after_help = "Example:\n  tagalong links render course --key zoom/81234/r-1")]
    Render {
        /// The product
        product: String,
        #[command(flatten)]
        who: Who,
        /// Use this affiliate where nobody is credited
        #[arg(long, value_name = "AFFILIATE")]
        fallback: Option<String>,
        /// As if bought then [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<prost_types::Timestamp>,
        /// Print everything, as JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Write the purchase links of all attendees of a webinar as CSV
    Export(export::Args),
    /// Fill the placeholders of a message to an attendee
    #[command(
        after_help = "Placeholders: {{purchase_link:PRODUCT}}, {{affiliate:PRODUCT}}, {{token}}\n\nExample:\n  tagalong links message mail.html --format html --key zoom/81234/r-1"
    )]
    Message {
        /// The message; - for standard input
        file: PathBuf,
        /// What it is written in
        #[arg(long)]
        format: Format,
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        connect: Connect,
    },
    /// Write an attendee's purchase link as a QR code
    #[command(
        after_help = "Example:\n  tagalong links qr course --key zoom/81234/r-1 --output slide.png"
    )]
    Qr {
        /// The product
        product: String,
        #[command(flatten)]
        who: Who,
        /// The picture, .svg or .png
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// Width and height in pixels
        #[arg(long, value_name = "PIXELS", default_value_t = 512)]
        size: i32,
        #[command(flatten)]
        connect: Connect,
    },
    /// Say what a link answers, recording nothing
    #[command(after_help = "Example:\n  tagalong links resolve '/webinar/p/max/?sub1=mail'")]
    Resolve {
        /// Path and query
        path_and_query: String,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What a message is written in.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Text,
    Html,
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Render { product, who, fallback, at, json, connect } => {
                let request = v1::RenderLinkRequest {
                    attendee: who.reference()?,
                    product_id: product,
                    at,
                    fallback_affiliate_id: fallback.unwrap_or_default(),
                };
                let mut client = connect.clients()?.rendering;
                let link = client.render_link(request).await.explained()?;
                if json {
                    output::show(&link)?;
                } else {
                    output::line(&link.url)?;
                    output::note(&link.reason);
                }
            }
            Self::Export(args) => return args.run().await,
            Self::Message { file, format, who, connect } => {
                let format = match format {
                    Format::Text => v1::MessageFormat::Text,
                    Format::Html => v1::MessageFormat::Html,
                };
                let request = v1::RenderMessageRequest {
                    attendee: who.reference()?,
                    body: text_file(&file)?,
                    format: format.into(),
                    at: None,
                };
                let mut client = connect.clients()?.rendering;
                let message = client.render_message(request).await.explained()?;
                io::stdout().write_all(message.body.as_bytes())?;
            }
            Self::Qr { product, who, output, size, connect } => {
                let format = match output.extension().and_then(|end| end.to_str()) {
                    Some("svg") => v1::ImageFormat::Svg,
                    Some("png") => v1::ImageFormat::Png,
                    _ => anyhow::bail!("--output must end in .svg or .png"),
                };
                let link = v1::RenderLinkRequest {
                    attendee: who.reference()?,
                    product_id: product,
                    ..Default::default()
                };
                let request = v1::RenderQrCodeRequest {
                    target: Some(v1::render_qr_code_request::Target::PurchaseLink(link)),
                    format: format.into(),
                    size,
                };
                let mut client = connect.clients()?.rendering;
                let code = client.render_qr_code(request).await.explained()?;
                std::fs::write(&output, code.image)
                    .with_context(|| format!("cannot write {}", output.display()))?;
                output::line(&code.url)?;
            }
            Self::Resolve { path_and_query, connect } => {
                let mut client = connect.clients()?.redirect;
                let request = v1::ResolveRequest { path_and_query };
                output::show(&client.resolve(request).await.explained()?)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
