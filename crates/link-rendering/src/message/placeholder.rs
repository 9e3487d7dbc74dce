//! Finding our placeholders among everything else that stands in braces.

use std::ops::Range;

use tagalong_attribution::id::ProductId;

use super::{Refused, refused};

/// What stands in a message to be filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Placeholder {
    /// `{{purchase_link:PRODUCT}}`
    PurchaseLink(ProductId),
    /// `{{affiliate:PRODUCT}}`
    Affiliate(ProductId),
    /// `{{token}}`
    Token,
}

impl Placeholder {
    /// The product it names.
    pub(crate) fn product(&self) -> Option<&ProductId> {
        match self {
            Self::PurchaseLink(product) | Self::Affiliate(product) => Some(product),
            Self::Token => None,
        }
    }
}

const WORDS: [&str; 3] = ["purchase_link", "affiliate", "token"];

/// How much of a broken placeholder is shown, and searched for its end.
const LONGEST: usize = 200;

/// Finds our placeholders, in order. Other tools' merge tags are none of ours: `{{ token.url }}`, `{{tokens}}`.
///
/// # Errors
/// One that begins as ours do and is not well formed: sent as it is, the link in it would be dead.
pub(super) fn find(body: &str) -> Result<Vec<(Range<usize>, Placeholder)>, Refused> {
    refuse_percent_encoded(body)?;
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = body[at..].find("{{") {
        let start = at + open;
        let braces = body[start..].bytes().take_while(|byte| *byte == b'{').count();
        at = start + braces;
        let inner = body[at..].trim_start_matches([' ', '\t']);
        let Some(word) = our_word(inner) else { continue };
        let window = &inner[..inner.floor_char_boundary(LONGEST)];
        let Some(close) = window.find("}}") else {
            let line = window.lines().next().unwrap_or_default();
            let from = body.len() - inner.len();
            return Err(refused(body, start..from + line.len(), "is never closed with `}}`"));
        };
        let end = body.len() - inner.len() + close + 2;
        if braces > 2 {
            return Err(refused(body, start..end, "must stand in two braces on either side"));
        }
        let placeholder = read(word, inner[word.len()..close].trim_matches([' ', '\t']))
            .map_err(|why| refused(body, start..end, &why))?;
        found.push((start..end, placeholder));
        at = end;
    }
    Ok(found)
}

/// The word of ours that `text` begins with, where it is not part of a longer name.
fn our_word(text: &str) -> Option<&'static str> {
    let name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[');
    WORDS.into_iter().find(|word| {
        text.strip_prefix(word).is_some_and(|rest| !rest.bytes().next().is_some_and(|b| name(&b)))
    })
}

fn read(word: &str, argument: &str) -> Result<Placeholder, String> {
    if word == "token" {
        return match argument {
            "" => Ok(Placeholder::Token),
            _ => Err("must be `{{token}}`, with nothing after the word".to_owned()),
        };
    }
    let product = argument
        .strip_prefix(':')
        .ok_or_else(|| format!("must name a product: `{{{{{word}:PRODUCT}}}}`"))?
        .trim_matches([' ', '\t'])
        .parse()
        .map_err(|error| format!("names no product ID: it {error}"))?;
    Ok(match word {
        "affiliate" => Placeholder::Affiliate(product),
        _ => Placeholder::PurchaseLink(product),
    })
}

/// Editors encode braces in addresses; such a placeholder would be mailed as it is.
fn refuse_percent_encoded(body: &str) -> Result<(), Refused> {
    let mut at = 0;
    while let Some(percent) = body[at..].find('%') {
        let start = at + percent;
        at = start + 1;
        let open = body.as_bytes().get(start..start + 6);
        if !open.is_some_and(|open| open.eq_ignore_ascii_case(b"%7B%7B")) {
            continue;
        }
        let mut inner = &body[start + 6..];
        while let Some(rest) = inner.strip_prefix("%20").or_else(|| inner.strip_prefix([' ', '+']))
        {
            inner = rest;
        }
        if let Some(word) = our_word(inner) {
            let end = body.len() - inner.len() + word.len();
            let why = "is percent-encoded: write the placeholder with plain braces";
            return Err(refused(body, start..end, why));
        }
    }
    Ok(())
}
