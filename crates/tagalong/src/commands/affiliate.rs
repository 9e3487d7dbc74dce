//! `tagalong affiliate`.

use std::process::ExitCode;

use anyhow::Context as _;
use tagalong_proto::v1;

use super::{Listing, list_all, moment};
use crate::{
    client::{Connect, Explain as _},
    output,
};

/// Who recommends
#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Enter an affiliate
    #[command(
        after_help = "Example:\n  tagalong affiliate create copecart max --title Max --confirmed"
    )]
    Create {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        connect: Connect,
    },
    /// Change what is given, and nothing else
    #[command(after_help = "Example:\n  tagalong affiliate update copecart max --confirmed")]
    Update {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        connect: Connect,
    },
    /// List affiliates
    #[command(after_help = "Example:\n  tagalong affiliate list --programme copecart --json")]
    List {
        /// Only this programme's
        #[arg(long)]
        programme: Option<String>,
        #[command(flatten)]
        listing: Listing,
        #[command(flatten)]
        connect: Connect,
    },
    /// Show one affiliate, as JSON
    #[command(after_help = "Example:\n  tagalong affiliate show copecart max")]
    Show {
        #[command(flatten)]
        key: Key,
        #[command(flatten)]
        connect: Connect,
    },
    /// Stop crediting an affiliate
    #[command(
        after_help = "Example:\n  tagalong affiliate suspend copecart max --reason 'brand bidding'"
    )]
    Suspend {
        #[command(flatten)]
        key: Key,
        /// Why
        #[arg(long)]
        reason: String,
        /// From when on [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<prost_types::Timestamp>,
        #[command(flatten)]
        connect: Connect,
    },
    /// Credit a suspended affiliate again
    #[command(after_help = "Example:\n  tagalong affiliate reinstate copecart max")]
    Reinstate {
        #[command(flatten)]
        key: Key,
        /// From when on [default: now]
        #[arg(long, value_name = "TIME", value_parser = moment)]
        at: Option<prost_types::Timestamp>,
        #[command(flatten)]
        connect: Connect,
    },
}

/// Names an affiliate.
#[derive(clap::Args)]
pub(crate) struct Key {
    /// The programme that issued the ID
    programme: String,
    /// The affiliate's ID
    id: String,
}

/// What can be set of an affiliate.
#[derive(clap::Args)]
pub(crate) struct Settings {
    /// A name for people
    #[arg(long)]
    title: Option<String>,
    /// One of our own IDs: never displaces a partner
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    house: Option<bool>,
    /// A partner list confirms the ID
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    confirmed: Option<bool>,
    /// A coupon code that names the affiliate; replaces all codes; may be repeated
    #[arg(long = "coupon", value_name = "CODE")]
    coupons: Vec<String>,
    /// An e-mail address of the affiliate's own, to tell self-referrals; kept as a keyed hash; may be repeated
    #[arg(long = "email", value_name = "ADDRESS")]
    emails: Vec<String>,
}

impl Settings {
    fn apply(self, affiliate: &mut v1::Affiliate) -> Vec<String> {
        affiliate.title = self.title.unwrap_or(std::mem::take(&mut affiliate.title));
        affiliate.house = self.house.unwrap_or(affiliate.house);
        affiliate.confirmed = self.confirmed.unwrap_or(affiliate.confirmed);
        if !self.coupons.is_empty() {
            affiliate.coupon_codes = self.coupons;
        }
        self.emails
    }
}

impl Key {
    fn get(self) -> v1::GetAffiliateRequest {
        v1::GetAffiliateRequest { programme_id: self.programme, id: self.id }
    }
}

impl Command {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let affiliate = match self {
            Self::List { programme, listing, connect } => {
                let mut client = connect.clients()?.catalogue;
                let request = v1::ListAffiliatesRequest {
                    programme_id: programme.unwrap_or_default(),
                    ..Default::default()
                };
                list_all!(
                    listing,
                    client,
                    list_affiliates,
                    request,
                    affiliates,
                    &["PROGRAMME", "ID", "TITLE", "STATUS"],
                    |row| vec![
                        row.programme_id.clone(),
                        row.id.clone(),
                        row.title.clone(),
                        status(row)
                    ]
                )?;
                return Ok(ExitCode::SUCCESS);
            }
            Self::Create { key, settings, connect } => {
                let mut affiliate = v1::Affiliate {
                    programme_id: key.programme,
                    id: key.id,
                    ..v1::Affiliate::default()
                };
                let emails = settings.apply(&mut affiliate);
                let request = v1::CreateAffiliateRequest {
                    affiliate: Some(affiliate),
                    emails,
                    ..Default::default()
                };
                let mut client = connect.clients()?.catalogue;
                client.create_affiliate(request).await.explained()?.affiliate
            }
            Self::Update { key, settings, connect } => {
                let mut client = connect.clients()?.catalogue;
                let answer = client.get_affiliate(key.get()).await.explained()?;
                let mut affiliate = answer.affiliate.context("no affiliate came back")?;
                let emails = settings.apply(&mut affiliate);
                let request = v1::UpdateAffiliateRequest {
                    affiliate: Some(affiliate),
                    emails,
                    ..Default::default()
                };
                client.update_affiliate(request).await.explained()?.affiliate
            }
            Self::Show { key, connect } => {
                let mut client = connect.clients()?.catalogue;
                client.get_affiliate(key.get()).await.explained()?.affiliate
            }
            Self::Suspend { key, reason, at, connect } => {
                let request = v1::SuspendAffiliateRequest {
                    programme_id: key.programme,
                    id: key.id,
                    at,
                    reason,
                    ..Default::default()
                };
                let mut client = connect.clients()?.catalogue;
                client.suspend_affiliate(request).await.explained()?.affiliate
            }
            Self::Reinstate { key, at, connect } => {
                let request = v1::ReinstateAffiliateRequest {
                    programme_id: key.programme,
                    id: key.id,
                    at,
                    ..Default::default()
                };
                let mut client = connect.clients()?.catalogue;
                client.reinstate_affiliate(request).await.explained()?.affiliate
            }
        };
        output::show(&affiliate.unwrap_or_default())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn status(affiliate: &v1::Affiliate) -> String {
    let mut words = vec![if affiliate.confirmed { "confirmed" } else { "not payable yet" }];
    if affiliate.house {
        words.push("house");
    }
    if affiliate.suspensions.iter().any(|suspension| suspension.ends_at.is_none()) {
        words.push("suspended");
    }
    words.join(", ")
}
