//! Messages with placeholders: finding them, and encoding each for the place it stands in.
//!
//! A filled message is byte for byte the given one except where a placeholder stood, and an HTML message keeps its
//! structure: what is put in never ends a text, an attribute or a tag. Where that cannot be had, the message is
//! refused.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _, ops::Range};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tagalong_attribution::id::ProductId;

mod html;
mod merge_tag;
mod placeholder;
mod render;
mod text;
mod url;

#[cfg(test)]
mod tests;

use placeholder::Placeholder;
pub(crate) use render::render;

use crate::error::Error;

/// Longest message, in bytes.
const MAX_LEN: usize = 1024 * 1024;

/// Longest filled message, in bytes: with its envelope it still is within the 4 MiB that gRPC clients accept by default.
const MAX_FILLED: usize = 4 * 1024 * 1024 - 64;

/// How many products one message may name: each costs a question to the registry.
const MAX_PRODUCTS: usize = 32;

/// What a message is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Html,
}

/// Why a message cannot be filled.
#[derive(Debug, PartialEq, Eq)]
struct Refused(String);

impl From<Refused> for Error {
    fn from(Refused(why): Refused) -> Self {
        Self::invalid("body", why)
    }
}

/// A message whose placeholders can all be filled in.
#[derive(Debug)]
struct Message<'a> {
    body: &'a str,
    slots: Vec<Slot>,
}

/// A place to be filled.
#[derive(Debug, PartialEq, Eq)]
struct Slot {
    range: Range<usize>,
    placeholder: Placeholder,
    encoding: Encoding,
}

/// What a value goes through, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Encoding {
    /// It becomes a part of a URL: everything that is not unreserved is percent-encoded.
    percent: bool,
    /// It becomes HTML: what could end the place is escaped.
    html: bool,
    /// `&`, letters and digits stand directly before it, which must not become a character reference with it.
    after_ampersand: bool,
}

/// Reads what stands before a placeholder, and so learns what its place means.
trait Reader {
    /// Reads on.
    fn feed(&mut self, text: &str);

    /// Whether what comes next must be percent-encoded; reads over it.
    ///
    /// # Errors
    /// Says where it stands, where it would change the meaning of what is around it.
    fn place(&mut self, placeholder: &Placeholder) -> Result<bool, &'static str>;
}

impl<'a> Message<'a> {
    /// Finds the placeholders and judges their places.
    ///
    /// # Errors
    /// Names the first placeholder that cannot be filled in, with its line, and why.
    fn read(body: &'a str, format: Format) -> Result<Self, Refused> {
        if body.len() > MAX_LEN {
            return Err(Refused(format!("must be at most {MAX_LEN} bytes")));
        }
        let found = placeholder::find(body)?;
        let encodings = match format {
            Format::Text => text::encodings(body, &found),
            Format::Html => html::encodings(body, &found)?,
        };
        let slots = found
            .into_iter()
            .zip(encodings)
            .map(|((range, placeholder), encoding)| Slot { range, placeholder, encoding })
            .collect();
        let message = Self { body, slots };
        if message.products().len() > MAX_PRODUCTS {
            return Err(Refused(format!("must name at most {MAX_PRODUCTS} products")));
        }
        Ok(message)
    }

    /// The products it names, each once.
    fn products(&self) -> BTreeSet<&ProductId> {
        self.slots.iter().filter_map(|slot| slot.placeholder.product()).collect()
    }

    /// The message with every placeholder replaced by its value.
    ///
    /// # Errors
    /// A value cannot be had, or the result would be too long.
    fn fill<'v>(
        &self,
        value: impl Fn(&Placeholder) -> Result<&'v str, Error>,
    ) -> Result<String, Error> {
        let mut filled = String::with_capacity(self.body.len() * 2);
        let mut done = 0;
        for slot in &self.slots {
            filled.push_str(&self.body[done..slot.range.start]);
            filled.push_str(&encode(value(&slot.placeholder)?, slot.encoding));
            done = slot.range.end;
            if filled.len() + self.body.len() - done > MAX_FILLED {
                let why = format!("filled, it would be longer than {MAX_FILLED} bytes");
                return Err(Refused(why).into());
            }
        }
        filled.push_str(&self.body[done..]);
        Ok(filled)
    }
}

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(value: &str, encoding: Encoding) -> Cow<'_, str> {
    let value = if encoding.percent {
        Cow::from(utf8_percent_encode(value, RESERVED))
    } else {
        Cow::from(value)
    };
    if !encoding.html {
        return value;
    }
    let mut escaped = String::with_capacity(value.len() + 8);
    for (index, character) in value.char_indices() {
        match character {
            first if index == 0 && encoding.after_ampersand => {
                // Writing to a String cannot fail.
                let _ = write!(escaped, "&#{};", u32::from(first));
            }
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    Cow::from(escaped)
}

/// A refusal that names a placeholder, or what looks like one, and the line it stands in.
fn refused(body: &str, range: Range<usize>, why: &str) -> Refused {
    let line = 1 + body[..range.start].bytes().filter(|byte| *byte == b'\n').count();
    let shown: String = body[range].chars().take(100).collect();
    Refused(format!("line {line}: `{shown}` {why}"))
}
