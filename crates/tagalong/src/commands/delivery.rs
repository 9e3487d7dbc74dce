//! `tagalong delivery`.

use std::{io::Write as _, process::ExitCode};

use anyhow::Context as _;
use clap::ValueEnum;
use tagalong_proto::v1::{self, DeliveryState};

use super::{Listing, list_all};
use crate::{
    client::{Connect, Explain as _},
    output::{self, or_dash, word},
};

/// What webinar tools and checkouts posted, and what became of it
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// List deliveries, newest first
    #[command(after_help = "Example:\n  tagalong delivery list --state parked --json")]
    List {
        /// Only this source's
        #[arg(long)]
        source: Option<String>,
        /// Only in this state
        #[arg(long)]
        state: Option<State>,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one delivery, as JSON
    #[command(after_help = "Example:\n  tagalong delivery show 0193… --body > payload.json")]
    Show {
        /// UUID, as in the list
        id: String,
        /// Print what was posted instead, byte for byte: it holds personal data
        #[arg(long)]
        body: bool,
        #[command(flatten)]
        connect: Connect,
    },
    /// Take deliveries once more, after a preset or a source was mended; nothing counts twice
    #[command(
        after_help = "Example:\n  tagalong delivery replay 0193…\n  tagalong delivery replay --parked --source zoom"
    )]
    Replay {
        /// UUID, as in the list
        #[arg(required_unless_present = "parked", conflicts_with = "parked")]
        id: Option<String>,
        /// All that are parked
        #[arg(long)]
        parked: bool,
        /// Of those only this source's
        #[arg(long, requires = "parked")]
        source: Option<String>,
        /// Print JSON Lines
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connect: Connect,
    },
}

/// What became of a delivery.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum State {
    Received,
    Mapped,
    Ignored,
    Parked,
}

impl From<State> for DeliveryState {
    fn from(state: State) -> Self {
        match state {
            State::Received => Self::Received,
            State::Mapped => Self::Mapped,
            State::Ignored => Self::Ignored,
            State::Parked => Self::Parked,
        }
    }
}

const HEADER: &[&str] = &["ID", "RECEIVED", "SOURCE", "KIND", "COPIES", "STATE", "PROBLEM"];

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List { source, state, listing, connect } => {
                let state = state.map_or(DeliveryState::Unspecified, DeliveryState::from);
                let request = v1::ListDeliveriesRequest {
                    source_id: source.unwrap_or_default(),
                    state: state.into(),
                    ..Default::default()
                };
                let mut client = connect.clients()?.deliveries;
                list_all!(listing, client, list_deliveries, request, deliveries, HEADER, row)?;
            }
            Self::Show { id, body, connect } => {
                let mut client = connect.clients()?.deliveries;
                let request = v1::GetDeliveryRequest { id, include_body: body };
                let answer = client.get_delivery(request).await.explained()?;
                if body {
                    let body = answer.body.context("its body was erased")?;
                    let mut stdout = std::io::stdout().lock();
                    stdout.write_all(&body.content)?;
                    stdout.flush()?;
                } else {
                    output::show(&answer.delivery.unwrap_or_default())?;
                }
            }
            Self::Replay { id: Some(id), json, connect, .. } => {
                let mut client = connect.clients()?.deliveries;
                let delivery = replay(&mut client, id).await?;
                output::list(json, HEADER, &[delivery], row)?;
            }
            Self::Replay { id: None, source, json, connect, .. } => {
                replay_parked(source.unwrap_or_default(), json, &connect).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

type Client = crate::client::Deliveries;

async fn replay(client: &mut Client, id: String) -> anyhow::Result<v1::Delivery> {
    let request = v1::ReplayDeliveryRequest { id };
    let answer = client.replay_delivery(request).await.explained()?;
    answer.delivery.context("no delivery came back")
}

/// Replays whatever is parked, newest first, and prints each as it is done.
async fn replay_parked(source_id: String, json: bool, connect: &Connect) -> anyhow::Result<()> {
    let mut client = connect.clients()?.deliveries;
    let mut request = v1::ListDeliveriesRequest {
        source_id,
        state: DeliveryState::Parked.into(),
        page_size: 1000,
        ..Default::default()
    };
    let (mut done, mut parked) = (0_u64, 0_u64);
    loop {
        let page = client.list_deliveries(request.clone()).await.explained()?;
        for delivery in page.deliveries {
            let delivery = replay(&mut client, delivery.id).await?;
            done += 1;
            parked += u64::from(delivery.state() == DeliveryState::Parked);
            if json {
                output::line(output::json(&delivery)?)?;
            } else {
                output::line(row(&delivery).join("  "))?;
            }
        }
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    output::note(format!("{done} replayed, {parked} of them still parked"));
    Ok(())
}

fn row(delivery: &v1::Delivery) -> Vec<String> {
    let problem = delivery.problem.as_ref().map(|problem| {
        let at = if problem.path.is_empty() || problem.message.contains(&problem.path) {
            String::new()
        } else {
            format!("{}: ", problem.path)
        };
        format!("{} {at}{}", problem.reason, problem.message)
    });
    vec![
        delivery.id.clone(),
        output::time(delivery.received_at.as_ref()),
        delivery.source_id.clone(),
        or_dash(&delivery.kind),
        delivery.copies.to_string(),
        word(delivery.state().as_str_name(), "DELIVERY_STATE_"),
        or_dash(&problem.unwrap_or_default()),
    ]
}
