//! buf's STANDARD rules and its COMMENTS rules, held over the compiled descriptors of `proto/`.
//!
//! Not held: `PACKAGE_NO_IMPORT_CYCLE`, because there is one package, and `PROTOVALIDATE`, because it is not used.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, fs, path::Path};

use prost_types::FileDescriptorProto;
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

#[path = "lint/rules.rs"]
mod rules;

use rules::{Fault, RULES, faults};

#[test]
fn our_files_keep_the_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut files = Vec::new();
    for entry in fs::read_dir(root.join("tagalong/v1")).unwrap() {
        files.push(entry.unwrap().path());
    }
    let mut compiler = Compiler::new([root]).unwrap();
    compiler.include_source_info(true).include_imports(true).open_files(files).unwrap();
    let files = compiler.file_descriptor_set().file;
    assert!(files.iter().any(|file| file.name() == "tagalong/v1/attendee_service.proto"));

    let found: Vec<_> = faults(&files).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

const GOOD: &str = r#"syntax = "proto3";

package good.v1;

import "google/protobuf/timestamp.proto";

// Does things.
service ThingService {
  // Does one.
  rpc DoThing(DoThingRequest) returns (DoThingResponse);
}

// Asks for a thing.
message DoThingRequest {
  // Which kind.
  Kind kind = 1;
  // Which thing.
  oneof thing {
    // Its ID.
    string thing_id = 2;
    // Its name.
    string name = 3;
  }
  // When.
  optional google.protobuf.Timestamp at = 4;
  // What else.
  map<string, string> labels = 5;
  // A part.
  message Part {}
}

// Answers DoThing.
message DoThingResponse {}

// Kinds of things.
enum Kind {
  // Never sent.
  KIND_UNSPECIFIED = 0;
  // A big one.
  KIND_BIG = 1;
}
"#;

#[test]
fn a_good_file_has_no_fault() {
    assert_eq!(faults(&compile(vec![("good/v1/thing.proto", GOOD.to_owned())])), []);
}

/// One fault each in an otherwise good file: what is replaced by what, and which rules that breaks.
const PLANTED: [(&str, &str, &[&str]); 32] = [
    ("// Does things.\n", "", &["COMMENT_SERVICE"]),
    ("  // Does one.\n", "  // Does one.\n\n", &["COMMENT_RPC"]),
    ("// Asks for a thing.\n", "//\n", &["COMMENT_MESSAGE"]),
    ("  // A part.\n", "", &["COMMENT_MESSAGE"]),
    ("  // Which kind.\n", "", &["COMMENT_FIELD"]),
    ("    // Its name.\n", "", &["COMMENT_FIELD"]),
    ("  // Which thing.\n", "", &["COMMENT_ONEOF"]),
    ("// Kinds of things.\n", "", &["COMMENT_ENUM"]),
    ("  // A big one.\n", "", &["COMMENT_ENUM_VALUE"]),
    ("ThingService", "Thing", &["SERVICE_SUFFIX"]),
    ("ThingService", "thing_Service", &["SERVICE_PASCAL_CASE"]),
    (
        "rpc DoThing(",
        "rpc doThing(",
        &["RPC_PASCAL_CASE", "RPC_REQUEST_STANDARD_NAME", "RPC_RESPONSE_STANDARD_NAME"],
    ),
    ("DoThingRequest", "Ask", &["RPC_REQUEST_STANDARD_NAME"]),
    ("DoThingResponse", "Answer", &["RPC_RESPONSE_STANDARD_NAME"]),
    (
        "returns (DoThingResponse)",
        "returns (DoThingRequest)",
        &["RPC_REQUEST_RESPONSE_UNIQUE", "RPC_RESPONSE_STANDARD_NAME"],
    ),
    ("message Part", "message A_part", &["MESSAGE_PASCAL_CASE"]),
    ("string name", "string theName", &["FIELD_LOWER_SNAKE_CASE"]),
    ("string name", "string the__name", &["FIELD_LOWER_SNAKE_CASE"]),
    ("oneof thing", "oneof Thing", &["ONEOF_LOWER_SNAKE_CASE"]),
    ("KIND_BIG", "BIG", &["ENUM_VALUE_PREFIX"]),
    ("KIND_BIG", "KIND_Big", &["ENUM_VALUE_UPPER_SNAKE_CASE"]),
    ("KIND_UNSPECIFIED", "KIND_NONE", &["ENUM_ZERO_VALUE_SUFFIX"]),
    ("Kind ", "kind ", &["ENUM_PASCAL_CASE"]),
    (
        "KIND_BIG = 1;",
        "KIND_BIG = 1; // A large one.\n  KIND_LARGE = 1; option allow_alias = true;",
        &["COMMENT_ENUM_VALUE", "ENUM_NO_ALLOW_ALIAS"],
    ),
    ("google.protobuf.Timestamp", "int64", &["IMPORT_USED"]),
    ("import ", "import public ", &["IMPORT_NO_PUBLIC"]),
    ("import ", "import weak ", &["IMPORT_NO_WEAK"]),
    ("package good.v1;", "package better.v1;", &["PACKAGE_DIRECTORY_MATCH"]),
    ("package good.v1;", "package good;", &["PACKAGE_DIRECTORY_MATCH", "PACKAGE_VERSION_SUFFIX"]),
    (
        "package good.v1;",
        "package Good.v1;",
        &["PACKAGE_DIRECTORY_MATCH", "PACKAGE_LOWER_SNAKE_CASE"],
    ),
    (
        "package good.v1;",
        "",
        &[
            "PACKAGE_DEFINED",
            "PACKAGE_DIRECTORY_MATCH",
            "PACKAGE_LOWER_SNAKE_CASE",
            "PACKAGE_VERSION_SUFFIX",
        ],
    ),
    (
        "syntax = \"proto3\";\n\npackage good.v1;",
        "syntax = \"proto2\";\n\npackage good.v1;\n// Bad.\nmessage Bad {\n  // Bad.\n  required Rank rank = 1;\n}\n\
         // Ranks.\nenum Rank {\n  // First.\n  RANK_FIRST = 1;\n}",
        &["ENUM_FIRST_VALUE_ZERO", "FIELD_NOT_REQUIRED", "SYNTAX_SPECIFIED"],
    ),
];

#[test]
fn every_rule_can_fail() {
    let mut broken: BTreeSet<&str> = BTreeSet::new();
    for (good, bad, expected) in PLANTED {
        assert!(GOOD.contains(good), "{good}");
        let mut source = GOOD.replace(good, bad);
        if bad.contains("proto2") {
            // There every field has a label, except in a oneof.
            for field in ["Kind kind", "Kind"] {
                source =
                    source.replace(&format!("  {field} = 1"), &format!("  optional {field} = 1"));
            }
        }
        let found = faults(&compile(vec![("good/v1/thing.proto", source)]));
        assert_eq!(rules_of(&found), expected.iter().copied().collect(), "{bad}: {found:?}");
        broken.extend(expected);
    }

    for (name, expected) in [
        ("good/v1/theThing.proto", ["FILE_LOWER_SNAKE_CASE"].as_slice()),
        ("good/v1/the-thing.proto", &["FILE_LOWER_SNAKE_CASE"]),
    ] {
        let found = faults(&compile(vec![(name, GOOD.to_owned())]));
        assert_eq!(rules_of(&found), expected.iter().copied().collect(), "{name}: {found:?}");
        broken.extend(expected);
    }

    let other = |package: &str| format!("syntax = \"proto3\";\npackage {package};\n");
    for (name, source, expected) in [
        (
            "good/v1/other.proto",
            other("other.v1"),
            ["DIRECTORY_SAME_PACKAGE", "PACKAGE_DIRECTORY_MATCH"].as_slice(),
        ),
        (
            "other/v1/other.proto",
            other("good.v1"),
            &["PACKAGE_DIRECTORY_MATCH", "PACKAGE_SAME_DIRECTORY"],
        ),
        (
            "good/v1/other.proto",
            other("good.v1") + "option go_package = \"x\";\n",
            &["PACKAGE_SAME_OPTIONS"],
        ),
    ] {
        let files = vec![("good/v1/thing.proto", GOOD.to_owned()), (name, source)];
        let found = faults(&compile(files));
        assert_eq!(rules_of(&found), expected.iter().copied().collect(), "{name}: {found:?}");
        broken.extend(expected);
    }
    assert_eq!(broken, RULES.into_iter().collect());
}

#[test]
fn a_fault_names_file_and_element() {
    let source = GOOD.replace("string name", "string theName");
    let found = faults(&compile(vec![("good/v1/thing.proto", source)]));
    let expected =
        "good/v1/thing.proto: good.v1.DoThingRequest.theName breaks FIELD_LOWER_SNAKE_CASE";
    assert_eq!(found[0].to_string(), expected);
}

fn rules_of(faults: &[Fault]) -> BTreeSet<&'static str> {
    faults.iter().map(|fault| fault.rule).collect()
}

/// Files in memory.
struct Sources(Vec<(&'static str, String)>);

impl FileResolver for Sources {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match self.0.iter().find(|(given, _)| *given == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(Error::file_not_found(name)),
        }
    }
}

fn compile(sources: Vec<(&'static str, String)>) -> Vec<FileDescriptorProto> {
    let names: Vec<_> = sources.iter().map(|(name, _)| *name).collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Sources(sources));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    for name in names {
        compiler.open_file(name).unwrap();
    }
    compiler.file_descriptor_set().file
}
