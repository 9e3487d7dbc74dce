//! The merge tags of other tools, as far as they must be told from text.

/// A piece of text as a URL reader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    /// `{{…}}` of another tool: something it will fill in, whatever stands between the braces.
    Tag,
}

/// Splits text into characters and other tools' merge tags. Linear: once no `}}` follows, none is looked for.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    let mut rest = text;
    let mut closed = true;
    std::iter::from_fn(move || {
        if closed && let Some(inner) = rest.strip_prefix("{{") {
            if let Some(end) = inner.find("}}") {
                rest = &inner[end + 2..];
                return Some(Piece::Tag);
            }
            closed = false;
        }
        let character = rest.chars().next()?;
        rest = &rest[character.len_utf8()..];
        Some(Piece::Char(character))
    })
}
