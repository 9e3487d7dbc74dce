//! `import` into a running instance, and `audit` without one.

use std::{fs, path::PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::{Cli, command, failed, succeeded};
use crate::support::{Composition, System, campaign};

/// Files to import.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

/// Everything that could have changed.
fn records(cli: &Cli) -> [Vec<Value>; 3] {
    let list = |kind: &str| cli.lines(&[kind, "list", "--limit", "0", "--json"]);
    ["attendee", "sale", "affiliate"].map(list)
}

/// What an import says of its rows: new, known, left out, rejected. Fails where a row was rejected.
fn import(cli: &Cli, arguments: &[&str]) -> [u64; 4] {
    let output = cli.feed("", &[&["import"], arguments, &["--json"]].concat());
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!complaint.contains('@'), "{complaint}");
    let result: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{complaint}"));
    let counts =
        ["new", "known", "left_out", "rejected"].map(|name| result[name].as_u64().unwrap());
    assert_eq!(result["rows"], counts.iter().sum::<u64>());
    assert_eq!(output.status.success(), counts[3] == 0, "{complaint}");
    counts
}

const REGISTRATIONS: &str = "\u{feff}Vorname;E-Mail;Anmeldedatum;Partner;Teilnehmer-ID;Termin\n\
    Jane;jane@people.example;01.11.2025 10:00;max;r-1;s1\n\
    Jürgen;juergen@people.example;01.11.2025 11:00;anna;r-2;s1\n\
    Kim;kim@people.example;01.11.2025 12:00;*|AFF|*;;s1\n\
    Lee;lee;01.11.2025 12:00;max;r-4;s1\n\
    \n\
    Sam;sam@people.example;32.11.2025 12:00;max;r-5;s1\n\
    ;;01.11.2025 12:00;max;;s1\n\
    Eve;eve@people.example;01.11.2025 13:00;max;eve@people.example;s1\n";

#[tokio::test(flavor = "multi_thread")]
async fn registrations_are_imported_once_and_rejected_rows_named() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    let files = Files::new();
    let file = files.write("registrations.csv", REGISTRATIONS);
    let before = records(&cli);
    let arguments = ["registrations", &file, "--webinar", "launch"];
    // What the file does not show has to be said.
    let complaint = cli.refused(&[&["import"], &arguments[..]].concat());
    assert!(complaint.contains("--time-zone"), "{complaint}");
    let rejected = files.path("rejected.csv");
    let rejected = ["--rejected", rejected.to_str().unwrap()];
    let arguments =
        [&arguments[..], &["--time-zone", "Europe/Berlin", "--source", "tool"], &rejected].concat();
    assert_eq!(import(&cli, &[&arguments[..], &["--dry-run"]].concat()), [4, 0, 0, 3]);
    assert_eq!(records(&cli), before);

    assert_eq!(import(&cli, &arguments), [4, 0, 0, 3]);
    let named = "Vorname,E-Mail,Anmeldedatum,Partner,Teilnehmer-ID,Termin,line,problem\n\
        Lee,lee,01.11.2025 12:00,max,r-4,s1,5,email: is not an e-mail address\n\
        Sam,sam@people.example,32.11.2025 12:00,max,r-5,s1,7,registered_at: is not a date that can be read\n\
        ,,01.11.2025 12:00,max,,s1,8,\"email: is empty, and there is no ID that would tell who it is\"\n";
    let mut lines: Vec<String> =
        files.read("rejected.csv").lines().map(ToOwned::to_owned).collect();
    lines[1..].sort_unstable_by_key(|line| !line.starts_with("Lee"));
    assert_eq!(lines.join("\n") + "\n", named);
    let jane = cli.json(&["attendee", "show", "--key", "tool//r-1"]);
    assert_eq!(jane["touches"][0]["affiliateId"], "max");
    assert_eq!(jane["registrations"][0]["registeredAt"], "2025-11-01T09:00:00Z");
    assert_eq!(jane["registrations"][0]["sessionId"], "s1");
    // An address is no ID.
    let attendees = records(&cli)[0].len();
    assert_eq!(attendees, 4);
    let eve =
        cli.json(&["attendee", "show", "--webinar", "launch", "--email", "eve@people.example"]);
    let id = eve["registrations"][0]["key"]["externalId"].as_str().unwrap();
    assert!(id.starts_with("content-"), "{id}");

    // Again, in another order and encoding: nothing changes.
    let after = records(&cli);
    let mut lines: Vec<&str> = REGISTRATIONS.trim_start_matches('\u{feff}').lines().collect();
    lines[1..].reverse();
    let windows_1252: Vec<u8> =
        lines.join("\r\n").chars().map(|c| u8::try_from(c).unwrap()).collect();
    files.write("registrations.csv", windows_1252);
    assert_eq!(import(&cli, &arguments), [0, 4, 0, 3]);
    assert_eq!(records(&cli), after);

    // The mended rows are all that is missing.
    let mended = files.read("rejected.csv").replace(",lee,", ",lee@people.example,");
    let mended = files.write("mended.csv", mended.replace("32.11", "30.11"));
    let arguments = ["registrations", &mended, "--webinar", "launch", "--source", "tool"];
    let arguments = [&arguments[..], &["--time-zone", "Europe/Berlin"]].concat();
    assert_eq!(import(&cli, &arguments), [2, 0, 0, 1]);
    assert_eq!(records(&cli)[0].len(), 6);
}

const SALES: &str = "\
order_id,order_date,product_id,buyer_email,affiliate,transaction_id,transaction_type,transaction_amount,transaction_currency,payment_status,is_upsell
A1,2025-11-03 10:00,ext-course,jane@people.example,max,t1,sale,497.00,EUR,paid,false
A1,2025-11-03 10:00,ext-path,jane@people.example,max,t2,sale,47.00,EUR,paid,true
A2,2025-11-03 11:00,ext-course,Juergen@people.example,,t3,sale,\"1,497.00\",EUR,paid,false
A2,2025-11-05 11:00,ext-course,juergen@people.example,,t4,refund,97.00,EUR,paid,false
A3,2025-11-03 12:00,ext-course,stranger@people.example,,t5,sale,497.00,EUR,pending,false
A4,2025-11-03 12:00,ext-course,stranger@people.example,,t6,sale,497.00,EUR,test_paid,false
A5,2025-11-03 12:00,unheard-of,stranger@people.example,eva,t7,sale,497,JPY,paid,false
A6,2025-11-03 12:00,ext-course,kim@people.example,,t8,sale,4.975,EUR,paid,false
A7,2025-11-03 12:00,ext-course,kim@people.example,,t9,sale,10.00,EUR,refunded,false
";

#[tokio::test(flavor = "multi_thread")]
async fn sales_are_imported_with_their_money_and_decided() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    let files = Files::new();
    let registrations = files.write("registrations.csv", REGISTRATIONS);
    let zone = ["--time-zone", "UTC"];
    let arguments = ["registrations", &registrations, "--webinar", "launch"];
    assert_eq!(import(&cli, &[&arguments[..], &zone].concat()), [4, 0, 0, 3]);

    let file = files.write("sales.csv", SALES);
    let arguments = ["sales", &file, "--programme", "copecart", "--source", "checkout"];
    let arguments = [&arguments[..], &zone].concat();
    let before = records(&cli);
    assert_eq!(import(&cli, &[&arguments[..], &["--dry-run"]].concat()), [6, 0, 2, 1]);
    assert_eq!(records(&cli), before);
    assert_eq!(import(&cli, &arguments), [6, 0, 2, 1]);
    let after = records(&cli);
    assert_eq!(import(&cli, &arguments), [0, 6, 2, 1]);
    assert_eq!(records(&cli), after);

    let sale = |order: &str, item: &str| {
        let sales = after[1].iter();
        let mut sales = sales.filter(|sale| {
            sale["order"]["externalId"] == order && sale["item"]["externalId"] == item
        });
        sales.next().unwrap_or_else(|| panic!("no {order}/{item}")).clone()
    };
    let first = sale("A1", "ext-course");
    assert_eq!(first["decision"]["affiliateId"], "max");
    assert_eq!(first["decision"]["credit"], "CREDIT_AGREED");
    assert_eq!(first["order"]["orderedAt"], "2025-11-03T10:00:00Z");
    let upsell = sale("A1", "ext-path");
    assert_eq!(upsell["decision"]["basis"], "DECISION_BASIS_INHERITED");
    let owed = sale("A2", "ext-course");
    assert_eq!(owed["decision"]["affiliateId"], "anna");
    assert_eq!(owed["decision"]["credit"], "CREDIT_OWED");
    assert_eq!(owed["payments"][0]["amount"]["minorUnits"], "149700");
    assert_eq!(owed["reversals"][0]["kind"], "REVERSAL_KIND_REFUND");
    assert_eq!(owed["reversals"][0]["amount"]["minorUnits"], "9700");
    let waiting = sale("A5", "unheard-of");
    assert!(waiting["decision"].is_null(), "{waiting}");
    assert_eq!(waiting["payments"][0]["amount"]["minorUnits"], "497");
    let back = sale("A7", "ext-course");
    assert_eq!(back["reversals"][0]["amount"], back["payments"][0]["amount"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_become_payable() {
    let mut system = System::start(Composition::AllInOne).await;
    let clients = campaign::load(&system).await;
    // Heard of, and not entered.
    campaign::register(&clients, campaign::registration("jane", "eva")).await.unwrap();
    let cli = Cli::of(&mut system);
    let files = Files::new();
    let partners = "Benutzername\tVorname\tNachname\tE-Mail\tGutschein\n\
        max\tMax\tMuster\tmax@partner.example\tMAX10\n\
        eva\tEva\tBeispiel\t\t\n\
        new\tNeu\t\t\t\n\
        not one\tNot\tOne\t\t\n";
    let utf16: Vec<u8> =
        format!("\u{feff}{partners}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = files.write("partners.txt", utf16);
    let arguments = ["partners", &file, "--programme", "copecart"];
    assert_eq!(import(&cli, &arguments), [3, 0, 0, 1]);
    let after = records(&cli);
    assert_eq!(import(&cli, &arguments), [0, 3, 0, 1]);
    assert_eq!(records(&cli), after);
    for (id, title) in [("max", "Max Muster"), ("eva", "Eva Beispiel"), ("new", "Neu")] {
        let partner = cli.json(&["affiliate", "show", "copecart", id]);
        assert_eq!((&partner["confirmed"], &partner["title"]), (&true.into(), &title.into()));
    }
    let max = cli.json(&["affiliate", "show", "copecart", "max"]);
    assert_eq!((&max["couponCodes"][0], &max["hasEmail"]), (&"MAX10".into(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_arrive_all_and_once() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    let files = Files::new();
    let row = |n| format!("p{n}@people.example,2025-11-01T10:00:00Z,max\n");
    let mut text = "email,registered_at,affiliate\n".to_owned();
    text.extend((0..3_000).map(row));
    // Each of them in another spelling, too.
    text +=
        &text.replace("email,registered_at,affiliate\n", "").to_uppercase().replace("MAX", "max");
    let file = files.write("registrations.csv", &text);
    let arguments = ["registrations", &file, "--webinar", "launch"];
    assert_eq!(import(&cli, &arguments), [3_000, 3_000, 0, 0]);
    assert_eq!(records(&cli)[0].len(), 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_row_could_be_taken_for_is_said_before_the_first() {
    let mut system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let cli = Cli::of(&mut system);
    let files = Files::new();
    let file = files.write("rows.csv", "colour,size\nred,5\n");
    let missing = files.path("missing.csv");
    let missing = missing.to_str().unwrap();
    for (arguments, named) in [
        (vec!["registrations", &file, "--webinar", "nothing"], "nothing"),
        (vec!["registrations", &file, "--webinar", "launch"], "colour, size"),
        (vec!["registrations", missing, "--webinar", "launch"], "missing.csv"),
        (vec!["sales", &file, "--programme", "nothing"], "nothing"),
        (vec!["sales", &file, "--programme", "copecart", "--map", "order=size"], "product"),
        (vec!["partners", &file, "--programme", "copecart", "--map", "what=size"], "what"),
    ] {
        let complaint = cli.refused(&[&["import"], &arguments[..]].concat());
        assert!(complaint.contains(named), "{arguments:?}: {complaint}");
    }
    let nowhere = Cli {
        grpc: "http://127.0.0.1:9".to_owned(),
        registry: "http://127.0.0.1:9".to_owned(),
        rendering: "http://127.0.0.1:9".to_owned(),
    };
    let arguments = ["import", "partners", &file, "--programme", "copecart"];
    assert!(nowhere.refused(&arguments).contains("does not answer"));
}

#[test]
fn an_audit_needs_two_files_and_nothing_else() {
    let files = Files::new();
    let registrations = files.write("registrations.csv", REGISTRATIONS);
    let orders = files.write("orders.csv", SALES);
    let (page, list) = (files.path("audit.html"), files.path("audit.csv"));
    let arguments = [
        "audit",
        &registrations,
        &orders,
        "--html",
        page.to_str().unwrap(),
        "--csv",
        list.to_str().unwrap(),
        "--time-zone",
        "UTC",
    ];
    let text = succeeded(&command().args(arguments).output().unwrap(), &arguments);
    assert!(text.starts_with("Owed to affiliates: "), "{text}");
    for printed in [text, files.read("audit.html"), files.read("audit.csv")] {
        assert!(printed.contains("A2") && printed.contains("anna"), "{printed}");
        assert!(!printed.contains("@people"), "{printed}");
    }
    let arguments = ["audit", &registrations, &orders, "--json", "--time-zone", "UTC"];
    let report = succeeded(&command().args(arguments).output().unwrap(), &arguments);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["missing"]["sales"], 1);
    let arguments = ["audit", &orders, &registrations];
    let complaint = failed(&command().args(arguments).output().unwrap(), 1, &arguments);
    assert!(complaint.contains("no column for"), "{complaint}");
}
