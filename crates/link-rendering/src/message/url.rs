//! Placeholders in an attribute that holds an address.

use super::{
    Placeholder, Reader,
    merge_tag::{Piece, pieces},
};

/// Where a reader of an address stands, as a browser would read it.
#[derive(Debug, Default)]
pub(super) struct Url {
    part: Part,
    /// What was read of the scheme, or of a path without one.
    first: String,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing was read but what browsers skip.
    #[default]
    Start,
    /// In a scheme, or in the first segment of a relative path.
    First,
    /// After a scheme of the web, or two slashes: a host comes.
    Slashes,
    Host,
    /// After a leading slash.
    Slash,
    /// After a scheme such as `mailto:`.
    Opaque,
    /// After such a scheme and a slash.
    OpaqueSlash,
    /// In a path, query or fragment.
    Inside,
    /// After a scheme whose rest is run or shown as it is.
    Script,
}

/// Longest scheme that is looked at.
const SCHEME: usize = 32;

impl Reader for Url {
    fn feed(&mut self, text: &str) {
        for piece in pieces(text) {
            let Piece::Char(character) = piece else {
                self.other();
                continue;
            };
            match (self.part, character) {
                (_, '\t' | '\r' | '\n')
                | (Part::Start, '\0'..=' ')
                | (Part::Slashes, '/' | '\\') => {}
                (Part::Start, '/' | '\\') => self.part = Part::Slash,
                (Part::Slash, '/' | '\\') => self.part = Part::Slashes,
                (Part::Opaque, '/') => self.part = Part::OpaqueSlash,
                (Part::OpaqueSlash, '/') => self.part = Part::Host,
                (Part::First | Part::Host, '/' | '\\')
                | (Part::Start | Part::First | Part::Host | Part::Slashes, '?' | '#') => {
                    self.part = Part::Inside;
                }
                (Part::First, ':') => self.part = self.after_scheme(),
                (Part::Start | Part::First, other) => {
                    self.part = Part::First;
                    if self.first.len() <= SCHEME {
                        self.first.push(other.to_ascii_lowercase());
                    }
                }
                _ => self.other(),
            }
        }
    }

    fn place(&mut self, placeholder: &Placeholder) -> Result<bool, &'static str> {
        match (self.part, placeholder) {
            (Part::Start, Placeholder::PurchaseLink(_)) => {
                self.part = Part::Inside;
                Ok(false)
            }
            (Part::Start | Part::First, _) => Err("at the beginning of an address"),
            (Part::Slashes | Part::Host, _) => Err("in the host of an address"),
            (Part::Script, _) => Err("in a script or document written as an address"),
            (Part::Slash | Part::Opaque | Part::OpaqueSlash | Part::Inside, _) => {
                self.part = Part::Inside;
                Ok(true)
            }
        }
    }
}

impl Url {
    /// Reads over something that has no meaning of its own.
    fn other(&mut self) {
        self.part = match self.part {
            Part::Start | Part::First => {
                // No scheme has one.
                self.first.push('{');
                Part::First
            }
            Part::Slashes | Part::Host => Part::Host,
            Part::Script => Part::Script,
            Part::Slash | Part::Opaque | Part::OpaqueSlash | Part::Inside => Part::Inside,
        };
    }

    fn after_scheme(&self) -> Part {
        let mut letters = self.first.chars();
        let is_scheme = letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        match self.first.as_str() {
            "http" | "https" | "ftp" | "ws" | "wss" | "file" => Part::Slashes,
            "javascript" | "vbscript" | "livescript" | "data" | "blob" | "view-source" => {
                Part::Script
            }
            _ if is_scheme => Part::Opaque,
            _ => Part::Inside,
        }
    }
}
