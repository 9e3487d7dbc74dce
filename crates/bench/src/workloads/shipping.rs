//! Affiliate links while their clicks are shipped to a registry on `SQLite`. Redirect, registry and wrk share
//! both cores; the reference is the redirect alone on its core, as in the first line of the table.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::time::sleep;

use super::affiliate_link::link;
use crate::{
    harness::{Check, Goal, Outcome, Plan},
    http,
    process::Cores,
    systems::{self, Durability, Peers, check_clicks, check_link, lone_redirect},
    wrk::Wrk,
};

/// A backlog that grows by no more than this share of the clicks does not grow: the last runs are on their way.
const ON_THEIR_WAY: f64 = 0.05;

#[derive(Clone, Copy)]
enum Contender {
    Alone,
    Shipping,
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let alone = lone_redirect(plan, "shipping-alone", Durability::Strict, 1).await?;

    let (_, database) = systems::sqlite(plan, "shipping-registry")?;
    let registry = systems::campaign(plan, "shipping-registry", &database).await?;
    let peers = Peers { registry: &registry, rendering: &registry };
    let redirect = systems::redirect(plan, "shipping-redirect", Cores::Both, &peers).await?;
    let (server, admin) = (redirect.address("http")?, redirect.address("admin")?);
    check_link(server, &link(0)).await?;

    let apart = Wrk::new(plan, "shipping-apart", 64, Cores::Load, &[link(0)])?;
    let together = Wrk::new(plan, "shipping-together", 64, Cores::Both, &[link(0)])?;
    let contenders = [
        ("tagalong, strict, clicks kept", Contender::Alone),
        ("tagalong, strict, clicks shipped", Contender::Shipping),
    ];
    let mut grown = Vec::new();
    let measurements = plan
        .interleave(name, "/s", &contenders, async |contender| match contender {
            Contender::Alone => apart.run(alone.address("http")?).await,
            Contender::Shipping => {
                catch_up(admin).await?;
                let round = together.run(server).await?;
                // The warm-up's clicks are in it too: a quarter more.
                let clicks = round.value * (plan.turn().as_secs_f64() + 1.0);
                grown.push(backlog(admin).await? / clicks);
                Ok(round)
            }
        })
        .await?;
    check_clicks(&redirect).await?;
    let most = grown.iter().copied().fold(0.0, f64::max);
    let [alone, shipping] = &measurements[..] else { bail!("two were measured") };
    let checks = vec![
        Check::ratio(shipping, alone, Some(Goal::AtLeast(0.5))),
        Check::value(
            "backlog at the end, share of the clicks, worst round",
            most,
            "",
            Some(Goal::AtMost(ON_THEIR_WAY)),
        ),
    ];
    let note =
        "each round begins without a backlog; the clicks are those of the round and its warm-up";
    Ok(Outcome { measurements, checks, notes: vec![note.to_owned()], ..Outcome::default() })
}

async fn backlog(admin: SocketAddr) -> anyhow::Result<f64> {
    let backlog = http::metric(admin, "tagalong_clicks_backlog").await?;
    backlog.context("the redirect does not say what waits to be shipped")
}

/// Waits until everything is shipped.
async fn catch_up(admin: SocketAddr) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(2);
    let begin = Instant::now();
    while backlog(admin).await? > 0.0 {
        if begin.elapsed() > PATIENCE {
            bail!("clicks are not shipped");
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
