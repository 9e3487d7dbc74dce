//! The API beside its committed snapshot, so that no change of it goes unnoticed.
//!
//! `TAGALONG_ACCEPT_API=1 cargo test -p tagalong-proto` writes the snapshot anew.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, env, fs, path::Path};

use prost::Message as _;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
    field_descriptor_proto::{Label, Type},
};

const HEAD: &str = "\
# The API, one element a line. A line that goes or changes breaks clients.
# Written by: TAGALONG_ACCEPT_API=1 cargo test -p tagalong-proto
";

#[test]
fn the_api_is_the_recorded_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api.snapshot");
    let set = FileDescriptorSet::decode(tagalong_proto::DESCRIPTORS).unwrap();
    let present = elements(&set.file);
    if env::var_os("TAGALONG_ACCEPT_API").is_some_and(|accept| accept == "1") {
        let mut text = HEAD.to_owned();
        for line in &present {
            text.push_str(line);
            text.push('\n');
        }
        fs::write(&path, text).unwrap();
        return;
    }
    let text = fs::read_to_string(&path).unwrap_or_default();
    let recorded = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    if let Some(report) = differences(&recorded, &present) {
        panic!("{report}");
    }
}

/// What changed, and what to do about it.
fn differences(recorded: &BTreeSet<String>, present: &BTreeSet<String>) -> Option<String> {
    let list = |lines: Vec<&String>, sign: &str| {
        lines.iter().map(|line| format!("  {sign} {line}\n")).collect::<Vec<_>>().concat()
    };
    let gone = list(recorded.difference(present).collect(), "-");
    let new = list(present.difference(recorded).collect(), "+");
    if gone.is_empty() && new.is_empty() {
        return None;
    }
    let mut report = "\nThe API is not the one in crates/proto/tests/api.snapshot.\n".to_owned();
    if !gone.is_empty() {
        report.push_str("Gone or changed, which BREAKS clients that use it:\n");
        report.push_str(&gone);
    }
    if !new.is_empty() {
        report.push_str("New, or what a line above became:\n");
        report.push_str(&new);
    }
    report.push_str(
        "If this is what you want, record it and commit the snapshot with the change:\n  \
         TAGALONG_ACCEPT_API=1 cargo test -p tagalong-proto\n",
    );
    Some(report)
}

/// Every element of our own packages, one line each.
fn elements(files: &[FileDescriptorProto]) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in files.iter().filter(|file| !file.name().starts_with("google/")) {
        let package = file.package();
        file.message_type.iter().for_each(|message| add_message(package, message, &mut lines));
        file.enum_type.iter().for_each(|item| add_enum(package, item, &mut lines));
        for service in &file.service {
            let name = format!("{package}.{}", service.name());
            lines.insert(format!("service {name}"));
            for method in &service.method {
                let stream = |streams: bool| if streams { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {name}.{} ({}{}) returns ({}{})",
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type().trim_start_matches('.'),
                    stream(method.server_streaming()),
                    method.output_type().trim_start_matches('.'),
                ));
            }
        }
    }
    lines
}

fn add_message(scope: &str, message: &DescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    lines.insert(format!("message {name}"));
    for field in &message.field {
        lines.insert(format!("field {name}.{}", describe(field, message)));
    }
    for range in &message.reserved_range {
        lines.insert(format!("reserved {name} {}..{}", range.start(), range.end()));
    }
    for reserved in &message.reserved_name {
        lines.insert(format!("reserved {name} {reserved}"));
    }
    message.nested_type.iter().for_each(|nested| add_message(&name, nested, lines));
    message.enum_type.iter().for_each(|nested| add_enum(&name, nested, lines));
}

/// `id = 1 string`, and what else a client's code depends on.
fn describe(field: &FieldDescriptorProto, message: &DescriptorProto) -> String {
    let kind = match field.r#type() {
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.').to_owned(),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_ascii_lowercase(),
    };
    let mut line = format!("{} = {} ", field.name(), field.number());
    match field.label() {
        Label::Repeated => line.push_str("repeated "),
        _ if field.proto3_optional() => line.push_str("optional "),
        _ => {}
    }
    line.push_str(&kind);
    let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
    let oneof = oneof.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    if let Some(oneof) = oneof {
        line.push_str(" oneof ");
        line.push_str(oneof.name());
    }
    line
}

fn add_enum(scope: &str, item: &EnumDescriptorProto, lines: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", item.name());
    lines.insert(format!("enum {name}"));
    for value in &item.value {
        lines.insert(format!("value {name}.{} = {}", value.name(), value.number()));
    }
}

#[test]
fn a_change_says_what_breaks_and_what_is_new() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let recorded = lines(&["field a.v1.A.id = 1 string", "field a.v1.A.old = 2 bool"]);
    assert_eq!(differences(&recorded, &recorded), None);

    let present = lines(&["field a.v1.A.id = 1 bytes", "field a.v1.A.new = 3 bool"]);
    let report = differences(&recorded, &present).unwrap();
    let (before, new) = report.split_once("New, or").unwrap();
    assert!(before.contains("  - field a.v1.A.id = 1 string\n  - field a.v1.A.old = 2 bool\n"));
    assert!(new.contains("  + field a.v1.A.id = 1 bytes\n  + field a.v1.A.new = 3 bool\n"));
    assert!(report.contains("TAGALONG_ACCEPT_API=1 cargo test -p tagalong-proto"));

    // An addition breaks nobody, but is recorded too.
    let mut added = recorded.clone();
    added.insert("message a.v1.B".to_owned());
    let report = differences(&recorded, &added).unwrap();
    assert!(!report.contains("BREAKS") && report.contains("  + message a.v1.B\n"), "{report}");
}

#[test]
fn every_kind_of_element_has_its_line() {
    let set = FileDescriptorSet::decode(tagalong_proto::DESCRIPTORS).unwrap();
    let lines = elements(&set.file);
    for line in [
        "service tagalong.v1.SaleService",
        "rpc tagalong.v1.SaleService.PreviewDecisions (tagalong.v1.PreviewDecisionsRequest) \
         returns (stream tagalong.v1.PreviewDecisionsResponse)",
        "message tagalong.v1.Attendee",
        "field tagalong.v1.Attendee.id = 1 string",
        "field tagalong.v1.Attendee.registrations = 7 repeated tagalong.v1.Registration",
        "field tagalong.v1.AttendeeReference.token = 2 string oneof reference",
        "enum tagalong.v1.Credit",
        "value tagalong.v1.Credit.CREDIT_AGREED = 1",
    ] {
        assert!(lines.contains(line), "{line}");
    }
}
