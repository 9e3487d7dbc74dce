//! `tagalong source` and `tagalong delivery`: a tool is connected, posts, and what was parked is replayed.

use serde_json::Value;

use super::{Cli, succeeded};
use crate::{
    hooks,
    support::{Composition, System, campaign, until},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_is_connected_and_what_it_posts_is_seen() {
    for composition in [Composition::AllInOne, Composition::Separate] {
        let mut system = System::start(composition).await;
        campaign::load(&system).await;
        let cli = Cli::of(&mut system);
        sources(&cli);
        let base = system.hooks();
        deliveries(&cli, &base).await;
    }
}

fn sources(cli: &Cli) {
    let create = ["source", "create", "shop", "--preset", "copecart", "--programme", "copecart"];
    let output = cli.feed("zqxsecret\n", &[&create[..], &["--secret", "-"]].concat());
    let made: Value = serde_json::from_str(&succeeded(&output, &create)).unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(made["hookUrl"].as_str().unwrap()), "{told}");
    assert!(told.contains("CopeCart") && !told.contains("zqxsecret"), "{told}");
    assert!(made["hookUrl"].as_str().unwrap().ends_with("/-/hooks/shop"), "{made}");
    assert_eq!(made["secrets"].as_array().unwrap().len(), 1);

    let changed = cli.json(&["source", "update", "shop", "--registrant-links"]);
    assert_eq!(changed["registrantLinks"], true);
    let changed = cli.json(&["source", "update", "shop", "--title", "Our shop", "--keep-emails"]);
    assert_eq!((&changed["title"], &changed["keepEmails"]), (&"Our shop".into(), &true.into()));
    assert_eq!(changed["programmeId"], "copecart", "what is not given stays");
    assert_eq!(cli.json(&["source", "show", "shop"]), changed);

    let rotate = ["source", "rotate-secret", "shop", "--new-secret", "--keep-old-hours", "2"];
    let output = cli.feed("", &rotate);
    let rotated: Value = serde_json::from_str(&succeeded(&output, &rotate)).unwrap();
    assert_eq!(rotated["secrets"].as_array().unwrap().len(), 2);
    let told = String::from_utf8(output.stderr).unwrap();
    let new = told.lines().map(str::trim).find(|line| line.len() == 64).unwrap();
    assert!(!rotated.to_string().contains(new), "{told}");
    assert_eq!(cli.lines(&["source", "list", "--json"]), [rotated]);
    let table = cli.text(&["source", "list"]);
    assert!(table.contains("shop") && table.contains("enabled"), "{table}");

    assert!(cli.refused(&["source", "rotate-secret", "shop"]).contains("--secret"));
    let none = cli.refused(&["source", "create", "x", "--preset", "none"]);
    assert!(none.contains("source.preset") && none.contains("copecart"), "{none}");
    assert!(cli.refused(&["source", "show", "none"]).contains("does not exist"));
}

async fn deliveries(cli: &Cli, base: &str) {
    // The tool signs nothing: a secret is made, and its URL is told once.
    let create =
        ["source", "create", "tool", "--preset", "generic-webinar", "--webinar", "a=b=launch"];
    let output = cli.feed("", &create);
    let made: Value = serde_json::from_str(&succeeded(&output, &create)).unwrap();
    assert_eq!(made["webinars"][0]["externalId"], "a=b");
    let told = String::from_utf8(output.stderr).unwrap();
    let url = told.lines().map(str::trim).find(|line| line.starts_with("http")).unwrap();
    let (_, secret) = url.split_once("/-/hooks/tool/").unwrap();

    let body = hooks::registration("r1", "jane@people.example", "max");
    let path = format!("tool/{secret}");
    let status = hooks::post(&hooks::client(), base, &path, &body).await.unwrap();
    assert_eq!(status, 200);
    let parked = until("the registration is parked", async || {
        let mut parked = cli.lines(&["delivery", "list", "--state", "parked", "--json"]);
        parked.pop()
    })
    .await;
    assert_eq!(parked["problem"]["reason"], "WEBINAR_UNKNOWN");
    let id = parked["id"].as_str().unwrap();
    assert_eq!(cli.json(&["delivery", "show", id]), parked);
    assert_eq!(cli.text(&["delivery", "show", id, "--body"]), body.to_string());
    let table = cli.text(&["delivery", "list", "--source", "tool"]);
    assert!(table.contains("WEBINAR_UNKNOWN") && !table.contains("jane"), "{table}");
    assert!(cli.text(&["delivery", "replay", id]).contains("parked"));
    let again = cli.lines(&["delivery", "replay", "--parked", "--source", "tool", "--json"]);
    assert_eq!((again.len(), &again[0]["id"]), (1, &parked["id"]));
    assert_eq!(
        cli.lines(&["delivery", "replay", "--parked", "--source", "shop", "--json"]).len(),
        0
    );

    // A webinar that is named is enough.
    cli.json(&["source", "update", "tool", "--webinar", "launch"]);
    until("the registration is taken", async || {
        let mapped = cli.lines(&["delivery", "list", "--state", "mapped", "--json"]);
        (mapped.len() == 1 && mapped[0]["kind"] == "registration").then_some(())
    })
    .await;
    let attendees = cli.lines(&["attendee", "list", "--webinar", "launch", "--json"]);
    assert_eq!(attendees.len(), 1);
    assert!(cli.refused(&["delivery", "show", "none"]).contains("UUID"));
}
