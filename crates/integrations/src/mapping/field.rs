//! Where in a payload a value stands: paths and conditions of a preset.

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;
use serde_json_path::JsonPath;
use tagalong_attribution::id::is_unresolved;

use crate::{delivery::Payload, reading::Unmapped};

/// Longest ID that is taken, in characters.
const MAX_ID: usize = 128;

/// What paths are followed in.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) payload: &'a Payload,
    /// `$`.
    pub(crate) root: &'a Value,
    /// `@`: the line of the order; without lines the root.
    pub(crate) item: &'a Value,
}

/// Candidates for one value, the first that has one counts. In a preset one candidate or a list of them.
#[derive(Debug, Clone)]
pub(crate) struct Field(Vec<Candidate>);

/// One place, or several whose texts are joined by `:`: all of them must be there.
#[derive(Debug, Clone)]
struct Candidate {
    parts: Vec<Source>,
    text: String,
    cut: Cut,
}

#[derive(Debug, Clone)]
enum Source {
    Root(JsonPath),
    Item(JsonPath),
    Header(String),
}

/// What of the text is meant.
#[derive(Debug, Clone)]
enum Cut {
    Whole,
    /// The value of this parameter, of a URL or a query.
    Query(String),
    /// What stands before this.
    Until(String),
}

impl Field {
    /// The value: trimmed; not empty, `null` or `undefined`, and no merge tag that nobody filled in.
    pub(crate) fn text(&self, scope: Scope<'_>) -> Option<String> {
        self.0.iter().find_map(|candidate| candidate.text(scope))
    }

    /// What stands there, as it is.
    pub(crate) fn raw<'a>(&'a self, scope: Scope<'a>) -> Option<&'a str> {
        self.0
            .iter()
            .flat_map(|candidate| &candidate.parts)
            .find_map(|part| part.texts(scope).next())
    }

    /// Whether anything stands there, be it null or empty.
    pub(crate) fn exists(&self, scope: Scope<'_>) -> bool {
        self.0.iter().flat_map(|candidate| &candidate.parts).any(|part| part.exists(scope))
    }

    /// The value, which must be there.
    pub(crate) fn required(&self, key: &'static str, scope: Scope<'_>) -> Result<String, Unmapped> {
        self.text(scope).ok_or_else(|| Unmapped::Missing { key, path: self.path() })
    }

    /// An ID, which must be there.
    pub(crate) fn id(&self, key: &'static str, scope: Scope<'_>) -> Result<String, Unmapped> {
        let text = self.required(key, scope)?;
        if is_foreign_id(&text) {
            return Ok(text);
        }
        Err(self.malformed(key, "a text of at most 128 characters"))
    }

    /// An ID; none where there is none, or where what stands there is none.
    pub(crate) fn optional_id(&self, scope: Scope<'_>) -> Option<String> {
        self.text(scope).filter(|text| is_foreign_id(text))
    }

    pub(crate) fn malformed(&self, key: &'static str, expected: &'static str) -> Unmapped {
        Unmapped::Malformed { key, path: self.path(), expected }
    }

    /// All candidates, as the preset spells them.
    pub(crate) fn path(&self) -> String {
        let texts: Vec<_> = self.0.iter().map(|candidate| candidate.text.as_str()).collect();
        texts.join(" or ")
    }

    /// Names of the headers it reads.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|candidate| &candidate.parts).filter_map(|part| match part {
            Source::Header(name) => Some(name.as_str()),
            Source::Root(_) | Source::Item(_) => None,
        })
    }
}

fn is_foreign_id(text: &str) -> bool {
    text.chars().count() <= MAX_ID && !text.chars().any(char::is_control)
}

impl Candidate {
    fn parse(text: &str, cut: Cut) -> Result<Self, String> {
        let parts = text.split(" + ").map(Source::parse).collect::<Result<_, _>>()?;
        Ok(Self { parts, text: text.to_owned(), cut })
    }

    fn text(&self, scope: Scope<'_>) -> Option<String> {
        let texts = self
            .parts
            .iter()
            .map(|part| part.texts(scope).find_map(|text| self.cut.apply(text)))
            .collect::<Option<Vec<_>>>()?;
        Some(texts.join(":"))
    }
}

impl Cut {
    fn apply(&self, text: &str) -> Option<String> {
        let cut = match self {
            Self::Whole => text.to_owned(),
            Self::Until(end) => {
                text.split_once(end.as_str()).map_or(text, |(start, _)| start).to_owned()
            }
            Self::Query(name) => {
                let text = text.split_once('#').map_or(text, |(before, _)| before);
                let query = text.split_once('?').map_or(text, |(_, query)| query);
                form_urlencoded::parse(query.as_bytes())
                    .find(|(found, _)| found == name)
                    .map(|(_, value)| value.into_owned())?
            }
        };
        let cut = cut.trim();
        // Some tools send what their language calls nothing.
        let nothing = matches!(cut, "" | "null" | "undefined") || is_unresolved(cut);
        (!nothing).then(|| cut.to_owned())
    }
}

impl Source {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Some(name) = text.strip_prefix("header:") {
            let name = http::HeaderName::try_from(name.trim())
                .map_err(|_| format!("{name:?} is not the name of a header"))?;
            return Ok(Self::Header(name.as_str().to_owned()));
        }
        match text.strip_prefix('@') {
            Some(below) => json_path(&format!("${below}")).map(Self::Item),
            None if text.starts_with('$') => json_path(text).map(Self::Root),
            None => Err(format!("{text:?} starts with none of $, @ and header:")),
        }
    }

    fn nodes<'a>(&self, scope: Scope<'a>) -> Vec<&'a Value> {
        match self {
            Self::Root(path) => path.query(scope.root).all(),
            Self::Item(path) => path.query(scope.item).all(),
            Self::Header(_) => Vec::new(),
        }
    }

    fn texts<'a>(&self, scope: Scope<'a>) -> impl Iterator<Item = &'a str> {
        let header = match self {
            Self::Header(name) => scope.payload.header(name),
            Self::Root(_) | Self::Item(_) => None,
        };
        self.nodes(scope).into_iter().filter_map(Value::as_str).chain(header)
    }

    fn exists(&self, scope: Scope<'_>) -> bool {
        match self {
            Self::Header(name) => scope.payload.header(name).is_some(),
            Self::Root(_) | Self::Item(_) => !self.nodes(scope).is_empty(),
        }
    }
}

fn json_path(text: &str) -> Result<JsonPath, String> {
    JsonPath::parse(text).map_err(|error| format!("{text:?} is not a JSONPath: {error}"))
}

/// One candidate as a preset has it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path, or a table of path and query or until")]
enum CandidateFile {
    Path(String),
    Cut(CutFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CutFile {
    path: String,
    query: Option<String>,
    until: Option<String>,
}

impl TryFrom<CandidateFile> for Candidate {
    type Error = String;

    fn try_from(file: CandidateFile) -> Result<Self, String> {
        match file {
            CandidateFile::Path(path) => Self::parse(&path, Cut::Whole),
            CandidateFile::Cut(CutFile { path, query, until }) => {
                let cut = match (query, until) {
                    (Some(name), None) => Cut::Query(name),
                    (None, Some(end)) if !end.is_empty() => Cut::Until(end),
                    _ => return Err(format!("{path:?} needs either query or until")),
                };
                Self::parse(&path, cut)
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path, a table with a path, or a list of them")]
enum FieldFile {
    // First, because a list could be read as a table without names.
    Several(Vec<CandidateFile>),
    One(CandidateFile),
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let candidates = match FieldFile::deserialize(deserializer)? {
            FieldFile::One(one) => vec![one],
            FieldFile::Several(several) if several.is_empty() => {
                return Err(de::Error::custom("must not be an empty list"));
            }
            FieldFile::Several(several) => several,
        };
        let candidates = candidates.into_iter().map(Candidate::try_from).collect::<Result<_, _>>();
        candidates.map(Self).map_err(de::Error::custom)
    }
}

/// Which parts of a payload are lines of an order: the first path that finds some counts.
#[derive(Debug, Clone)]
pub(crate) struct Each {
    paths: Vec<JsonPath>,
    text: String,
}

impl Each {
    /// The objects found; none where there are none.
    pub(crate) fn of<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let found = self.paths.iter().map(|path| {
            let objects = path.query(root).all().into_iter().filter(|value| value.is_object());
            objects.collect::<Vec<_>>()
        });
        found.into_iter().find(|objects| !objects.is_empty()).unwrap_or_default()
    }

    /// All candidates, as the preset spells them.
    pub(crate) fn path(&self) -> String {
        self.text.clone()
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a JSONPath or a list of them")]
enum EachFile {
    One(String),
    Several(Vec<String>),
}

impl<'de> Deserialize<'de> for Each {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = match EachFile::deserialize(deserializer)? {
            EachFile::One(text) => vec![text],
            EachFile::Several(texts) => texts,
        };
        let paths = texts.iter().map(|text| json_path(text)).collect::<Result<_, _>>();
        Ok(Self { paths: paths.map_err(de::Error::custom)?, text: texts.join(" or ") })
    }
}

/// A filter expression of RFC 9535 over one value, `@`.
#[derive(Debug, Clone)]
pub(crate) struct Condition(JsonPath);

impl Condition {
    pub(crate) fn holds(&self, value: &Value) -> bool {
        !self.0.query(&Value::Array(vec![value.clone()])).is_empty()
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let path = JsonPath::parse(&format!("$[?{text}]"))
            .map_err(|error| de::Error::custom(format!("{text:?} is not a condition: {error}")))?;
        Ok(Self(path))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(toml: &str) -> Result<Field, toml::de::Error> {
        #[derive(Deserialize)]
        struct Holder {
            field: Field,
        }
        toml::from_str::<Holder>(&format!("field = {toml}")).map(|holder| holder.field)
    }

    fn text(toml: &str, root: &Value) -> Option<String> {
        let payload = Payload::new(Some("a/b"), "");
        let item = root.pointer("/items/0").unwrap_or(root);
        field(toml).unwrap().text(Scope { payload: &payload, root, item })
    }

    #[test]
    fn values_and_where_they_stand() {
        let root = json!({
            "a": " x ", "empty": "", "blank": " ", "none": null, "tag": "*|AFF|*", "object": {"a": "y"},
            "q": [{"title": "other", "value": "no"}, {"title": "aff", "value": "max"}],
            "items": [{"id": "7"}], "url": "https://x.example/p?a=1&aff=ma%20x#aff=z", "receipt": "ABC-B002",
            "data": {"object": {"object": "charge", "id": "ch_1"}},
        });
        for (toml, expected) in [
            ("'$.a'", Some("x")),
            ("['$.no', '$.empty', '$.blank', '$.none', '$.tag', '$.object', '$.a']", Some("x")),
            ("'$.object'", None),
            ("'$.tag'", None),
            ("\"$.q[?@.title=='aff'].value\"", Some("max")),
            ("\"$.data[?@.object=='charge'].id\"", Some("ch_1")),
            ("\"$.data[?@.object=='refund'].id\"", None),
            ("'@.id'", Some("7")),
            ("'@'", None),
            ("'$.a + @.id'", Some("x:7")),
            ("['$.a + $.no', '$.a']", Some("x")),
            ("'header:Content-Type'", Some("a/b")),
            ("'header:x-other'", None),
            ("{ path = '$.url', query = 'aff' }", Some("ma x")),
            ("{ path = '$.url', query = 'b' }", None),
            ("[{ path = '$.receipt', until = '-B' }]", Some("ABC")),
            ("{ path = '$.a', until = '-B' }", Some("x")),
        ] {
            assert_eq!(text(toml, &root).as_deref(), expected, "{toml}");
        }
    }

    #[test]
    fn what_is_no_field() {
        for (toml, problem) in [
            ("'a.b'", "starts with none of"),
            ("'$.['", "not a JSONPath"),
            ("'header:a b'", "not the name of a header"),
            ("[]", "empty list"),
            ("3", "expected a path"),
            ("{ path = '$.a' }", "either query or until"),
            ("{ path = '$.a', query = 'b', until = 'c' }", "either query or until"),
            ("{ path = '$.a', from = 'c' }", "expected a path"),
        ] {
            let error = field(toml).unwrap_err().to_string();
            assert!(error.contains(problem), "{toml}: {error}");
        }
    }

    #[test]
    fn conditions_are_filters() {
        let condition = |text: &str| {
            #[derive(Deserialize)]
            struct Holder {
                condition: Condition,
            }
            toml::from_str::<Holder>(&format!("condition = \"{text}\"")).map(|h| h.condition)
        };
        let value = json!({"test": "true", "status": "test_paid", "none": null});
        for (text, expected) in [
            ("@.test=='true'", true),
            ("@.test=='false'", false),
            ("@.absent=='true'", false),
            ("@.absent", false),
            ("@.none", true),
            ("@.test!='true' || match(@.status, 'test_.*')", true),
            ("!@.absent", true),
        ] {
            assert_eq!(condition(text).unwrap().holds(&value), expected, "{text}");
        }
        assert!(condition("@.a ==").is_err());
    }
}
