//! Where links lead: URL templates, and how values enter them.
//!
//! A placeholder is an RFC 6570 level 1 expression: `{name}` becomes the value with everything but unreserved
//! characters percent-encoded. It may stand in the path or in a query value, so that no value can change
//! scheme, host or path structure. A query parameter whose placeholder has no value is left out, unless it holds
//! the affiliate.
//!
//! Encoding alone does not hold the path together, because browsers read `..` and `%2e%2e` alike: what enters a path
//! is an ID ([`is_id`]), which is never a dot segment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::id::is_id;

/// Longest template, in bytes.
pub const MAX_LEN: usize = 2048;

/// Everything but RFC 3986 unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A template that may not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Empty.
    #[error("is required")]
    Empty,
    /// Over [`MAX_LEN`].
    #[error("is longer than {MAX_LEN} bytes")]
    TooLong,
    /// Not `http://` or `https://`.
    #[error("must start with https:// or http://")]
    Scheme,
    /// Names a user or password.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// Spaces, control characters, backslashes, or anything outside ASCII.
    #[error(
        "must not hold spaces, control characters, backslashes or non-ASCII characters; percent-encode them"
    )]
    Characters,
    /// A `%` without two hexadecimal digits, or with a placeholder in their place.
    #[error("has a % without two hexadecimal digits; percent-encode a literal % as %25")]
    Escape,
    /// `.` or `..` as a path segment, plain or percent-encoded: browsers remove it and what stands before it.
    #[error("must not hold . or .. as a path segment")]
    DotSegment,
    /// Not a URL.
    #[error("is not a URL: {0}")]
    NotAUrl(String),
    /// `{` or `}` without its other half.
    #[error("has a lone {{ or }}")]
    LoneBrace,
    /// A placeholder nobody fills in.
    #[error(
        "has an unknown placeholder {{{0}}}; known are affiliate, token, click, reference, product, sub1 to sub5"
    )]
    Unknown(String),
    /// A placeholder in scheme, host or port.
    #[error("must not hold a placeholder in scheme or host")]
    PlaceholderInHost,
    /// A placeholder in the name of a query parameter or in the fragment.
    #[error("may hold placeholders in the path and in query values only")]
    PlaceholderPlace,
    /// `{token}` or a sub-ID in the path: it may be missing, and a sub-ID could climb in the path.
    #[error("may hold {{{0}}} in a query value only")]
    QueryOnly(&'static str),
    /// The with-affiliate template without `{affiliate}`.
    #[error("must hold {{affiliate}}")]
    AffiliateMissing,
    /// The without-affiliate template with `{affiliate}`.
    #[error("must not hold {{affiliate}}")]
    AffiliateUnexpected,
    /// The without-affiliate template cannot be derived.
    #[error("is required, because {{affiliate}} stands in the path of with_affiliate")]
    WithoutRequired,
}

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variable {
    Affiliate,
    Token,
    Click,
    Reference,
    Product,
    Sub(usize),
}

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "affiliate" => Self::Affiliate,
            "token" => Self::Token,
            "click" => Self::Click,
            "reference" => Self::Reference,
            "product" => Self::Product,
            "sub1" => Self::Sub(0),
            "sub2" => Self::Sub(1),
            "sub3" => Self::Sub(2),
            "sub4" => Self::Sub(3),
            "sub5" => Self::Sub(4),
            _ => return None,
        })
    }

    /// The name, where the variable may stand in query values only.
    fn query_only(self) -> Option<&'static str> {
        match self {
            Self::Token => Some("token"),
            Self::Sub(n) => Some(["sub1", "sub2", "sub3", "sub4", "sub5"][n]),
            Self::Affiliate | Self::Click | Self::Reference | Self::Product => None,
        }
    }

    fn value<'a>(self, values: &Values<'a>) -> Option<&'a str> {
        let value = match self {
            Self::Affiliate => values.affiliate,
            Self::Token => values.token,
            Self::Click => Some(values.click),
            Self::Reference => {
                values.token.filter(|token| !token.is_empty()).or(Some(values.click))
            }
            Self::Product => Some(values.product),
            Self::Sub(n) => values.subs.get(n).copied(),
        };
        value.filter(|value| !value.is_empty())
    }
}

/// What the placeholders of one link are filled with.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values<'a> {
    /// The product's ID.
    pub product: &'a str,
    /// The affiliate's ID; a text that is none counts as missing.
    pub affiliate: Option<&'a str>,
    /// The attendee's token.
    pub token: Option<&'a str>,
    /// The click's ID.
    pub click: &'a str,
    /// `sub1`, `sub2`, …; empty ones count as missing.
    pub subs: &'a [&'a str],
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Variable(Variable),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    /// As it stands in the template, with `=` where there is one.
    key: String,
    value: Vec<Piece>,
}

/// A parsed URL template.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template {
    base: Vec<Piece>,
    query: Vec<Parameter>,
    /// With its `#`.
    fragment: String,
}

impl Template {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        if text.len() > MAX_LEN {
            return Err(TemplateError::TooLong);
        }
        if text.bytes().any(|b| !b.is_ascii_graphic() || b == b'\\') {
            return Err(TemplateError::Characters);
        }
        let scheme_len = ["https://", "http://"]
            .iter()
            .find(|scheme| {
                text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            })
            .ok_or(TemplateError::Scheme)?
            .len();
        let authority_end =
            text[scheme_len..].find(['/', '?', '#']).map_or(text.len(), |at| scheme_len + at);
        if text[..authority_end].contains(['{', '}']) {
            return Err(TemplateError::PlaceholderInHost);
        }
        if broken_escape(text) {
            return Err(TemplateError::Escape);
        }
        // The parser would skip the slashes of `https:///x` and take `x` for the host.
        if authority_end == scheme_len {
            return Err(TemplateError::NotAUrl(url::ParseError::EmptyHost.to_string()));
        }
        let (rest, fragment) = match text.split_once('#') {
            Some((rest, fragment)) => (rest, format!("#{fragment}")),
            None => (text, String::new()),
        };
        if fragment.contains(['{', '}']) {
            return Err(TemplateError::PlaceholderPlace);
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));

        if path[authority_end..].split('/').any(is_dot_segment) {
            return Err(TemplateError::DotSegment);
        }
        let base = pieces(path)?;
        for piece in &base {
            if let Piece::Variable(variable) = piece
                && let Some(name) = variable.query_only()
            {
                return Err(TemplateError::QueryOnly(name));
            }
        }
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let key_len = pair.find('=').map_or(pair.len(), |at| at + 1);
                let (key, value) = pair.split_at(key_len);
                if key.contains(['{', '}']) {
                    return Err(TemplateError::PlaceholderPlace);
                }
                Ok(Parameter { key: key.to_owned(), value: pieces(value)? })
            })
            .collect::<Result<_, _>>()?;
        let template = Self { base, query, fragment };

        // The URL standard's parser has the last word, on a filled-in sample.
        let sample = template.expand(
            &Values {
                product: "p",
                affiliate: Some("a"),
                token: Some("t"),
                click: "c",
                subs: &["s"; 5],
            },
            &[],
        );
        let url = Url::parse(&sample).map_err(|error| TemplateError::NotAUrl(error.to_string()))?;
        if !url.username().is_empty()
            || url.password().is_some()
            || text[..authority_end].contains('@')
        {
            return Err(TemplateError::UserInfo);
        }
        Ok(template)
    }

    fn holds(&self, variable: Variable) -> bool {
        holds(&self.base, variable)
            || self.query.iter().any(|parameter| holds(&parameter.value, variable))
    }

    /// Query names as a server would read them.
    fn names(&self) -> impl Iterator<Item = String> + '_ {
        self.query.iter().map(|parameter| {
            let key = parameter.key.trim_end_matches('=').replace('+', " ");
            percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned()
        })
    }

    fn expand(&self, values: &Values<'_>, passed: &[(&str, &str)]) -> String {
        let mut url = String::with_capacity(256);
        fill(&mut url, &self.base, |variable| {
            // Only a mistake of the caller's leaves a path without an ID; no ID starts with `-`.
            variable.value(values).filter(|value| is_id(value)).unwrap_or("-")
        });
        let mut separator = '?';
        for parameter in &self.query {
            let missing = parameter.value.iter().any(
                |piece| matches!(piece, Piece::Variable(variable) if variable.value(values).is_none()),
            );
            // The affiliate goes with the link whatever else the parameter was to say.
            if missing && !holds(&parameter.value, Variable::Affiliate) {
                continue;
            }
            url.push(separator);
            separator = '&';
            url.push_str(&parameter.key);
            fill(&mut url, &parameter.value, |variable| variable.value(values).unwrap_or_default());
        }
        for (name, value) in passed {
            url.push(separator);
            separator = '&';
            url.extend(utf8_percent_encode(name, RESERVED));
            url.push('=');
            url.extend(utf8_percent_encode(value, RESERVED));
        }
        url.push_str(&self.fragment);
        url
    }
}

fn holds(pieces: &[Piece], variable: Variable) -> bool {
    pieces.contains(&Piece::Variable(variable))
}

fn fill<'a>(url: &mut String, pieces: &[Piece], value: impl Fn(Variable) -> &'a str) {
    for piece in pieces {
        match piece {
            Piece::Literal(text) => url.push_str(text),
            Piece::Variable(variable) => {
                url.extend(utf8_percent_encode(value(*variable), RESERVED));
            }
        }
    }
}

/// Also `%2{product}`, or a value could complete the escape.
fn broken_escape(text: &str) -> bool {
    let hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .any(|(at, b)| *b == b'%' && !(hex(bytes.get(at + 1)) && hex(bytes.get(at + 2))))
}

fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (literal, tail) = rest.split_at(open);
        let inner = tail.strip_prefix('{').ok_or(TemplateError::LoneBrace)?;
        let (name, after) = inner.split_once('}').ok_or(TemplateError::LoneBrace)?;
        let variable =
            Variable::parse(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        pieces.push(Piece::Variable(variable));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

/// Which of a destination's two templates is at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {error}")]
pub struct DestinationError {
    /// `with_affiliate` or `without_affiliate`.
    pub field: &'static str,
    /// What is wrong with it.
    pub error: TemplateError,
}

/// A page that links lead to, with and without an affiliate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    with: Option<Template>,
    without: Template,
}

impl Destination {
    /// Parses the two templates; see the message `Destination` for what they may hold and which may be empty.
    ///
    /// # Errors
    /// Names the template and what is wrong with it.
    pub fn parse(with: &str, without: &str) -> Result<Self, DestinationError> {
        let in_with = |error| DestinationError { field: "with_affiliate", error };
        let in_without = |error| DestinationError { field: "without_affiliate", error };

        let with =
            (!with.is_empty()).then(|| Template::parse(with)).transpose().map_err(in_with)?;
        if with.as_ref().is_some_and(|with| !with.holds(Variable::Affiliate)) {
            return Err(in_with(TemplateError::AffiliateMissing));
        }
        let without = match &with {
            Some(with) if without.is_empty() => {
                if holds(&with.base, Variable::Affiliate) {
                    return Err(in_without(TemplateError::WithoutRequired));
                }
                let mut derived = with.clone();
                derived.query.retain(|parameter| !holds(&parameter.value, Variable::Affiliate));
                derived
            }
            _ => Template::parse(without).map_err(in_without)?,
        };
        if without.holds(Variable::Affiliate) {
            return Err(in_without(TemplateError::AffiliateUnexpected));
        }
        Ok(Self { with, without })
    }

    /// The URL of the page. `passed` are a visitor's query parameters, decoded, with no reserved name
    /// among them; they follow the template's own.
    #[must_use]
    pub fn url(&self, values: &Values<'_>, passed: &[(&str, &str)]) -> String {
        let affiliate = values.affiliate.is_some_and(is_id);
        match &self.with {
            Some(with) if affiliate => with.expand(values, passed),
            _ => self.without.expand(values, passed),
        }
    }

    /// Names of the query parameters that the page's own templates use, decoded: a visitor's parameters of these
    /// names are not passed on.
    pub fn reserved(&self) -> impl Iterator<Item = String> + '_ {
        self.with.iter().chain([&self.without]).flat_map(Template::names)
    }
}
