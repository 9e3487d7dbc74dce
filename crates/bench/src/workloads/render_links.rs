//! The purchase links of a whole webinar, streamed by the all-in-one from `SQLite`. Everything has both
//! cores. The reference reads the same attendees, registrations and touches with bare sqlx and makes nothing
//! of them.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tagalong_proto::v1::{
    RenderLinksRequest, link_rendering_service_client::LinkRenderingServiceClient,
};
use tonic::transport::Channel;

use super::render_link::bare_tonic;
use crate::{
    harness::{Check, Goal, Outcome, Plan, Round, shown},
    load::connection,
    note,
    process::{Cores, Process},
    references::{scan::scan, sqlite::Sqlite},
    sample, systems,
};

/// Memory may be this much higher while all links are streamed than when the first tenth was.
const FLAT: f64 = 1.2;

#[derive(Clone, Copy)]
enum Contender {
    Scan,
    Links,
    Stream,
}

pub(super) async fn run(plan: &Plan, name: &str) -> anyhow::Result<Outcome> {
    let attendees = plan.size(1_000_000, 10_000) as u64;
    let all = systems::all_in_one(plan, "links", Cores::Both).await?;
    sample::create_campaign(connection(&all.url("grpc")?)?).await?;
    all.end().await?;
    let path = plan.directory("links")?.join("registry.sqlite");
    let begin = Instant::now();
    let database = path.clone();
    tokio::task::spawn_blocking(move || {
        let mut sqlite = Sqlite::open(&database)?;
        sqlite.fill(0..attendees, 50_000)?;
        sqlite.checkpoint()
    })
    .await??;
    note(&format!("{name}: stored {attendees} attendees in {:.0?}", begin.elapsed()));

    let all = systems::all_in_one(plan, "links", Cores::Both).await?;
    let client = LinkRenderingServiceClient::new(connection(&all.url("grpc")?)?);
    let (_tonic, url) = bare_tonic(plan).await?;
    let tonic = LinkRenderingServiceClient::new(connection(&url)?);
    let mut memory = Vec::new();
    let contenders = [
        ("sqlx, bare scan", Contender::Scan),
        ("tagalong, RenderLinks", Contender::Links),
        ("bare tonic, stream", Contender::Stream),
    ];
    let measurements = plan
        .interleave(name, "attendees/s", &contenders, async |contender| {
            let begin = Instant::now();
            match contender {
                Contender::Scan => {
                    let rows = scan(&path).await?;
                    ensure!(rows == 3 * attendees, "{rows} rows");
                }
                Contender::Links => {
                    memory.push(stream_all(client.clone(), &all, attendees).await?);
                }
                Contender::Stream => {
                    let request = RenderLinksRequest {
                        product_id: attendees.to_string(),
                        ..Default::default()
                    };
                    let mut links = tonic.clone().render_links(request).await?.into_inner();
                    while links.message().await?.is_some() {}
                }
            }
            Ok(Round::rate(attendees, begin.elapsed()))
        })
        .await?;
    let [scan, links, stream] = &measurements[..] else { bail!("three were measured") };
    let growth = memory.iter().map(Memory::growth).fold(0.0, f64::max);
    let most = memory.iter().map(|memory| memory.most).fold(0.0, f64::max);
    let checks = vec![
        Check::ratio(links, scan, Some(Goal::AtLeast(0.5))),
        Check::value(
            "memory at its highest / after a tenth of the links, worst round",
            growth,
            "x",
            Some(Goal::AtMost(FLAT)),
        ),
        Check::value("memory of the process at its highest", most, "MB", None),
        Check::ratio(links, stream, None),
    ];
    let note = format!("{attendees} attendees; a round of links took {}", {
        let seconds = 1.0 / links.median() * f64::from(u32::try_from(attendees)?);
        shown(seconds, "s")
    });
    Ok(Outcome { measurements, checks, notes: vec![note], ..Outcome::default() })
}

/// What a server occupied while it streamed, in MB.
struct Memory {
    after_a_tenth: f64,
    most: f64,
}

impl Memory {
    fn growth(&self) -> f64 {
        self.most / self.after_a_tenth
    }
}

/// Takes all links, and looks at the server's memory meanwhile.
async fn stream_all(
    mut client: LinkRenderingServiceClient<Channel>,
    server: &Process,
    attendees: u64,
) -> anyhow::Result<Memory> {
    const EVERY: Duration = Duration::from_millis(50);
    let request = RenderLinksRequest {
        webinar_id: sample::WEBINAR.to_owned(),
        product_id: sample::COURSE.to_owned(),
        ..Default::default()
    };
    let mut links = client.render_links(request).await?.into_inner();
    let (mut count, mut looked) = (0, Instant::now());
    let mut memory = Memory { after_a_tenth: 0.0, most: 0.0 };
    while let Some(link) = links.message().await? {
        count += 1;
        if count == 1 {
            ensure!(!link.affiliate_id.is_empty(), "{} credits nobody", link.url);
        }
        if count == attendees / 10 {
            memory.after_a_tenth = server.memory()?;
        }
        if looked.elapsed() > EVERY {
            looked = Instant::now();
            memory.most = memory.most.max(server.memory()?);
        }
    }
    ensure!(count == attendees, "{count} links for {attendees} attendees");
    memory.most = memory.most.max(server.memory()?);
    Ok(memory)
}
