//! `create`, `list`, `show` and `update` of everything that is configured.

use serde_json::Value;

use super::Cli;
use crate::support::{Composition, System, campaign};

/// The IDs of records, as listed.
fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_is_made_listed_shown_and_changed() {
    for composition in [Composition::AllInOne, Composition::Separate] {
        let mut system = System::start(composition).await;
        let cli = Cli::of(&mut system);
        programmes_and_affiliates(&cli);
        products_and_webinars(&cli);
        // And the redirect lives by it.
        campaign::known(&system.clients(), "course").await;
        let resolved = cli.json(&["links", "resolve", "/course/p/max/?sub1=mail"]);
        assert_eq!(resolved["location"], "https://pages.example/?a=max&sub1=mail");
        let resolved = cli.json(&["links", "resolve", "/nothing/p/max/"]);
        assert_eq!(resolved["status"], 404);
    }
}

fn programmes_and_affiliates(cli: &Cli) {
    let made = cli.json(&[
        "programme",
        "create",
        "copecart",
        "--platform",
        "copecart",
        "--title",
        "CopeCart",
    ]);
    assert_eq!((&made["id"], &made["title"]), (&"copecart".into(), &"CopeCart".into()));
    let changed = cli.json(&["programme", "update", "copecart", "--title", "Another"]);
    assert_eq!((&changed["title"], &changed["platform"]), (&"Another".into(), &"copecart".into()));
    assert_eq!(cli.json(&["programme", "show", "copecart"]), changed);
    assert_eq!(cli.lines(&["programme", "list", "--json"]), [changed]);

    for id in ["max", "anna", "ads"] {
        cli.json(&[
            "affiliate",
            "create",
            "copecart",
            id,
            "--title",
            id,
            "--coupon",
            &id.to_uppercase(),
        ]);
    }
    let changed = cli.json(&["affiliate", "update", "copecart", "max", "--confirmed"]);
    assert_eq!((&changed["confirmed"], &changed["title"]), (&true.into(), &"max".into()));
    assert_eq!(changed["couponCodes"], serde_json::json!(["MAX"]));
    let changed = cli.json(&["affiliate", "update", "copecart", "max", "--confirmed", "false"]);
    assert_eq!(changed["confirmed"], false);
    assert_eq!(cli.json(&["affiliate", "show", "copecart", "max"]), changed);
    cli.json(&["affiliate", "suspend", "copecart", "ads", "--reason", "a test"]);
    assert!(
        cli.refused(&["affiliate", "suspend", "copecart", "ads", "--reason", "again"])
            .contains("suspended")
    );
    assert!(cli.text(&["affiliate", "list"]).contains("suspended"));
    let reinstated = cli.json(&["affiliate", "reinstate", "copecart", "ads"]);
    assert!(reinstated["suspensions"][0]["endsAt"].is_string(), "{reinstated}");
    let listed = cli.lines(&["affiliate", "list", "--programme", "copecart", "--json"]);
    assert_eq!(ids(&listed), ["ads", "anna", "max"]);
    assert_eq!(ids(&cli.lines(&["affiliate", "list", "--limit", "2", "--json"])), ["ads", "anna"]);
    assert_eq!(
        ids(&cli.lines(&["affiliate", "list", "--limit", "0", "--json"])),
        ["ads", "anna", "max"]
    );
}

fn products_and_webinars(cli: &Cli) {
    let checkout = "https://checkout.example/course?a={affiliate}&r={reference}";
    let made = cli.json(&[
        "product",
        "create",
        "course",
        "--programme",
        "copecart",
        "--checkout",
        checkout,
        "--external-id",
        "ext-1",
        "--window-days",
        "30",
    ]);
    assert_eq!(made["checkout"]["withAffiliate"], checkout);
    let page = "https://pages.example/?a={affiliate}";
    let changed = cli.json(&[
        "product",
        "update",
        "course",
        "--sales-page",
        page,
        "--model",
        "first",
        "--cookie",
        "never",
    ]);
    assert_eq!(changed["checkout"], made["checkout"], "what is not given stays");
    assert_eq!(changed["policy"]["window"], made["policy"]["window"]);
    assert_eq!(changed["policy"]["model"], "TOUCH_MODEL_FIRST");
    assert_eq!(changed["salesPage"]["withAffiliate"], page);
    assert_eq!(cli.json(&["product", "show", "course"]), changed);
    assert_eq!(cli.lines(&["product", "list", "--json"]), [changed]);
    assert!(cli.text(&["product", "list"]).contains(page));

    cli.json(&["webinar", "create", "launch", "--offers", "course", "--title", "Launch"]);
    let changed = cli.json(&[
        "webinar",
        "update",
        "launch",
        "--promotes",
        "course",
        "--ends",
        "2030-12-31T23:59:59+01:00",
    ]);
    assert_eq!(changed["offersProductIds"], serde_json::json!(["course"]));
    assert_eq!(changed["campaignEndsAt"], "2030-12-31T22:59:59Z");
    assert_eq!(cli.json(&["webinar", "show", "launch"]), changed);
    assert_eq!(cli.lines(&["webinar", "list", "--json"]), [changed]);
    rooms_and_forms(cli);
}

fn rooms_and_forms(cli: &Cli) {
    let update =
        |settings: &[&str]| cli.json(&[&["webinar", "update", "launch"], settings].concat());
    let changed = update(&["--room", campaign::ROOM]);
    assert_eq!(changed["roomUrl"], campaign::ROOM);
    let page = "https://www.example.com";
    assert_eq!(changed["form"], Value::Null, "off by default");
    let changed = update(&["--form-key", "launch-1", "--form-origin", page, "--form-keep-emails"]);
    let form = &changed["form"];
    assert_eq!((&form["key"], &form["keepEmails"]), (&"launch-1".into(), &true.into()));
    assert_eq!(form["allowedOrigins"], serde_json::json!([page]));
    let changed = update(&["--form-thank-you", "https://www.example.com/thanks"]);
    assert_eq!(changed["form"]["key"], "launch-1", "what is not given stays");
    let changed = update(&["--form-key", ""]);
    assert_eq!((&changed["form"], &changed["roomUrl"]), (&Value::Null, &campaign::ROOM.into()));
    let refused = cli.refused(&["webinar", "update", "launch", "--form-key", "launch-1"]);
    assert!(refused.contains("webinar.form.allowed_origins"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_by_name_and_changes_nothing() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    let records = || {
        ["programme", "affiliate", "product", "webinar", "attendee", "sale"]
            .map(|kind| cli.text(&[kind, "list", "--json"]))
    };
    let before = records();
    let create = ["product", "create", "new", "--programme", "copecart", "--checkout"];
    let checkout = |url: &'static str| [&create[..], &[url]].concat();
    let long = "x".repeat(65);
    let long_url = format!("https://checkout.example/{}", "x".repeat(10_000));
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (vec!["programme", "create", "cope cart"], "programme.id"),
        (vec!["programme", "create", &long], "programme.id"),
        (vec!["programme", "create", "--", "-x"], "programme.id"),
        (vec!["programme", "create", "copecart"], "copecart exists"),
        (vec!["programme", "show", "nothing"], "nothing"),
        (vec!["affiliate", "create", "copecart", "max/anna"], "affiliate.id"),
        (vec!["affiliate", "create", "nothing", "max"], "nothing"),
        (vec!["affiliate", "create", "copecart", "new", "--email", "no-address"], "emails"),
        (checkout("javascript:alert(1)"), "checkout"),
        (checkout("https://user:word@checkout.example/"), "checkout"),
        (checkout("https://{affiliate}.example/"), "checkout"),
        (checkout("{affiliate}://checkout.example/"), "checkout"),
        (checkout("https://checkout.example/\u{1}"), "checkout"),
        (checkout("https://checkout.example/{nothing}"), "checkout"),
        (checkout("/relative"), "checkout"),
        ([&create[..], &[&long_url]].concat(), "checkout"),
        (vec!["product", "create", "new", "--programme", "copecart"], "checkout"),
        (vec!["webinar", "create", "new", "--offers", "nothing"], "nothing"),
        (vec!["attendee", "register", "launch"], "request_id"),
        (vec!["attendee", "register", "launch", "--key", "a//b", "--email", "no-address"], "email"),
        (vec!["attendee", "register", "nothing", "--key", "a//b"], "nothing"),
        (vec!["attendee", "show", "--id", "no-uuid"], "attendee_id"),
        (
            vec![
                "sale",
                "report",
                "copecart",
                "1",
                "--product",
                "course",
                "--paid",
                "100XYZ",
                "--transaction",
                "t",
            ],
            "currency",
        ),
        (
            vec![
                "sale",
                "report",
                "copecart",
                "1",
                "--product",
                "course",
                "--paid",
                "1000000000000001EUR",
                "--transaction",
                "t",
            ],
            "minor_units",
        ),
        (vec!["sale", "show", "no-uuid"], "item_id"),
        (
            vec![
                "sale",
                "assign",
                "0193a5b2-0000-7000-8000-000000000000",
                "--affiliate",
                "max",
                "--author",
                "kim",
                "--reason",
                "r",
            ],
            "sale",
        ),
        (vec!["links", "render", "nothing", "--key", "a//b"], "a"),
        (vec!["links", "qr", "course", "--key", "a//b", "--output", "x.gif"], "--output"),
    ];
    for (arguments, named) in cases {
        let complaint = cli.refused(&arguments);
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
        assert!(!complaint.contains("no-address"), "{complaint}");
    }
    assert_eq!(records(), before);
}
