//! Purchase links with a token, answered with the fresh decision, for some hundred attendees again and again.
//! The server has one core (three processes share it), wrk the other; the reference is an affiliate link of
//! the same redirect.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tagalong_proto::v1::{
    self, attendee_service_client::AttendeeServiceClient,
    link_rendering_service_client::LinkRenderingServiceClient,
};
use tonic::transport::Channel;

use super::affiliate_link::link;
use crate::{
    harness::{Check, Goal, Outcome, Plan},
    load::connection,
    process::{Cores, Process},
    sample,
    systems::{self, Durability, Peers, check_clicks, check_link, lone_redirect},
    wrk::Wrk,
};

const ATTENDEES: usize = 300;
/// The affiliate in the path, whom no decision credits: where an answer names it, there was no fresh decision.
const STALE: &str = "stale";

#[derive(Clone, Copy)]
struct Contender<'a> {
    server: SocketAddr,
    wrk: &'a Wrk,
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let first_redirect = lone_redirect(plan, "purchase-first", Durability::Strict, 1).await?;
    let first_wrk = Wrk::new(plan, "purchase-first", 64, Cores::Load, &[link(0)])?;

    let all = systems::all_in_one(plan, "purchase-all", Cores::Server).await?;
    let grpc = connection(&all.url("grpc")?)?;
    let links = links(plan, grpc.clone(), grpc).await?;
    let all_wrk = crowd(plan, "purchase-all", &all, &links).await?;

    let (_, database) = systems::sqlite(plan, "purchase-registry")?;
    let registry = systems::registry(plan, "purchase-registry", Cores::Server, &database).await?;
    let rendering =
        systems::rendering(plan, "purchase-rendering", Cores::Server, &registry).await?;
    let peers = Peers { registry: &registry, rendering: &rendering };
    let (registry, rendering) =
        (connection(&registry.url("grpc")?)?, connection(&rendering.url("grpc")?)?);
    let links = self::links(plan, registry, rendering).await?;
    let redirect = systems::redirect(plan, "purchase-redirect", Cores::Server, &peers).await?;
    let three_wrk = crowd(plan, "purchase-three", &redirect, &links).await?;

    let on = |server, wrk| Contender { server, wrk };
    let contenders = [
        ("tagalong, affiliate link", on(first_redirect.address("http")?, &first_wrk)),
        ("tagalong, purchase link, one process", on(all.address("http")?, &all_wrk)),
        ("tagalong, purchase link, three processes", on(redirect.address("http")?, &three_wrk)),
    ];
    let measurements = plan
        .interleave(name, "/s", &contenders, async |contender: Contender<'_>| {
            contender.wrk.run(contender.server).await
        })
        .await?;
    for redirect in [&first_redirect, &all, &redirect] {
        check_clicks(redirect).await?;
    }
    let [first, one, three] = &measurements[..] else { bail!("three were measured") };
    let mut checks =
        vec![Check::ratio(one, first, Some(Goal::AtLeast(0.4))), Check::ratio(three, first, None)];
    for (what, redirect, wrk) in
        [("one process", &all, &all_wrk), ("three processes", &redirect, &three_wrk)]
    {
        // All affiliates that attendees registered through are called so.
        let share = wrk.share(redirect.address("http")?, "affiliate=affiliate").await?;
        let what = format!("answers with the fresh decision, {what}");
        checks.push(Check::value(what, share * 100.0, "%", Some(Goal::AtLeast(99.0))));
    }
    Ok(Outcome { measurements, checks, ..Outcome::default() })
}

/// Registers attendees and renders their purchase links; the paths.
async fn links(plan: &Plan, registry: Channel, rendering: Channel) -> anyhow::Result<Vec<String>> {
    sample::create_campaign(registry.clone()).await?;
    let mut attendees = AttendeeServiceClient::new(registry);
    let mut rendering = LinkRenderingServiceClient::new(rendering);
    let mut paths = Vec::new();
    for number in 0..plan.size(ATTENDEES, 20) as u64 {
        let registered =
            attendees.register_attendee(sample::registration(number)).await?.into_inner();
        let attendee = registered.attendee.context("no attendee")?.id;
        let request = v1::RenderLinkRequest {
            attendee: Some(v1::AttendeeReference {
                reference: Some(v1::attendee_reference::Reference::AttendeeId(attendee)),
            }),
            product_id: sample::COURSE.to_owned(),
            ..Default::default()
        };
        let url = rendering.render_link(request).await?.into_inner().url;
        let (_, token) = url.rsplit_once('/').context("no token in the link")?;
        paths.push(format!("/{}/p/{STALE}/buy/{token}", sample::COURSE));
    }
    Ok(paths)
}

async fn crowd(
    plan: &Plan,
    name: &str,
    redirect: &Process,
    links: &[String],
) -> anyhow::Result<Wrk> {
    let first = links.first().context("nobody is registered")?;
    check_link(redirect.address("http")?, first).await?;
    Wrk::new(plan, name, 64, Cores::Load, links)
}
