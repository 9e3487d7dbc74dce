//! Single purchase links of attendees whose links were rendered before, from 64 callers on two connections.
//! The server has one core, the callers the other; the reference is bare tonic with messages of the same
//! size.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context as _, bail};
use tagalong_proto::v1::{
    self, attendee_service_client::AttendeeServiceClient,
    link_rendering_service_client::LinkRenderingServiceClient,
};
use tonic::transport::Channel;

use crate::{
    harness::{Check, Goal, Outcome, Plan, Round},
    load::{callers, connection, on_load_core},
    process::{Cores, Process, binary, free_address},
    sample, systems,
};

const CALLERS: usize = 64;
const CONNECTIONS: usize = 2;
const ATTENDEES: usize = 300;

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let (_echo, echo_url) = bare_tonic(plan).await?;

    let all = systems::all_in_one(plan, "render-all", Cores::Server).await?;
    let all_url = all.url("grpc")?;
    let all_attendees = register(plan, connection(&all_url)?).await?;

    let (_, database) = systems::sqlite(plan, "render-registry")?;
    let registry = systems::registry(plan, "render-registry", Cores::Server, &database).await?;
    let rendering = systems::rendering(plan, "render-alone", Cores::Server, &registry).await?;
    let attendees = register(plan, connection(&registry.url("grpc")?)?).await?;

    let turns = [
        (echo_url.as_str(), &attendees),
        (all_url.as_str(), &all_attendees),
        (&rendering.url("grpc")?, &attendees),
    ];
    let contenders = [
        ("bare tonic, unary", 0),
        ("tagalong, RenderLink, one process", 1),
        ("tagalong, RenderLink, separate process", 2),
    ];
    let measurements = plan
        .interleave(name, "/s", &contenders, async |which: usize| {
            let (url, attendees) = turns[which];
            turn(plan, url.to_owned(), attendees.clone()).await
        })
        .await?;
    let [echo, one, separate] = &measurements[..] else { bail!("three were measured") };
    let checks = vec![
        Check::ratio(one, echo, Some(Goal::AtLeast(0.7))),
        Check::ratio(separate, echo, Some(Goal::AtLeast(0.7))),
    ];
    Ok(Outcome { measurements, checks, ..Outcome::default() })
}

/// A bare tonic server on the server's core.
pub(super) async fn bare_tonic(plan: &Plan) -> anyhow::Result<(Process, String)> {
    let address = free_address()?;
    let arguments = ["grpc".to_owned(), address.to_string()];
    let directory = plan.directory("tonic")?;
    let program = binary("tagalong-bench")?;
    let process = Process::start("tonic", Cores::Server, program, arguments, &directory)?
        .listening(address)
        .await?;
    Ok((process, format!("http://{address}")))
}

/// Registers attendees of a new campaign; their IDs.
async fn register(plan: &Plan, registry: Channel) -> anyhow::Result<Arc<Vec<String>>> {
    sample::create_campaign(registry.clone()).await?;
    let mut client = AttendeeServiceClient::new(registry);
    let mut attendees = Vec::new();
    for number in 0..plan.size(ATTENDEES, 20) as u64 {
        let registered = client.register_attendee(sample::registration(number)).await?.into_inner();
        attendees.push(registered.attendee.context("no attendee")?.id);
    }
    Ok(Arc::new(attendees))
}

/// Asks for the links of all attendees again and again, once before the time counts.
async fn turn(plan: &Plan, url: String, attendees: Arc<Vec<String>>) -> anyhow::Result<Round> {
    let length = plan.turn();
    on_load_core(move || async move {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| Ok(LinkRenderingServiceClient::new(connection(&url)?)))
            .collect::<anyhow::Result<_>>()?;
        for attendee in &*attendees {
            connections[0].clone().render_link(request(attendee)).await?;
        }
        let count = AtomicUsize::new(0);
        callers(CALLERS, length, move |caller| {
            let number = count.fetch_add(1, Ordering::Relaxed) % attendees.len();
            let request = request(&attendees[number]);
            let mut client = connections[caller % CONNECTIONS].clone();
            async move {
                client.render_link(request).await?;
                Ok(())
            }
        })
        .await
    })
    .await
}

fn request(attendee: &str) -> v1::RenderLinkRequest {
    v1::RenderLinkRequest {
        attendee: Some(v1::AttendeeReference {
            reference: Some(v1::attendee_reference::Reference::AttendeeId(attendee.to_owned())),
        }),
        product_id: sample::COURSE.to_owned(),
        ..Default::default()
    }
}
