//! Placeholders in HTML: the place of each, as a browser's tokenizer sees it.
//!
//! A mark is put where each placeholder stands, and the token in which it comes out is the place. A mark holds a
//! space, so that it comes out in two pieces where the value is not in quotes.

use std::{convert::Infallible, ops::Range};

use html5gum::{
    Span, Tokenizer,
    emitters::callback::{CallbackEmitter, CallbackEvent},
};

use super::{Encoding, Placeholder, Reader, Refused, refused, text::Text, url::Url};

/// Attributes whose value is one address.
const ADDRESSES: [&str; 19] = [
    "action",
    "background",
    "cite",
    "classid",
    "codebase",
    "data",
    "dynsrc",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "lowsrc",
    "manifest",
    "poster",
    "profile",
    "src",
    "usemap",
    "xlink:href",
    "xml:base",
];

/// Attributes whose value is a language of its own, apart from event handlers.
const LANGUAGES: [&str; 5] = ["imagesrcset", "ping", "srcdoc", "srcset", "style"];

/// Elements whose text is not HTML, or is HTML to some readers only.
const RAW: [&str; 8] =
    ["iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "xmp"];

/// How the placeholders of an HTML text are encoded.
///
/// # Errors
/// Names the first one that stands where nothing can be put in safely.
pub(super) fn encodings(
    body: &str,
    found: &[(Range<usize>, Placeholder)],
) -> Result<Vec<Encoding>, Refused> {
    if found.is_empty() {
        return Ok(Vec::new());
    }
    if body.to_ascii_lowercase().contains(MARK) {
        return Err(Refused(format!("must not contain `{MARK}`")));
    }
    let mut marked = String::with_capacity(body.len() + found.len() * 16);
    let mut done = 0;
    for (index, (range, _)) in found.iter().enumerate() {
        marked.push_str(&body[done..range.start]);
        marked.push_str(&mark(index));
        done = range.end;
    }
    marked.push_str(&body[done..]);

    let mut places = Places {
        found,
        percent: Vec::with_capacity(found.len()),
        refusal: None,
        tag: None,
        attribute: String::new(),
        raw: None,
        frames: false,
    };
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        places.see(&event);
        None::<Infallible>
    });
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(marked.as_str(), emitter).finish();

    let Places { percent, refusal, .. } = places;
    let why = refusal.or_else(|| {
        (percent.len() < found.len()).then(|| "in a tag that is never closed".to_owned())
    });
    match (why, found.get(percent.len()).or(found.last())) {
        (Some(place), Some((range, _))) => {
            let why = format!("stands {place}, where nothing can be filled in safely");
            Err(refused(body, range.clone(), &why))
        }
        _ => Ok(percent
            .into_iter()
            .zip(found)
            .map(|(percent, (range, _))| Encoding {
                percent,
                html: true,
                after_ampersand: is_after_ampersand(&body[..range.start]),
            })
            .collect()),
    }
}

fn is_after_ampersand(before: &str) -> bool {
    before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '#').ends_with('&')
}

/// What stands for a placeholder begins with this: lower case, as names come out, and beginning with letters that
/// complete no character reference.
const MARK: &str = "zqtagalong";

fn mark(index: usize) -> String {
    format!("{MARK}{index}z zq")
}

/// What the tokens seen so far say about the placeholders, which come in order.
struct Places<'a> {
    found: &'a [(Range<usize>, Placeholder)],
    /// One for each placeholder seen in a good place: whether it is percent-encoded.
    percent: Vec<bool>,
    /// Where the next one stands, if that is no good place.
    refusal: Option<String>,
    /// The start tag that is being read.
    tag: Option<String>,
    attribute: String,
    /// The element whose raw text is being read.
    raw: Option<&'static str>,
    /// A `noframes` was seen, which the tokenizer does not know to be raw.
    frames: bool,
}

impl Places<'_> {
    fn see(&mut self, event: &CallbackEvent<'_>) {
        if self.refusal.is_some() {
            return;
        }
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.forbid(name, "in the name of a tag");
                let name = String::from_utf8_lossy(name).into_owned();
                self.frames |= name == "noframes";
                self.tag = Some(name);
            }
            CallbackEvent::AttributeName { name } => {
                self.forbid(name, "in the name of an attribute, or in a value without quotes");
                self.attribute = String::from_utf8_lossy(name).into_owned();
            }
            CallbackEvent::AttributeValue { value } if self.tag.is_none() => {
                self.forbid(value, "in a closing tag");
            }
            CallbackEvent::AttributeValue { value } => self.attribute_value(value),
            CallbackEvent::CloseStartTag { .. } => {
                let tag = self.tag.take();
                self.raw = RAW.into_iter().find(|raw| Some(*raw) == tag.as_deref());
            }
            CallbackEvent::EndTag { name } => {
                self.forbid(name, "in the name of a tag");
                self.raw = None;
            }
            CallbackEvent::String { value } => match self.raw {
                Some(raw) => self.forbid(value, &format!("in <{raw}>")),
                None if self.frames => self.forbid(value, "in <noframes>"),
                None => self.walk(value, Text::default()),
            },
            CallbackEvent::Comment { value } => self.forbid(value, "in a comment"),
            CallbackEvent::Doctype { name, public_identifier, system_identifier, .. } => {
                for part in
                    [Some(*name), *public_identifier, *system_identifier].into_iter().flatten()
                {
                    self.forbid(part, "in the document type");
                }
            }
            CallbackEvent::Error(_) => {}
        }
    }

    fn attribute_value(&mut self, value: &[u8]) {
        let name = self.attribute.as_str();
        if name.starts_with("on") || LANGUAGES.contains(&name) {
            let place = format!("in the attribute {name}");
            self.forbid(value, &place);
        } else if ADDRESSES.contains(&name) {
            self.walk(value, Url::default());
        } else {
            self.walk(value, Text::default());
        }
    }

    /// Reads a value that placeholders may stand in.
    fn walk(&mut self, value: &[u8], mut reader: impl Reader) {
        let value = String::from_utf8_lossy(value);
        let mut rest = value.as_ref();
        while let Some((_, placeholder)) = self.found.get(self.percent.len())
            && let Some((before, after)) = rest.split_once(&mark(self.percent.len()))
        {
            self.forbid(before.as_bytes(), "in a value without quotes");
            reader.feed(before);
            match reader.place(placeholder) {
                Ok(percent) => self.percent.push(percent),
                Err(place) => {
                    self.refusal = Some(place.to_owned());
                    return;
                }
            }
            rest = after;
        }
        self.forbid(rest.as_bytes(), "in a value without quotes");
    }

    /// Reads something that placeholders may not stand in, nor anything that could be mistaken for one.
    fn forbid(&mut self, value: &[u8], place: &str) {
        if self.refusal.is_none() && String::from_utf8_lossy(value).contains(MARK) {
            self.refusal = Some(place.to_owned());
        }
    }
}
