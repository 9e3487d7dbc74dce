//! How soon a redirect with many products answers, from the start of its process, and what it occupies with
//! few.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::time::sleep;

use super::affiliate_link::{MANY, link};
use crate::{
    harness::{Check, Goal, Outcome, Plan, Round},
    http,
    process::{Cores, Process, binary, free_address, is_status},
    sample,
    systems::{Durability, redirect_arguments},
};

/// As many as the demo has.
const FEW: usize = 2;

#[derive(Clone, Copy)]
enum Contender {
    Few,
    Many,
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let mut memory = 0.0_f64;
    let contenders =
        [("tagalong, 2 products", Contender::Few), ("tagalong, 100,000 products", Contender::Many)];
    let measurements = plan
        .interleave(name, "ms", &contenders, async |contender| {
            let products = match contender {
                Contender::Few => FEW,
                Contender::Many => plan.size(MANY, 10_000),
            };
            let (redirect, took) = start(plan, products).await?;
            if matches!(contender, Contender::Few) {
                // It has started up and nobody comes.
                sleep(Duration::from_secs(1)).await;
                memory = memory.max(redirect.memory()?);
            }
            redirect.end().await?;
            Ok(Round::of(took.as_secs_f64() * 1e3))
        })
        .await?;
    let [_, many] = &measurements[..] else { bail!("two were measured") };
    let checks = vec![
        Check::value(
            "start to first answer, 100,000 products",
            many.median(),
            "ms",
            Some(Goal::AtMost(150.0)),
        ),
        Check::value("memory when idle, 2 products", memory, "MB", Some(Goal::AtMost(16.0))),
    ];
    Ok(Outcome { measurements, checks, ..Outcome::default() })
}

/// A redirect that has just given its first answer, and how long that took.
async fn start(plan: &Plan, products: usize) -> anyhow::Result<(Process, Duration)> {
    let name = format!("start-{products}");
    let data = plan.directory(&name)?;
    std::fs::write(data.join("catalogue.bin"), sample::saved_catalogue(products))?;
    let address = free_address()?;
    let mut arguments = redirect_arguments(plan, &data, Durability::Strict).await?;
    arguments.extend(["--set".to_owned(), format!("redirect.http={address}")]);
    let program = binary("tagalong-redirect")?;
    let begin = Instant::now();
    let redirect = Process::start(&name, Cores::Both, program, arguments, &data)?;
    while !answers(address, products).await {
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("no answer:\n{}", redirect.complaints());
        }
        sleep(Duration::from_millis(1)).await;
    }
    Ok((redirect, begin.elapsed()))
}

async fn answers(address: SocketAddr, products: usize) -> bool {
    http::get(address, &link(products - 1)).await.is_ok_and(|answer| is_status(&answer, 302))
}
