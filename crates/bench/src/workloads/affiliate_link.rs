//! Affiliate links over HTTP. The server has one core, wrk the other; everybody answers the same browser with
//! the same redirect and cookie. Behind the redirect there is nobody: it answers from its saved catalogue.

use std::net::SocketAddr;

use crate::{
    harness::{Check, Goal, Measurement, Outcome, Plan},
    process::{Cores, Process, binary, free_address},
    references::nginx::Nginx,
    sample,
    systems::{Durability, check_clicks, lone_redirect},
    wrk::Wrk,
};

/// How many products a large catalogue has.
pub(super) const MANY: usize = 100_000;
/// How many different links are asked for there: more than fit into the caches of a core.
const LINKS: usize = 10_000;

#[derive(Clone, Copy)]
struct Contender<'a> {
    server: SocketAddr,
    wrk: &'a Wrk,
}

pub(super) async fn run(plan: &Plan, name: &str, connections: usize) -> anyhow::Result<Outcome> {
    let nginx = Nginx::start(plan).await?;
    let address = free_address()?;
    let arguments = ["http".to_owned(), address.to_string()];
    let directory = plan.directory("hyper")?;
    let program = binary("tagalong-bench")?;
    let _hyper = Process::start("hyper", Cores::Server, program, arguments, &directory)?
        .listening(address)
        .await?;
    let strict = redirect(plan, name, Durability::Strict, 1).await?;
    let relaxed = redirect(plan, name, Durability::Relaxed, 1).await?;
    let many = redirect(plan, name, Durability::Strict, plan.size(MANY, 10_000)).await?;

    let one = [link(0)];
    let one = Wrk::new(plan, &format!("{name}-one"), connections, Cores::Load, &one)?;
    let step = plan.size(MANY, 10_000) / LINKS;
    let links: Vec<String> = (0..LINKS).map(|number| link(number * step)).collect();
    let spread = Wrk::new(plan, &format!("{name}-many"), connections, Cores::Load, &links)?;
    let on = |server, wrk| Contender { server, wrk };
    let contenders = [
        ("nginx, log buffered", on(nginx.logging, &one)),
        ("tagalong, strict", on(strict.address("http")?, &one)),
        ("tagalong, relaxed", on(relaxed.address("http")?, &one)),
        ("tagalong, strict, 100,000 products", on(many.address("http")?, &spread)),
        ("nginx, no log", on(nginx.silent, &one)),
        ("bare hyper", on(address, &one)),
    ];
    let measurements = plan
        .interleave(name, "/s", &contenders, async |contender: Contender<'_>| {
            contender.wrk.run(contender.server).await
        })
        .await?;
    for redirect in [&strict, &relaxed, &many] {
        check_clicks(redirect).await?;
    }
    let checks = checks(&measurements, connections);
    Ok(Outcome { measurements, checks, ..Outcome::default() })
}

fn checks(measurements: &[Measurement], connections: usize) -> Vec<Check> {
    let [nginx, strict, relaxed, many, silent, hyper] = measurements else { return Vec::new() };
    // What is promised, is promised for a crowd.
    let goal = |goal| (connections > 1).then_some(goal);
    let checks = [
        Some(Check::ratio(strict, nginx, goal(Goal::AtLeast(0.9)))),
        Check::p99_ratio(strict, nginx, goal(Goal::AtMost(2.0))),
        Some(Check::ratio(relaxed, nginx, goal(Goal::AtLeast(1.2)))),
        Some(Check::ratio(many, strict, goal(Goal::AtLeast(0.95)))),
        Some(Check::ratio(strict, silent, None)),
        Some(Check::ratio(strict, hyper, None)),
    ];
    checks.into_iter().flatten().collect()
}

async fn redirect(
    plan: &Plan,
    workload: &str,
    durability: Durability,
    products: usize,
) -> anyhow::Result<Process> {
    let name = format!("{workload}-{durability:?}-{products}").to_lowercase();
    lone_redirect(plan, &name, durability, products).await
}

pub(super) fn link(product: usize) -> String {
    format!("/{}/p/{}/", sample::product_id(product), sample::affiliate(product as u64))
}
