use std::io::Write as _;

use proptest::prelude::*;

use super::*;

fn reading() -> Reading {
    Reading { time_zone: Some(TimeZone::UTC), dates: None, decimal: None, currency: None }
}

fn open(bytes: &[u8], layout: &Layout) -> anyhow::Result<Sheet> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    Sheet::open(file.path(), layout, &[], &reading())
}

fn sales(text: &str) -> Vec<(u64, Result<Sale, Problem>)> {
    let sheet = open(text.as_bytes(), &SALES).unwrap();
    let mut rows = sheet.rows().unwrap();
    let mut sales = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        sales.push((row.line, Sale::read(row)));
    }
    sales
}

#[test]
fn the_dialect_is_found() {
    for (text, delimiter, header_line, rows) in [
        ("email,aff\na@example.com,max\n", b',', 1, 1),
        ("sep=;\nE-Mail;Partner\na@example.com;max\n", b';', 2, 1),
        ("email\taff\na@example.com\tmax\n\n  \t\n", b'\t', 1, 1),
        ("email|aff", b'|', 1, 0),
        (
            "Registration Report\nTopic,Webinar ID,Started\n\"Launch, part 1\",81234,today\n\nAttendees\n\
             First Name,Email,Registration Time,Source Name\nA,a@example.com,\"Nov 22, 2026 02:30 PM\",max\n",
            b',',
            6,
            1,
        ),
    ] {
        let sheet = open(text.as_bytes(), &REGISTRATIONS).unwrap();
        let found = (sheet.delimiter, sheet.header_line, sheet.shown.rows);
        assert_eq!(found, (delimiter, header_line, rows), "{text}");
    }
}

#[test]
fn lines_are_those_of_the_file() {
    let rows = "order;note\n1;\"two\nlines\"\n\n2;x\n\n\n3;y";
    for text in [rows.to_owned(), rows.replace('\n', "\r\n")] {
        let lines: Vec<u64> = sales(&text).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [2, 5, 8], "{text:?}");
    }
}

#[test]
fn a_file_that_is_not_understood_says_so_without_what_it_holds() {
    for (text, expected) in [
        ("", "empty"),
        ("jane@example.com,Jane\njohn@example.com,John\n", "no header"),
        ("colour,size\nred,5\n", "colour, size"),
    ] {
        let error = format!("{:#}", open(text.as_bytes(), &REGISTRATIONS).unwrap_err());
        assert!(error.contains(expected) && !error.contains('@'), "{error}");
    }
    let unclosed = format!("email\n\"{}\n", "a@example.com\n".repeat(50_000));
    let error = format!("{:#}", open(unclosed.as_bytes(), &REGISTRATIONS).unwrap_err());
    assert!(error.contains("line 2") && error.contains("quote"), "{error}");
}

#[test]
fn dates_are_read_as_other_rows_show() {
    for (dates, expected) in [
        (["03/04/2026", "13/04/2026"], Some(["2026-04-03T23:59:59Z", "2026-04-13T23:59:59Z"])),
        (["03/04/2026", "04/13/2026"], Some(["2026-03-04T23:59:59Z", "2026-04-13T23:59:59Z"])),
        (["13/04/2026", "04/13/2026"], None),
    ] {
        let text = format!("order,date\n1,{}\n2,{}\n", dates[0], dates[1]);
        let Some(expected) = expected else {
            let error = format!("{:#}", open(text.as_bytes(), &SALES).unwrap_err());
            assert!(error.contains("--dates"), "{error}");
            continue;
        };
        let read = sales(&text).into_iter().map(|(_, sale)| sale.unwrap().sold_at.unwrap());
        assert_eq!(read.map(|at| at.to_string()).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn what_would_be_assumed_can_be_refused() {
    let asked = Reading { time_zone: None, ..reading() };
    for (text, expected) in [
        ("order,date\n1,2026-11-22 14:30\n", Some("--time-zone")),
        ("order,date\n1,2026-11-22T14:30Z\n", None),
        ("order,date\n1,1795357805\n", None),
    ] {
        let refused = open(text.as_bytes(), &SALES).unwrap().assume_nothing(&asked).err();
        assert_eq!(refused.is_some(), expected.is_some(), "{text}");
        assert!(refused.is_none_or(|error| error.to_string().contains(expected.unwrap())));
    }
    for (text, option) in
        [("order,date\n1,03/04/2026\n", "--dates"), ("order,amount\n1,\"1,234\"\n", "--decimal")]
    {
        let sheet = open(text.as_bytes(), &SALES).unwrap();
        let refused = sheet.assume_nothing(&reading()).unwrap_err().to_string();
        assert!(refused.contains(option), "{refused}");
        assert!(sheet.assumed(&reading()).iter().any(|text| text.contains(option)));
    }
    let clear = "order,date,amount\n1,13/04/2026,\"1,234\"\n2,03/04/2026,\"5,000.00\"\n";
    open(clear.as_bytes(), &SALES).unwrap().assume_nothing(&reading()).unwrap();
}

#[test]
fn a_sale_is_read_whole() {
    let text = "Bestellnummer;Kaufdatum;Uhrzeit;Produkt-ID;E-Mail;Partner;Betrag;Währung;Typ;is_upsell\n\
        M1;22.11.2026;14:30;kurs;jane@example.com;max;1.497,00;EUR;Verkauf;nein\n\
        M1;22.11.2026;14:31;extra;jane@example.com;-;47,00 €;;Verkauf;ja\n\
        M1;23.11.2026;;kurs;jane@example.com;;-1.497,00;EUR;Rückerstattung;\n";
    let read: Vec<Sale> = sales(text).into_iter().map(|(_, sale)| sale.unwrap()).collect();
    let first = &read[0];
    assert_eq!(first.sold_at.unwrap().to_string(), "2026-11-22T14:30:00Z");
    assert_eq!((first.order.as_str(), first.item.as_str()), ("M1", "kurs"));
    assert_eq!(first.amount, Some((149_700, "EUR".to_owned())));
    assert_eq!((first.money, first.kind), (Money::Paid, Kind::Main));
    assert_eq!(first.affiliate.as_deref(), Some("max"));
    let second = &read[1];
    assert_eq!(second.affiliate.as_deref(), Some(""));
    assert_eq!(second.amount, Some((4_700, "EUR".to_owned())));
    assert_eq!(second.kind, Kind::Upsell);
    let third = &read[2];
    assert_eq!((third.money, third.amount.clone().unwrap().0), (Money::Refund, 149_700));
    assert_eq!(third.sold_at.unwrap().to_string(), "2026-11-23T23:59:59Z");
}

#[test]
fn a_row_that_cannot_be_used_names_its_field() {
    let text = "order,date,amount,currency,status,affiliate\n\
        ,2026-11-22,1,EUR,paid,\n\
        1,soon,1,EUR,paid,\n\
        2,2026-11-22,free,EUR,paid,\n\
        3,2026-11-22,1,EURO,paid,\n\
        4,2026-11-22,4.975,EUR,paid,\n\
        5,2026-11-22,1.5,EUR,peculiar,\n\
        6,2026-11-22,1,EUR,refunded,\n\
        7,2026-11-22,1,EUR,pending,\n";
    let problems: Vec<String> = sales(text)
        .into_iter()
        .map(|(line, sale)| match sale {
            Ok(sale) => format!("{line} {:?}", sale.money),
            Err(problem) => format!("{line} {}", problem.field),
        })
        .collect();
    let expected =
        "2 order, 3 sold_at, 4 amount, 5 currency, 6 amount, 7 status, 8 PaidBack, 9 Unpaid";
    assert_eq!(problems.join(", "), expected);
}

#[test]
fn what_an_export_made_harmless_is_read_as_it_was() {
    let sheet = open(b"email,id\n,'=1+1\n,'plain\n", &REGISTRATIONS).unwrap();
    let mut rows = sheet.rows().unwrap();
    let mut ids = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        ids.push(Registration::read(row).unwrap().id);
    }
    assert_eq!(ids, ["=1+1", "'plain"]);
}

proptest! {
    #[test]
    fn whatever_stands_in_a_field_is_read_or_refused(text in "[ -~]{0,20}|[0-9.,:/+-]{0,20}|\\PC{0,20}") {
        if let Some(written) = time::Written::read(&text) {
            let _ = (written.shows(), written.at_time(&text));
            for order in [DateOrder::DayFirst, DateOrder::MonthFirst] {
                let _ = written.moment(order, &TimeZone::UTC, Edge::End);
            }
        }
        if let Some(written) = money::Written::read(&text) {
            let _ = written.shows();
            for (decimal, exponent) in [(Decimal::Comma, 2), (Decimal::Point, 0), (Decimal::Point, 3)] {
                let units = written.minor_units(decimal, exponent);
                prop_assert!(units.is_none_or(|units| units.unsigned_abs() <= 1_000_000_000_000_000));
            }
        }
    }

    #[test]
    fn whatever_stands_in_a_file_is_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        rest in "[a-z0-9;,@\"\n. -]{0,100}",
    ) {
        for head in ["", "order;date;amount;email\n", "email,registered_at\n"] {
            let text = [head.as_bytes(), rest.as_bytes(), &bytes].concat();
            for layout in [&REGISTRATIONS, &SALES, &PARTNERS] {
                let Ok(sheet) = open(&text, layout) else { continue };
                let mut rows = sheet.rows().unwrap();
                let mut before = sheet.header_line;
                while let Some(row) = rows.next().unwrap() {
                    prop_assert!(row.line > before);
                    before = row.line;
                    let _ = (Sale::read(row), Registration::read(row));
                }
            }
        }
    }
}
