//! Placeholders in running text: plain text, HTML text, attributes that are not addresses.

use std::ops::Range;

use super::{
    Encoding, Placeholder, Reader,
    merge_tag::{Piece, pieces},
};

/// Where a reader of running text stands: inside which part of a URL, if any.
#[derive(Debug, Default)]
pub(super) struct Text {
    part: Part,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A word that does not look like a URL so far.
    #[default]
    Word,
    /// A word that has a `:`, `/`, `.` or a merge tag.
    Address,
    /// After `?` or `&`, before any character of a name.
    Query,
    Name,
    Value,
}

impl Reader for Text {
    fn feed(&mut self, text: &str) {
        for piece in pieces(text) {
            self.part = match (self.part, piece) {
                (_, Piece::Char('<' | '>' | '"')) => Part::Word,
                (_, Piece::Char(character)) if character.is_whitespace() => Part::Word,
                (Part::Word, Piece::Char(':' | '/' | '.') | Piece::Tag) => Part::Address,
                (Part::Address, Piece::Char('?'))
                | (Part::Query | Part::Name | Part::Value, Piece::Char('&'))
                | (Part::Query, Piece::Char('=')) => Part::Query,
                (Part::Query, _) => Part::Name,
                (Part::Name, Piece::Char('=')) => Part::Value,
                (part, _) => part,
            };
        }
    }

    /// In a query's value. Before the value, or in a path, nobody can tell what the text means.
    fn place(&mut self, _: &Placeholder) -> Result<bool, &'static str> {
        match self.part {
            Part::Word => self.part = Part::Address,
            Part::Query => self.part = Part::Name,
            Part::Address | Part::Name | Part::Value => {}
        }
        Ok(self.part == Part::Value)
    }
}

/// How the placeholders of a plain text are encoded.
pub(super) fn encodings(body: &str, found: &[(Range<usize>, Placeholder)]) -> Vec<Encoding> {
    let mut text = Text::default();
    let mut done = 0;
    found
        .iter()
        .map(|(range, placeholder)| {
            text.feed(&body[done..range.start]);
            done = range.end;
            let percent = text.place(placeholder).unwrap_or_default();
            Encoding { percent, ..Encoding::default() }
        })
        .collect()
}
