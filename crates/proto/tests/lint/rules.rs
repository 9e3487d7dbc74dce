//! The rules, one name each, as buf calls them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumOptions, FieldDescriptorProto, FileDescriptorProto,
    FileOptions, MessageOptions, ServiceDescriptorProto, field_descriptor_proto::Label,
};

/// Every rule that is held.
pub(crate) const RULES: [&str; 35] = [
    "COMMENT_ENUM",
    "COMMENT_ENUM_VALUE",
    "COMMENT_FIELD",
    "COMMENT_MESSAGE",
    "COMMENT_ONEOF",
    "COMMENT_RPC",
    "COMMENT_SERVICE",
    "DIRECTORY_SAME_PACKAGE",
    "ENUM_FIRST_VALUE_ZERO",
    "ENUM_NO_ALLOW_ALIAS",
    "ENUM_PASCAL_CASE",
    "ENUM_VALUE_PREFIX",
    "ENUM_VALUE_UPPER_SNAKE_CASE",
    "ENUM_ZERO_VALUE_SUFFIX",
    "FIELD_LOWER_SNAKE_CASE",
    "FIELD_NOT_REQUIRED",
    "FILE_LOWER_SNAKE_CASE",
    "IMPORT_NO_PUBLIC",
    "IMPORT_NO_WEAK",
    "IMPORT_USED",
    "MESSAGE_PASCAL_CASE",
    "ONEOF_LOWER_SNAKE_CASE",
    "PACKAGE_DEFINED",
    "PACKAGE_DIRECTORY_MATCH",
    "PACKAGE_LOWER_SNAKE_CASE",
    "PACKAGE_SAME_DIRECTORY",
    "PACKAGE_SAME_OPTIONS",
    "PACKAGE_VERSION_SUFFIX",
    "RPC_PASCAL_CASE",
    "RPC_REQUEST_RESPONSE_UNIQUE",
    "RPC_REQUEST_STANDARD_NAME",
    "RPC_RESPONSE_STANDARD_NAME",
    "SERVICE_PASCAL_CASE",
    "SERVICE_SUFFIX",
    "SYNTAX_SPECIFIED",
];

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) file: String,
    pub(crate) rule: &'static str,
    pub(crate) name: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} breaks {}", self.file, self.name, self.rule)
    }
}

/// Everything that breaks a rule in the files that are not Google's.
pub(crate) fn faults(files: &[FileDescriptorProto]) -> Vec<Fault> {
    let ours: Vec<_> = files.iter().filter(|file| !file.name().starts_with("google/")).collect();
    let mut faults = Vec::new();
    for file in &ours {
        let mut lint = Lint { file, comments: comments(file), faults: &mut faults };
        lint.file();
        lint.imports(files);
        for (index, message) in (0..).zip(&file.message_type) {
            lint.message(file.package(), message, &[4, index]);
        }
        for (index, enumeration) in (0..).zip(&file.enum_type) {
            lint.enumeration(file.package(), enumeration, &[5, index]);
        }
        for (index, service) in (0..).zip(&file.service) {
            lint.service(service, index);
        }
    }
    packages(&ours, &mut faults);
    unique_requests(&ours, &mut faults);
    faults.sort();
    faults
}

struct Lint<'a> {
    file: &'a FileDescriptorProto,
    /// What stands before each element, by its path in the descriptor.
    comments: HashMap<&'a [i32], &'a str>,
    faults: &'a mut Vec<Fault>,
}

fn comments(file: &FileDescriptorProto) -> HashMap<&[i32], &str> {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.map(|location| (location.path.as_slice(), location.leading_comments())).collect()
}

impl Lint<'_> {
    fn check(&mut self, holds: bool, rule: &'static str, name: &str) {
        if !holds {
            let file = self.file.name().to_owned();
            self.faults.push(Fault { file, rule, name: name.to_owned() });
        }
    }

    fn comment(&mut self, path: &[i32], rule: &'static str, name: &str) {
        let holds = self.comments.get(path).is_some_and(|comment| !comment.trim().is_empty());
        self.check(holds, rule, name);
    }

    fn file(&mut self) {
        let (name, package) = (self.file.name(), self.file.package());
        let (directory, stem) = name.rsplit_once('/').unwrap_or(("", name));
        let stem = stem.strip_suffix(".proto").unwrap_or(stem);
        self.check(is_snake(stem), "FILE_LOWER_SNAKE_CASE", name);
        // Absent means the oldest syntax.
        self.check(self.file.syntax() == "proto3", "SYNTAX_SPECIFIED", name);
        self.check(!package.is_empty(), "PACKAGE_DEFINED", name);
        self.check(package.replace('.', "/") == directory, "PACKAGE_DIRECTORY_MATCH", package);
        self.check(package.split('.').all(is_snake), "PACKAGE_LOWER_SNAKE_CASE", package);
        let version = package.rsplit('.').next().and_then(|last| last.strip_prefix('v'));
        let holds =
            version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()));
        self.check(holds, "PACKAGE_VERSION_SUFFIX", package);
    }

    fn imports(&mut self, files: &[FileDescriptorProto]) {
        let file = self.file;
        let imported = |index: &i32| usize::try_from(*index).map_or("", |at| &file.dependency[at]);
        for index in &file.public_dependency {
            self.check(false, "IMPORT_NO_PUBLIC", imported(index));
        }
        for index in &file.weak_dependency {
            self.check(false, "IMPORT_NO_WEAK", imported(index));
        }
        let mut used = BTreeSet::new();
        file.message_type.iter().for_each(|message| mentioned(message, &mut used));
        for method in file.service.iter().flat_map(|service| &service.method) {
            used.extend([method.input_type(), method.output_type()]);
        }
        for import in &file.dependency {
            let mut defined = BTreeSet::new();
            if let Some(file) = files.iter().find(|file| file.name() == import) {
                let scope = format!(".{}", file.package());
                define(&scope, &file.message_type, &file.enum_type, &mut defined);
            }
            let holds = defined.iter().any(|name| used.contains(name.as_str()));
            self.check(holds, "IMPORT_USED", import);
        }
    }

    fn message(&mut self, scope: &str, message: &DescriptorProto, path: &[i32]) {
        if message.options.as_ref().is_some_and(MessageOptions::map_entry) {
            return;
        }
        let name = format!("{scope}.{}", message.name());
        self.check(is_pascal(message.name()), "MESSAGE_PASCAL_CASE", &name);
        self.comment(path, "COMMENT_MESSAGE", &name);
        for (index, field) in (0..).zip(&message.field) {
            let name = format!("{name}.{}", field.name());
            self.check(is_snake(field.name()), "FIELD_LOWER_SNAKE_CASE", &name);
            self.check(field.label() != Label::Required, "FIELD_NOT_REQUIRED", &name);
            self.comment(&[path, &[2, index]].concat(), "COMMENT_FIELD", &name);
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            // `optional` makes one that is nowhere in the source.
            let made = |field: &FieldDescriptorProto| {
                field.proto3_optional() && field.oneof_index == Some(index)
            };
            if message.field.iter().any(made) {
                continue;
            }
            let name = format!("{name}.{}", oneof.name());
            self.check(is_snake(oneof.name()), "ONEOF_LOWER_SNAKE_CASE", &name);
            self.comment(&[path, &[8, index]].concat(), "COMMENT_ONEOF", &name);
        }
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(&name, nested, &[path, &[3, index]].concat());
        }
        for (index, nested) in (0..).zip(&message.enum_type) {
            self.enumeration(&name, nested, &[path, &[4, index]].concat());
        }
    }

    fn enumeration(&mut self, scope: &str, enumeration: &EnumDescriptorProto, path: &[i32]) {
        let name = format!("{scope}.{}", enumeration.name());
        self.check(is_pascal(enumeration.name()), "ENUM_PASCAL_CASE", &name);
        self.comment(path, "COMMENT_ENUM", &name);
        let alias = enumeration.options.as_ref().is_some_and(EnumOptions::allow_alias);
        self.check(!alias, "ENUM_NO_ALLOW_ALIAS", &name);
        let prefix = upper_snake(enumeration.name()) + "_";
        for (index, value) in (0..).zip(&enumeration.value) {
            let name = format!("{name}.{}", value.name());
            let upper = is_snake(&value.name().to_ascii_lowercase())
                && !value.name().contains(|c: char| c.is_ascii_lowercase());
            self.check(upper, "ENUM_VALUE_UPPER_SNAKE_CASE", &name);
            self.check(value.name().starts_with(&prefix), "ENUM_VALUE_PREFIX", &name);
            self.check(index != 0 || value.number() == 0, "ENUM_FIRST_VALUE_ZERO", &name);
            let suffixed = value.name().ends_with("_UNSPECIFIED");
            self.check(value.number() != 0 || suffixed, "ENUM_ZERO_VALUE_SUFFIX", &name);
            self.comment(&[path, &[2, index]].concat(), "COMMENT_ENUM_VALUE", &name);
        }
    }

    fn service(&mut self, service: &ServiceDescriptorProto, at: i32) {
        let name = format!("{}.{}", self.file.package(), service.name());
        self.check(is_pascal(service.name()), "SERVICE_PASCAL_CASE", &name);
        self.check(service.name().ends_with("Service"), "SERVICE_SUFFIX", &name);
        self.comment(&[6, at], "COMMENT_SERVICE", &name);
        for (index, method) in (0..).zip(&service.method) {
            let rpc = format!("{name}.{}", method.name());
            self.check(is_pascal(method.name()), "RPC_PASCAL_CASE", &rpc);
            self.comment(&[6, at, 2, index], "COMMENT_RPC", &rpc);
            for (message, suffix, rule) in [
                (method.input_type(), "Request", "RPC_REQUEST_STANDARD_NAME"),
                (method.output_type(), "Response", "RPC_RESPONSE_STANDARD_NAME"),
            ] {
                let message = message.rsplit('.').next().unwrap_or_default();
                let short = format!("{}{suffix}", method.name());
                let holds = message == short || message == format!("{}{short}", service.name());
                self.check(holds, rule, &rpc);
            }
        }
    }
}

/// A package is one directory, a directory is one package, and its files agree on options.
fn packages(files: &[&FileDescriptorProto], faults: &mut Vec<Fault>) {
    let directory = |file: &FileDescriptorProto| {
        file.name().rsplit_once('/').map_or("", |(directory, _)| directory).to_owned()
    };
    let mut first: BTreeMap<(&str, String), &FileDescriptorProto> = BTreeMap::new();
    for file in files {
        let mut agree =
            |rule, key, other: fn(&FileDescriptorProto, &FileDescriptorProto) -> bool| {
                let known = first.entry((rule, key)).or_insert(file);
                if !other(known, file) {
                    let (file, name) = (file.name().to_owned(), file.package().to_owned());
                    faults.push(Fault { file, rule, name });
                }
            };
        agree("DIRECTORY_SAME_PACKAGE", directory(file), |a, b| a.package() == b.package());
        agree("PACKAGE_SAME_DIRECTORY", file.package().to_owned(), |a, b| {
            a.name().rsplit_once('/').map(|(d, _)| d) == b.name().rsplit_once('/').map(|(d, _)| d)
        });
        agree("PACKAGE_SAME_OPTIONS", file.package().to_owned(), |a, b| options(a) == options(b));
    }
}

/// The options that name where generated code goes.
fn options(file: &FileDescriptorProto) -> Option<[Option<String>; 7]> {
    file.options.as_ref().map(|options| {
        let FileOptions {
            java_package,
            go_package,
            csharp_namespace,
            swift_prefix,
            php_namespace,
            ruby_package,
            ..
        } = options.clone();
        let many = options.java_multiple_files.map(|many| many.to_string());
        [
            java_package,
            go_package,
            csharp_namespace,
            swift_prefix,
            php_namespace,
            ruby_package,
            many,
        ]
    })
}

/// No message is the request or response of two RPCs, or both of one.
fn unique_requests(files: &[&FileDescriptorProto], faults: &mut Vec<Fault>) {
    let mut seen = BTreeSet::new();
    for file in files {
        for method in file.service.iter().flat_map(|service| &service.method) {
            for message in [method.input_type(), method.output_type()] {
                if !seen.insert(message) {
                    let (file, name) = (file.name().to_owned(), message.to_owned());
                    faults.push(Fault { file, rule: "RPC_REQUEST_RESPONSE_UNIQUE", name });
                }
            }
        }
    }
}

fn mentioned<'a>(message: &'a DescriptorProto, used: &mut BTreeSet<&'a str>) {
    used.extend(message.field.iter().map(FieldDescriptorProto::type_name));
    message.nested_type.iter().for_each(|nested| mentioned(nested, used));
}

fn define(
    scope: &str,
    messages: &[DescriptorProto],
    enumerations: &[EnumDescriptorProto],
    defined: &mut BTreeSet<String>,
) {
    defined.extend(enumerations.iter().map(|item| format!("{scope}.{}", item.name())));
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        define(&name, &message.nested_type, &message.enum_type, defined);
        defined.insert(name);
    }
}

fn is_pascal(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('_')
        && !name.contains("__")
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// `HTTP_MODE` for `HttpMode`.
fn upper_snake(name: &str) -> String {
    let mut upper = String::new();
    for (index, letter) in name.char_indices() {
        if index > 0 && letter.is_ascii_uppercase() {
            upper.push('_');
        }
        upper.push(letter.to_ascii_uppercase());
    }
    upper
}
