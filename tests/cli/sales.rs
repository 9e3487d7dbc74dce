//! Attendees, links and sales.

use super::{Cli, failed, succeeded};
use crate::support::{Composition, System, campaign, until};

#[tokio::test(flavor = "multi_thread")]
async fn people_are_registered_shown_exported_and_erased() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    // From standard input, so that no process list shows the address.
    let register = [
        "attendee",
        "register",
        "launch",
        "--email",
        "-",
        "--keep-email",
        "--affiliate",
        "max",
        "--key",
        "zoom/81234/r-1",
        "--session",
        "monday",
        "--at",
        "2026-02-03T18:00:00+01:00",
    ];
    let address = "Jane@People.example\n";
    let printed = succeeded(&cli.feed(address, &register), &register);
    let jane: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let id = jane["id"].as_str().unwrap();
    assert_eq!(jane["registrations"][0]["registeredAt"], "2026-02-03T17:00:00Z");
    let again = succeeded(&cli.feed(address, &register), &register);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&again).unwrap(), jane);
    let by_key = cli.json(&["attendee", "show", "--key", "zoom/81234/r-1"]);
    assert_eq!(by_key, jane);
    assert_eq!(cli.json(&["attendee", "show", "--id", id]), jane);
    let by_email = ["attendee", "show", "--webinar", "launch", "--email", "-"];
    let shown = succeeded(&cli.feed(address, &by_email), &by_email);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), jane);
    let listed = cli.lines(&["attendee", "list", "--webinar", "launch", "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["id"], id);
    assert!(cli.text(&["attendee", "list"]).contains("known"));

    let exported = cli.json(&["attendee", "export", "--id", id]);
    assert_eq!(exported["email"], "jane@people.example");
    let unsure = ["attendee", "erase", "--id", id];
    assert!(failed(&cli.feed("", &unsure), 2, &unsure).contains("--yes"));
    let erased = cli.json(&["attendee", "erase", "--id", id, "--yes"]);
    assert!(erased["erasedAt"].is_string(), "{erased}");
    assert_eq!(erased["hasEmail"], false);
    assert_eq!(cli.json(&["attendee", "export", "--id", id])["email"], "");
    let gone = failed(&cli.feed(address, &by_email), 1, &by_email);
    assert!(!gone.to_lowercase().contains("people.example"), "{gone}");
    assert!(cli.text(&["attendee", "list"]).contains("erased"));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_rendered_exported_filled_in_and_drawn() {
    let mut system = System::start(Composition::AllInOne).await;
    let clients = campaign::load(&system).await;
    for (id, affiliate) in [("jane", "max"), ("john", "anna"), ("joan", "")] {
        campaign::register(&clients, campaign::registration(id, affiliate)).await.unwrap();
    }
    let cli = Cli::of(&mut system);
    let key = ["--key", "tool/launch-1/jane"];
    let render = [&["links", "render", "course"][..], &key].concat();
    let url = cli.text(&render).trim().to_owned();
    assert!(url.starts_with(&format!("{}/course/p/max/buy/", system.http())), "{url}");
    let rendered = cli.json(&[&render[..], &["--json"]].concat());
    assert_eq!((&rendered["url"], &rendered["affiliateId"]), (&url.clone().into(), &"max".into()));
    let path = campaign::path_of(&url);
    let resolved = cli.json(&["links", "resolve", &path]);
    assert_eq!((&resolved["affiliateId"], &resolved["decided"]), (&"max".into(), &true.into()));
    let joan = ["links", "render", "course", "--key", "tool/launch-1/joan", "--fallback", "anna"];
    assert!(cli.text(&joan).contains("/course/p/anna/buy/"));

    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    cli.text(&["links", "export", "launch", "course", "--output", &file("links.csv")]);
    let exported = std::fs::read_to_string(file("links.csv")).unwrap();
    assert_eq!(exported, cli.text(&["links", "export", "launch", "course"]));
    let mut rows: Vec<&str> = exported.lines().collect();
    assert_eq!(rows.remove(0), "attendee,source,external_webinar,external_id,affiliate,url");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().any(|row| row.ends_with(&format!(",tool,launch-1,jane,max,{url}"))));
    assert!(rows.iter().any(|row| row.contains(",joan,,") && row.contains("/course/buy/")));

    let message = [&["links", "message", "-", "--format", "html"][..], &key].concat();
    let body = "<a href=\"{{purchase_link:course}}\">{{affiliate:course}}</a> {{name}}";
    let filled = succeeded(&cli.feed(body, &message), &message);
    assert_eq!(filled, format!("<a href=\"{url}\">max</a> {{{{name}}}}"));
    std::fs::write(file("mail.txt"), "{{purchase_link:nothing}}").unwrap();
    let refused = cli.refused(
        &[&["links", "message", &file("mail.txt"), "--format", "text"][..], &key].concat(),
    );
    assert!(refused.contains("body"), "{refused}");

    for (name, begins) in [("code.svg", &b"<svg"[..]), ("code.png", b"\x89PNG\r\n")] {
        let path = file(name);
        let drawn = cli.text(&[&["links", "qr", "course", "--output", &path][..], &key].concat());
        assert_eq!(drawn.trim(), url);
        assert!(std::fs::read(path).unwrap().starts_with(begins), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_are_reported_explained_assigned_and_reversed() {
    let mut system = System::start(Composition::AllInOne).await;
    let clients = campaign::load(&system).await;
    campaign::register(&clients, campaign::registration("jane", "max")).await.unwrap();
    let token = campaign::purchase_link(&clients, "jane").await.token;
    let cli = Cli::of(&mut system);
    let report = [
        "sale",
        "report",
        "copecart",
        "order-1",
        "--source",
        "checkout",
        "--product",
        "course",
        "--reference",
        &token,
        "--platform-affiliate",
        "max",
        "--paid",
        "49700EUR",
        "--transaction",
        "tr-1",
    ];
    let sale = cli.json(&report);
    let id = sale["item"]["id"].as_str().unwrap();
    assert_eq!(sale["decision"]["credit"], "CREDIT_AGREED");
    assert_eq!(sale["decision"]["carriedBy"], "CARRIED_BY_TOKEN");
    assert_eq!(cli.json(&report)["payments"], sale["payments"], "reported twice, paid once");
    assert_eq!(cli.json(&["sale", "show", id])["item"], sale["item"]);
    let owed = [
        "sale",
        "report",
        "copecart",
        "order-2",
        "--source",
        "checkout",
        "--product",
        "course",
        "--email",
        "-",
        "--platform-affiliate",
        "",
    ];
    let printed = succeeded(&cli.feed("jane@people.example\n", &owed), &owed);
    assert!(printed.contains("CREDIT_OWED") && !printed.contains("people.example"), "{printed}");

    let explained = cli.text(&["sale", "explain", id]);
    assert!(explained.contains("max") && explained.contains("497.00 EUR"), "{explained}");
    let explained = cli.json(&["sale", "explain", id, "--json"]);
    assert_eq!(explained["decisions"][0]["touches"][0]["verdict"], "VERDICT_WON");

    let listed = cli.lines(&["sale", "list", "--credit", "agreed", "--json"]);
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["item"]["id"], id);
    assert_eq!(cli.lines(&["sale", "list", "--json"]).len(), 2);
    let filters = ["sale", "list", "--programme", "copecart", "--affiliate", "anna", "--json"];
    assert_eq!(cli.lines(&filters).len(), 0);
    assert!(cli.text(&["sale", "list"]).contains("agreed"));

    let assign = [
        "sale",
        "assign",
        id,
        "--affiliate",
        "anna",
        "--author",
        "kim",
        "--reason",
        "recommended on the phone",
    ];
    let assigned = cli.json(&assign);
    assert_eq!(assigned["decision"]["affiliateId"], "anna");
    assert_eq!(assigned["decision"]["credit"], "CREDIT_MISMATCH");
    let explained = cli.text(&["sale", "explain", id]);
    assert!(explained.contains("kim") && explained.contains("recommended on the phone"));
    assert_eq!(cli.lines(&filters).len(), 1);

    reverse(&cli);
}

fn reverse(cli: &Cli) {
    let reverse = [
        "sale",
        "reverse",
        "checkout",
        "order-1",
        "course",
        "--kind",
        "refund",
        "--amount",
        "49700EUR",
        "--transaction",
        "tr-2",
    ];
    assert_eq!(cli.json(&reverse)["reversals"].as_array().unwrap().len(), 1);
    assert_eq!(cli.json(&reverse)["reversals"].as_array().unwrap().len(), 1);
    let early = [
        "sale",
        "reverse",
        "checkout",
        "order-9",
        "course",
        "--kind",
        "chargeback",
        "--amount",
        "1JPY",
        "--transaction",
        "tr-3",
    ];
    assert!(cli.text(&early).contains("not been reported yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_are_listed() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    system.phone().open("/ticket/p/max/?sub1=mail").await;
    until("the click is listed", async || {
        let clicks = cli.lines(&["click", "list", "--product", "ticket", "--json"]);
        (clicks.len() == 1 && clicks[0]["affiliateId"] == "max").then_some(())
    })
    .await;
}
