//! `tagalong attendee`.

use std::process::ExitCode;

use tagalong_proto::v1::{self, attendee_reference::Reference};

use super::{Listing, email, list_all, moment};
use crate::{
    client::{Connect, Explain as _},
    output,
};

/// People in webinars
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Report a registration
    #[command(
        after_help = "Example:\n  echo jane@example.com | tagalong attendee register launch --email - --affiliate max --key zoom/123/r-1"
    )]
    Register {
        /// The webinar
        webinar: String,
        /// E-mail address; - reads it from standard input
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// Keep the address itself too, sealed
        #[arg(long)]
        keep_email: bool,
        /// The affiliate stored with the registration
        #[arg(long)]
        affiliate: Option<String>,
        /// The programme that issued it, where the webinar's products belong to several
        #[arg(long)]
        programme: Option<String>,
        /// How the tool names the registration
        #[arg(long, value_name = "SOURCE/WEBINAR/ID", value_parser = registration_key)]
        key: Option<v1::RegistrationKey>,
        /// The session registered for
        #[arg(long)]
        session: Option<String>,
        /// When [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<prost_types::Timestamp>,
        /// Recognises a retry; required where there is no --key
        #[arg(long, value_name = "ID")]
        request_id: Option<String>,
        #[command(flatten)]
        connect: Connect,
    },
    /// List attendees
    #[command(after_help = "Example:\n  tagalong attendee list --webinar launch --json")]
    List {
        /// Only this webinar's
        #[arg(long)]
        webinar: Option<String>,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show an attendee with registrations and touches, as JSON
    #[command(after_help = "Example:\n  tagalong attendee show --token AQGT…")]
    Show {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        connect: Connect,
    },
    /// Print everything that is kept about a person, the address in clear where it was kept
    #[command(
        after_help = "Example:\n  tagalong attendee export --webinar launch --email - < address.txt"
    )]
    Export {
        #[command(flatten)]
        who: Who,
        #[command(flatten)]
        connect: Connect,
    },
    /// Erase what identifies a person
    #[command(after_help = "Example:\n  tagalong attendee erase --id 0193… --yes")]
    Erase {
        #[command(flatten)]
        who: Who,
        /// Do it
        #[arg(long, required = true)]
        yes: bool,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Names an attendee.
#[derive(clap::Args)]
#[group(required = true)]
pub(crate) struct Who {
    /// The attendee's UUID
    #[arg(long, value_name = "UUID", group = "who")]
    id: Option<String>,
    /// The token of a purchase link
    #[arg(long, group = "who")]
    token: Option<String>,
    /// How the tool names a registration
    #[arg(long, value_name = "SOURCE/WEBINAR/ID", value_parser = registration_key, group = "who")]
    key: Option<v1::RegistrationKey>,
    /// E-mail address, with --webinar; - reads it from standard input
    #[arg(long, value_name = "ADDRESS", requires = "webinar", group = "who")]
    email: Option<String>,
    /// The webinar, with --email
    #[arg(long, requires = "email")]
    webinar: Option<String>,
}

impl Who {
    /// The reference to send.
    pub(crate) fn reference(self) -> anyhow::Result<Option<v1::AttendeeReference>> {
        let reference = match self {
            Self { id: Some(id), .. } => Reference::AttendeeId(id),
            Self { token: Some(token), .. } => Reference::Token(token),
            Self { key: Some(key), .. } => Reference::Registration(key),
            Self { email: given, webinar, .. } => Reference::Email(v1::AttendeeEmail {
                webinar_id: webinar.unwrap_or_default(),
                email: email(given.as_deref())?,
            }),
        };
        Ok(Some(v1::AttendeeReference { reference: Some(reference) }))
    }
}

/// Reads `source/webinar/id`; the webinar may be empty.
pub(crate) fn registration_key(text: &str) -> Result<v1::RegistrationKey, String> {
    let mut parts = text.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(source), Some(webinar), Some(id)) if !source.is_empty() && !id.is_empty() => {
            Ok(v1::RegistrationKey {
                source: source.to_owned(),
                external_webinar_id: webinar.to_owned(),
                external_id: id.to_owned(),
            })
        }
        _ => Err("expected SOURCE/WEBINAR/ID, such as zoom/81234/r-1 or form//r-1".to_owned()),
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Register {
                webinar,
                email: given,
                keep_email,
                affiliate,
                programme,
                key,
                session,
                at,
                request_id,
                connect,
            } => {
                let request = v1::RegisterAttendeeRequest {
                    request_id: request_id.unwrap_or_default(),
                    webinar_id: webinar,
                    email: email(given.as_deref())?,
                    keep_email,
                    affiliate_id: affiliate.unwrap_or_default(),
                    programme_id: programme.unwrap_or_default(),
                    key,
                    session_id: session.unwrap_or_default(),
                    registered_at: at,
                    ..Default::default()
                };
                let mut client = connect.clients()?.attendees;
                let answer = client.register_attendee(request).await.explained()?;
                output::show(&answer.attendee.unwrap_or_default())?;
            }
            Self::List { webinar, listing, connect } => {
                let mut client = connect.clients()?.attendees;
                let request = v1::ListAttendeesRequest {
                    webinar_id: webinar.unwrap_or_default(),
                    ..Default::default()
                };
                list_all!(
                    listing,
                    client,
                    list_attendees,
                    request,
                    attendees,
                    &["ID", "WEBINAR", "SINCE", "E-MAIL"],
                    |row| vec![
                        row.id.clone(),
                        row.webinar_id.clone(),
                        output::time(row.created_at.as_ref()),
                        match (&row.erased_at, row.has_email) {
                            (Some(_), _) => "erased",
                            (None, true) => "known",
                            (None, false) => "-",
                        }
                        .to_owned(),
                    ]
                )?;
            }
            Self::Show { who, connect } => {
                let request = v1::GetAttendeeRequest { attendee: who.reference()? };
                let mut client = connect.clients()?.attendees;
                let answer = client.get_attendee(request).await.explained()?;
                output::show(&answer.attendee.unwrap_or_default())?;
            }
            Self::Export { who, connect } => {
                let request = v1::ExportAttendeeRequest { attendee: who.reference()? };
                let mut client = connect.clients()?.attendees;
                output::show(&client.export_attendee(request).await.explained()?)?;
            }
            Self::Erase { who, yes: _, connect } => {
                let request = v1::EraseAttendeeRequest { attendee: who.reference()? };
                let mut client = connect.clients()?.attendees;
                let answer = client.erase_attendee(request).await.explained()?;
                output::show(&answer.attendee.unwrap_or_default())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
