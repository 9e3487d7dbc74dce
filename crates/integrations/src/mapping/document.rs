//! A payload as one JSON document, whatever it came as.
//!
//! Every number and every boolean of the document is a text, as it stood in the payload: an ID beyond 2^53 keeps its
//! digits, and a platform that sends `"1"` today and `1` tomorrow says the same.

use std::collections::BTreeMap;

use serde_json::{Map, Value, value::RawValue};

use crate::{delivery::Payload, reading::Unmapped};

/// How deep a document may nest.
const MAX_DEPTH: usize = 32;

/// Reads a payload: JSON, or a form whose bracketed names (`customer[email]`, `items[0][id]`) are folded into
/// objects and arrays.
///
/// # Errors
/// If it is neither.
pub(crate) fn fold(payload: &Payload) -> Result<Value, Unmapped> {
    let body = payload.body();
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body).trim_ascii();
    // Tools say `application/json` of forms and the other way round, so the body itself decides.
    if body.starts_with(b"{") || body.starts_with(b"[") {
        return json(body).ok_or(Unmapped::Body);
    }
    let claims_json = payload.header("content-type").is_some_and(|text| text.contains("json"));
    if claims_json || !body.contains(&b'=') {
        return Err(Unmapped::Body);
    }
    form(body).ok_or(Unmapped::Body)
}

/// Parses JSON, every scalar but null as text.
pub(crate) fn json(body: &[u8]) -> Option<Value> {
    texts(serde_json::from_slice(body).ok()?, 0)
}

fn texts(raw: &RawValue, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    let text = raw.get();
    Some(match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            let members = members
                .into_iter()
                .map(|(name, value)| Some((name, texts(value, depth + 1)?)))
                .collect::<Option<Map<_, _>>>()?;
            Value::Object(members)
        }
        b'[' => {
            let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            let elements = elements
                .into_iter()
                .map(|value| texts(value, depth + 1))
                .collect::<Option<Vec<_>>>()?;
            Value::Array(elements)
        }
        b'"' => Value::String(serde_json::from_str(text).ok()?),
        b'n' => Value::Null,
        _ => Value::String(text.to_owned()),
    })
}

/// What gathers under one name of a form.
enum Node {
    Text(String),
    Named(Vec<(String, Node)>),
}

fn form(body: &[u8]) -> Option<Value> {
    let mut root = Vec::new();
    for (name, value) in form_urlencoded::parse(body) {
        let names = split_name(&name);
        if names.len() > MAX_DEPTH {
            return None;
        }
        insert(&mut root, &names, value.into_owned());
    }
    Some(value_of(Node::Named(root), true))
}

/// `a[b][]` is `a`, `b` and an empty name; what is not well bracketed is one name as it is.
fn split_name(name: &str) -> Vec<&str> {
    let parts = || {
        let (first, mut rest) = name.split_at(name.find('[')?);
        let mut names = vec![first];
        while !rest.is_empty() {
            let (part, after) = rest.strip_prefix('[')?.split_once(']')?;
            names.push(part);
            rest = after;
        }
        (!first.is_empty()).then_some(names)
    };
    parts().unwrap_or_else(|| vec![name])
}

/// Of a name that stands twice the last counts, as most servers that tools are written against have it.
fn insert(members: &mut Vec<(String, Node)>, names: &[&str], text: String) {
    let Some((name, below)) = names.split_first() else { return };
    let name = if name.is_empty() { members.len().to_string() } else { (*name).to_owned() };
    let at = members.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
        members.push((name, Node::Text(String::new())));
        members.len() - 1
    });
    let node = &mut members[at].1;
    if below.is_empty() {
        *node = Node::Text(text);
        return;
    }
    if !matches!(node, Node::Named(_)) {
        *node = Node::Named(Vec::new());
    }
    if let Node::Named(members) = node {
        insert(members, below, text);
    }
}

fn value_of(node: Node, root: bool) -> Value {
    let members = match node {
        Node::Text(text) => return Value::String(text),
        Node::Named(members) => members,
    };
    let index = |name: &str| name.parse::<u64>().ok().filter(|n| n.to_string() == name);
    let mut indexed: Vec<_> = members.iter().map(|(name, _)| index(name)).collect();
    if !root && indexed.iter().all(Option::is_some) {
        let mut elements: Vec<_> = indexed.drain(..).zip(members).collect();
        elements.sort_by_key(|(index, _)| *index);
        let elements = elements.into_iter().map(|(_, (_, node))| value_of(node, false));
        return Value::Array(elements.collect());
    }
    Value::Object(members.into_iter().map(|(name, node)| (name, value_of(node, false))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn folded(body: &str) -> Result<Value, Unmapped> {
        fold(&Payload::new(None, body.to_owned()))
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(
            folded(
                r#"{"key": 24576065432313123456, "price": 497.0, "on": true, "no": null, "e": 1e3}"#
            )
            .unwrap(),
            json!({"key": "24576065432313123456", "price": "497.0", "on": "true", "no": null, "e": "1e3"})
        );
        assert_eq!(
            folded("\u{feff} [{\"a\": [1, {\"b\": \"\\u00fc\"}]}] ").unwrap(),
            json!([{"a": ["1", {"b": "ü"}]}])
        );
    }

    #[test]
    fn brackets_of_forms_are_objects_and_arrays() {
        for (body, expected) in [
            ("a=1&b=x+y%26z", json!({"a": "1", "b": "x y&z"})),
            (
                "customer[email]=j%40example.com&customer[name]=J",
                json!({"customer": {"email": "j@example.com", "name": "J"}}),
            ),
            ("customer%5Bemail%5D=j", json!({"customer": {"email": "j"}})),
            (
                "o[1][id]=b&o[0][id]=a&o[10][id]=c",
                json!({"o": [{"id": "a"}, {"id": "b"}, {"id": "c"}]}),
            ),
            ("t[]=a&t[]=b", json!({"t": ["a", "b"]})),
            ("t[99999999999]=a", json!({"t": ["a"]})),
            ("t[007]=a", json!({"t": {"007": "a"}})),
            ("a=1&a=2", json!({"a": "2"})),
            ("a=1&a[b]=2", json!({"a": {"b": "2"}})),
            ("a[b]=1&a=2", json!({"a": "2"})),
            ("a[b=1&[c]=2&d[e]f=3", json!({"a[b": "1", "[c]": "2", "d[e]f": "3"})),
            ("0=a&1=b", json!({"0": "a", "1": "b"})),
        ] {
            assert_eq!(folded(body).unwrap(), expected, "{body}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for body in ["", "hello", "{", "{\"a\":1}x", "[1,]", "{\"a\":\"\u{1}\"}"] {
            assert_eq!(folded(body), Err(Unmapped::Body), "{body}");
        }
        let claimed = Payload::new(Some("application/json"), "a=1");
        assert_eq!(fold(&claimed), Err(Unmapped::Body));
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert_eq!(folded(&deep), Err(Unmapped::Body));
        let bottomless = "[".repeat(100_000);
        assert_eq!(folded(&bottomless), Err(Unmapped::Body));
        let bracketed = format!("a{}=1", "[b]".repeat(100));
        assert_eq!(folded(&bracketed), Err(Unmapped::Body));
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = fold(&Payload::new(None, body));
        }

        #[test]
        fn a_form_says_what_was_put_in(pairs in proptest::collection::btree_map("[a-z]{1,5}", "\\PC{0,10}", 1..5)) {
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let folded = folded(&body).unwrap();
            for (name, text) in &pairs {
                prop_assert_eq!(folded[name].as_str(), Some(text.as_str()));
            }
        }
    }
}
