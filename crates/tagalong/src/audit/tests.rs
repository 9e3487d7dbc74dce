use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use clap::Parser as _;
use jiff::tz::TimeZone;
use tagalong_attribution::credit::Credit;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn audited(directory: &Path, registrations: &str, orders: &str, more: &[&str]) -> Report {
    let files = [("registrations.csv", registrations), ("orders.csv", orders)];
    let paths = files.map(|(name, text)| {
        let path = directory.join(name);
        fs::write(&path, text).unwrap();
        path
    });
    let named = paths.iter().map(|path| path.to_str().unwrap());
    let arguments = ["audit"]
        .into_iter()
        .chain(named)
        .chain(["--time-zone", "UTC"])
        .chain(more.iter().copied());
    let args = Cli::parse_from(arguments).args;
    let open = |path, layout, mappings| Sheet::open(path, layout, mappings, &args.reading).unwrap();
    let registrations = open(&args.registrations, &REGISTRATIONS, &args.map_registrations);
    let orders = open(&args.orders, &SALES, &args.map_orders);
    args.report(&registrations, &orders).unwrap()
}

fn audit(registrations: &str, orders: &str, more: &[&str]) -> Report {
    audited(tempfile::tempdir().unwrap().path(), registrations, orders, more)
}

/// Order, whose it is, and how that relates to the platform's answer.
fn outcomes(report: &Report) -> BTreeMap<String, (String, Credit)> {
    let outcome = |sale: &report::Sale| {
        let name = format!("{}/{}", sale.order, sale.item);
        (name, (sale.affiliate.clone().unwrap_or_default(), sale.credit))
    };
    report.sales.iter().map(outcome).collect()
}

const REGISTRATIONS_OF_A_CAMPAIGN: &str = "\
E-Mail;Anmeldedatum;Partner
jane@example.com;01.11.2026 10:00;max
John@Example.com;01.11.2026 11:00;anna
kim@example.com;02.11.2026 11:00;max
lee@example.com;02.11.2026 12:00;
sam@example.com;02.11.2026 13:00;*|AFF|*
eve@example.com;02.11.2026 14:00;max
;02.11.2026 15:00;max
";

const ORDERS_OF_A_CAMPAIGN: &str = "\
Bestellnummer;Kaufdatum;Produkt;Käufer E-Mail;Vertriebspartner;Betrag;Währung;Status
A1;03.11.2026 10:00;kurs;JANE@example.com;max;1.497,00;EUR;bezahlt
A2;03.11.2026 11:00;kurs;john@example.com;;1.497,00;EUR;bezahlt
A3;03.11.2026 12:00;kurs;kim@example.com;eva;497,50;EUR;bezahlt
A4;03.11.2026 13:00;kurs;lee@example.com;;1.497,00;EUR;bezahlt
A5;03.11.2026 14:00;kurs;stranger@example.com;eva;1.497,00;EUR;bezahlt
A6;03.11.2026 15:00;kurs;eve@example.com;;1.497,00;EUR;erstattet
A7;03.11.2026 15:30;kurs;eve@example.com;;1.497,00;EUR;ausstehend
A8;bald;kurs;eve@example.com;;1.497,00;EUR;bezahlt
";

#[test]
fn a_campaign_is_audited() {
    let report = audit(REGISTRATIONS_OF_A_CAMPAIGN, ORDERS_OF_A_CAMPAIGN, &["--commission", "40"]);
    let expected = [
        ("A1/kurs", "max", Credit::Agreed),
        ("A2/kurs", "anna", Credit::Owed),
        ("A3/kurs", "max", Credit::Mismatch),
        ("A4/kurs", "", Credit::None),
        ("A5/kurs", "", Credit::PlatformOnly),
        ("A6/kurs", "max", Credit::Owed),
    ];
    let expected =
        expected.map(|(order, whose, credit)| (order.to_owned(), (whose.to_owned(), credit)));
    assert_eq!(outcomes(&report), BTreeMap::from(expected));
    // What was paid back is owed to nobody.
    assert_eq!((report.missing.sales, report.reversed), (2, 1));
    assert_eq!(report.missing.amounts.plain(), [("1994.50".to_owned(), "EUR".to_owned())]);
    let commission = report.missing.commission.as_ref().unwrap();
    assert_eq!(commission.plain(), [("797.80".to_owned(), "EUR".to_owned())]);
    let of_all = report.affiliates.iter().filter_map(|of| of.credits.missing().commission);
    let mut of_all_together = money::Amounts::default();
    of_all.for_each(|commission| of_all_together.add(&commission));
    assert_eq!(of_all_together, *commission, "the parts are the sum");
    assert_eq!(report.unmatched.sales, 1);
    let affiliates: Vec<&str> = report.affiliates.iter().map(|of| of.id.as_str()).collect();
    assert_eq!(affiliates, ["anna", "max", "eva"]);
    assert_eq!(report.affiliates[2].received_of_others.sales, 1);

    let text = terminal::text(&report, &TimeZone::UTC);
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(
        first.replace(['\u{202f}', '\u{a0}'], " "),
        "Owed to affiliates: 1 994.50 EUR in 2 sales"
    );
    for part in [
        "the platform credited nobody, because its checkout was opened without the affiliate",
        "the platform credited eva",
        "1 order row: nothing was paid",
        "1 order row that cannot be read: line 9: sold_at: is not a date that can be read",
        "1 registration: with a merge tag",
        "1 registration row that cannot be read: line 8: email",
        "sold_at = Kaufdatum",
        "90 days at most",
        "2026-11-03 11:00",
        "UTF-8, semicolon",
    ] {
        assert!(rest.contains(part), "no {part:?} in\n{text}");
    }
    assert!(!text.contains('@'), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["missing"]["amounts"][0]["minor_units"], 199_450);
    assert_eq!(json["sales"][0]["credit"], "owed");
}

#[test]
fn what_nobody_can_say_is_said() {
    let orders = "order,date,email,amount\nA1,2026-11-03,jane@example.com,497.00\n";
    let report = audit(REGISTRATIONS_OF_A_CAMPAIGN, orders, &[]);
    assert_eq!(outcomes(&report)["A1/"], ("max".to_owned(), Credit::Unreported));
    let text = terminal::text(&report, &TimeZone::UTC);
    assert!(text.starts_with("Brought by affiliates: 497.00 in 1 sale"), "{text}");
    assert!(text.contains("do not say whom the platform credited"), "{text}");

    let orders = "order,date,email,affiliate\nA1,2026-11-03,jane@example.com,MAX\n";
    let text = terminal::text(&audit(REGISTRATIONS_OF_A_CAMPAIGN, orders, &[]), &TimeZone::UTC);
    assert!(text.contains("upper and lower case only"), "{text}");
    assert!(text.contains("names compared with IDs"), "{text}");
}

#[test]
fn the_window_the_model_and_the_product_can_be_said() {
    let registrations = "email,registered_at,affiliate\n\
        jane@example.com,2026-11-01T10:00Z,max\njane@example.com,2026-11-02T10:00Z,anna\n";
    let orders = "order,product,date,email,affiliate,status\n\
        A1,course,2026-11-20T10:00Z,jane@example.com,,paid\n\
        A2,other,2026-11-20T10:00Z,jane@example.com,,paid\n";
    let whose = |more: &[&str]| {
        let outcomes = outcomes(&audit(registrations, orders, more));
        outcomes.into_iter().map(|(_, (whose, _))| whose).collect::<Vec<_>>()
    };
    assert_eq!(whose(&[]), ["anna", "anna"]);
    assert_eq!(whose(&["--model", "first"]), ["max", "max"]);
    assert_eq!(whose(&["--window-days", "18"]), ["anna", "anna"]);
    assert_eq!(whose(&["--window-days", "17"]), ["", ""]);
    assert_eq!(whose(&["--product", "course"]), ["anna"]);
    let undated = registrations.replace("registered_at", "note");
    let report = audit(&undated, orders, &["--registered-at", "2026-11-01T00:00:00Z"]);
    // Of one moment, the content decides.
    assert_eq!(outcomes(&report)["A1/course"].0, "anna");
}

#[test]
fn orders_inherit_and_circles_end() {
    let registrations = "email,registered_at,affiliate\njane@example.com,2026-11-01T10:00Z,max\n";
    let orders = "order,item,parent_order,date,email,affiliate,upsell\n\
        A1,main,,2026-11-03T10:00Z,jane@example.com,max,no\n\
        A1,extra,,2026-11-03T10:00Z,jane@example.com,,yes\n\
        A2,renewal,A1,2027-11-03T10:00Z,,,\n\
        A3,renewal,A2,2028-11-03T10:00Z,,,\n\
        A4,late,nowhere,2027-11-03T10:00Z,jane@example.com,,\n\
        C1,x,C2,2026-11-03T10:00Z,jane@example.com,,\n\
        C2,x,C1,2026-11-03T10:00Z,,,\n\
        C3,x,C1,2027-11-03T10:00Z,,,\n";
    let outcomes = outcomes(&audit(registrations, orders, &[]));
    for (sale, whose, credit) in [
        ("A1/main", "max", Credit::Agreed),
        ("A1/extra", "max", Credit::Owed),
        ("A2/renewal", "max", Credit::Owed),
        ("A3/renewal", "max", Credit::Owed),
        ("A4/late", "", Credit::None),
        ("C1/x", "max", Credit::Owed),
        ("C2/x", "", Credit::None),
        ("C3/x", "max", Credit::Owed),
    ] {
        assert_eq!(outcomes[sale], (whose.to_owned(), credit), "{sale}");
    }
}

#[test]
fn the_page_runs_nothing_and_asks_for_nothing() {
    let registrations = "email,registered_at,affiliate\njane@example.com,2026-11-01T10:00Z,max\n";
    let bad = "<script>alert(1)</script>\"'&";
    let quoted = bad.replace('"', "\"\"");
    let orders = format!(
        "order,product,date,email,affiliate\n\"{quoted}\",\"{quoted}\",2026-11-03T10:00Z,jane@example.com,\"{quoted}\"\n\
         =1+1,=1+1,2026-11-03T10:00Z,jane@example.com,=1+1\n"
    );
    let report = audit(registrations, &orders, &[]);
    let page = page::page(&report, &TimeZone::UTC);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    for forbidden in [
        "<script",
        "javascript:",
        "http:",
        "https:",
        "src=",
        "href=",
        "url(",
        "@import",
        "style=",
        "@example",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} in\n{page}");
    }
    assert!(
        page.contains("default-src &#39;none&#39;") || page.contains("default-src 'none'"),
        "{page}"
    );
    // The policy allows the one style there is.
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        <sha2::Sha256 as sha2::Digest>::digest(style.as_bytes()),
    );
    assert!(page.contains(&format!("sha256-{hash}")), "{page}");

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.csv");
    list::write(&report, &path).unwrap();
    let mut csv = csv::Reader::from_path(&path).unwrap();
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    let orders: Vec<&str> = rows.iter().map(|row| row.get(0).unwrap()).collect();
    assert_eq!(orders, [bad, "'=1+1"]);
    assert!(rows.iter().flatten().all(|text| !text.starts_with('=') && !text.contains('@')));
}

#[test]
fn no_answer_holds_an_address() {
    let orders = "order,product,date,email,affiliate\n\
        jane@example.com,jane@example.com,2026-11-03,jane@example.com,eva@example.com\n";
    let report = audit(REGISTRATIONS_OF_A_CAMPAIGN, orders, &[]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.csv");
    list::write(&report, &path).unwrap();
    for text in [
        terminal::text(&report, &TimeZone::UTC),
        page::page(&report, &TimeZone::UTC),
        fs::read_to_string(path).unwrap(),
        serde_json::to_string(&report).unwrap(),
    ] {
        assert!(!text.contains("@example"), "{text}");
    }
    assert_eq!(report.missing.sales, 1);
}

#[test]
fn per_cent_are_read_exactly() {
    for (text, expected) in [("40", 4_000), ("33.33", 3_333), ("12.5", 1_250), ("100", 10_000)] {
        assert_eq!(basis_points(text), Ok(expected));
    }
    for text in ["", "0", "-1", "101", "1.234", "4O", "."] {
        assert!(basis_points(text).is_err(), "{text}");
    }
}

/// A generated business, and an answer worked out from it in the plainest way.
mod independently {
    use super::*;

    const DAY: i64 = 86_400;
    const START: i64 = 1_790_000_000;
    const AFFILIATES: [&str; 6] = ["max", "anna", "eva", "tom", "", "{{ contact.AFF }}"];

    /// A small generator: the same numbers in every run.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    struct Registered {
        person: u64,
        at: i64,
        affiliate: &'static str,
        webinar: u64,
        session: u64,
    }

    struct Sold {
        person: u64,
        at: i64,
        platform: &'static str,
        cents: i64,
        refunded: i64,
        upsell: Option<&'static str>,
    }

    fn world(registrations: u64, orders: u64) -> (Vec<Registered>, Vec<Sold>) {
        let mut dice = Dice(42);
        let people = registrations * 2 / 3;
        // No two at one moment, so that nothing is a matter of ties.
        let registered = (0..registrations)
            .map(|n| Registered {
                person: dice.below(people),
                at: START + i64::try_from(n).unwrap() * 61 + i64::try_from(dice.below(60)).unwrap(),
                affiliate: AFFILIATES[usize::try_from(dice.below(6)).unwrap()],
                webinar: dice.below(3),
                session: dice.below(4),
            })
            .collect();
        let span = i64::try_from(registrations).unwrap() * 61 + 120 * DAY;
        let sold = (0..orders)
            .map(|_| {
                let cents = 4_700 + i64::try_from(dice.below(200_000)).unwrap();
                Sold {
                    person: dice.below(people + people / 10),
                    at: START + i64::try_from(dice.below(u64::try_from(span).unwrap())).unwrap(),
                    platform: ["max", "anna", "eva", "", "", "zoe"]
                        [usize::try_from(dice.below(6)).unwrap()],
                    cents,
                    refunded: [0, 0, 0, 100, cents][usize::try_from(dice.below(5)).unwrap()],
                    upsell: (dice.below(4) == 0)
                        .then(|| ["max", ""][usize::try_from(dice.below(2)).unwrap()]),
                }
            })
            .collect();
        (registered, sold)
    }

    fn files(registered: &[Registered], sold: &[Sold]) -> (String, String) {
        let mut registrations = "Email,Registered at,Affiliate,Webinar,Session\n".to_owned();
        for row in registered {
            // The same address in two spellings.
            let name = if row.at % 2 == 0 { "Person" } else { "person" };
            writeln!(
                registrations,
                "{name}{}@example.com,{},{},w{},{}",
                row.person,
                row.at,
                row.affiliate,
                row.webinar,
                if row.session == 0 { String::new() } else { format!("s{}", row.session) }
            )
            .unwrap();
        }
        let mut orders =
            "order;item;date;email;affiliate;amount;currency;transaction type;is_upsell\n"
                .to_owned();
        let money = |cents: i64| format!("{},{:02}", cents / 100, cents % 100);
        for (n, row) in sold.iter().enumerate() {
            let begin = format!("O{n};main;{};person{}@example.com", row.at, row.person);
            writeln!(orders, "{begin};{};{};EUR;sale;0", row.platform, money(row.cents)).unwrap();
            if row.refunded > 0 {
                writeln!(orders, "{begin};;{};EUR;refund;0", money(row.refunded)).unwrap();
            }
            if let Some(platform) = row.upsell {
                let begin = begin.replace("main", "extra");
                writeln!(orders, "{begin};{platform};{};EUR;sale;1", money(1_000)).unwrap();
            }
        }
        (registrations, orders)
    }

    /// Whose an order is: looks at all registrations of the person, each time anew.
    fn whose(of_person: &[&Registered], at: i64) -> &'static str {
        // The webinar in which the person registered last before the sale, whoever brought them.
        let before = of_person.iter().filter(|row| row.at <= at);
        let Some(webinar) = before.clone().max_by_key(|row| row.at).map(|row| row.webinar) else {
            return "";
        };
        let counting: Vec<_> = before
            .filter(|row| row.webinar == webinar && at - row.at <= 90 * DAY)
            .filter(|row| !row.affiliate.is_empty() && !row.affiliate.starts_with('{'))
            .collect();
        let locked = |row: &Registered| {
            row.session != 0
                && counting.iter().any(|other| other.session == row.session && other.at < row.at)
        };
        let free = counting.iter().filter(|row| !locked(row));
        free.max_by_key(|row| row.at).map_or("", |row| row.affiliate)
    }

    fn credit(ours: &str, platform: &str) -> Credit {
        match (ours.is_empty(), platform.is_empty()) {
            (true, true) => Credit::None,
            (true, false) => Credit::PlatformOnly,
            (false, true) => Credit::Owed,
            (false, false) if ours == platform => Credit::Agreed,
            (false, false) => Credit::Mismatch,
        }
    }

    #[test]
    fn the_audit_is_exact() {
        // The size a release is measured with would take a debug build minutes.
        let (registrations, orders) =
            if cfg!(debug_assertions) { (6_000, 1_500) } else { (100_000, 20_000) };
        let (registered, sold) = world(registrations, orders);
        let (registrations, orders) = files(&registered, &sold);
        let report = audit(&registrations, &orders, &[]);

        let mut people: BTreeMap<u64, Vec<&Registered>> = BTreeMap::new();
        for row in &registered {
            people.entry(row.person).or_default().push(row);
        }
        let mut expected = BTreeMap::new();
        let (mut missing, mut owed_to_max, mut reversed) = ((0, 0), 0, 0);
        for (n, row) in sold.iter().enumerate() {
            let ours = people.get(&row.person).map_or("", |rows| whose(rows, row.at));
            let main = (row.platform, row.cents - row.refunded, "main");
            let extra = row.upsell.map(|platform| (platform, 1_000, "extra"));
            for (platform, net, item) in [Some(main), extra].into_iter().flatten() {
                let credit = credit(ours, platform);
                expected.insert(format!("O{n}/{item}"), (ours.to_owned(), credit));
                if net == 0 {
                    reversed += 1;
                } else if matches!(credit, Credit::Owed | Credit::Mismatch) {
                    missing = (missing.0 + 1, missing.1 + net);
                    owed_to_max += if ours == "max" { net } else { 0 };
                }
            }
        }
        let found = outcomes(&report);
        assert_eq!(found.len(), expected.len());
        for (sale, expected) in &expected {
            assert_eq!(found.get(sale), Some(expected), "{sale}");
        }
        assert_eq!(report.reversed, reversed);
        assert_eq!(report.missing.sales, missing.0);
        let amount = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
        assert_eq!(report.missing.amounts.plain()[0].0, amount(missing.1));
        let max = report.affiliates.iter().find(|of| of.id == "max").unwrap();
        assert_eq!(max.credits.missing().amounts.plain()[0].0, amount(owed_to_max));
        // Something of everything, or this would prove little.
        for credit in
            [Credit::Agreed, Credit::Owed, Credit::Mismatch, Credit::PlatformOnly, Credit::None]
        {
            assert!(expected.values().any(|(_, found)| *found == credit), "no {credit:?}");
        }
    }
}
