//! What the command line prints: tables for people, JSON Lines for programs.

use std::io::{self, Write as _};

use anyhow::Context as _;
use comfy_table::{Table, presets};
use iso_currency::Currency;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// Prints a line on standard output.
///
/// # Errors
/// If nobody reads it any more.
pub(crate) fn line(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_ref().as_bytes())?;
    stdout.write_all(b"\n")?;
    Ok(stdout.flush()?)
}

/// Prints why the command failed, once, on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // There is nobody left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "tagalong: {error:#}");
}

/// Whether the reader of standard output has gone, as `head` does when it has enough.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints a note for people on standard error, so that standard output stays clean.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Prints messages as a table, or as JSON Lines.
///
/// # Errors
/// If nobody reads them any more.
pub(crate) fn list<M: Message + Name>(
    json: bool,
    header: &[&str],
    messages: &[M],
    row: impl Fn(&M) -> Vec<String>,
) -> anyhow::Result<()> {
    if json {
        return messages.iter().try_for_each(|message| line(self::json(message)?));
    }
    table(header, messages.iter().map(row))
}

/// Prints a table.
///
/// # Errors
/// If nobody reads it any more.
pub(crate) fn table(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter().copied());
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    line(trimmed.join("\n"))
}

/// Prints one message whole, as indented JSON.
///
/// # Errors
/// If nobody reads it any more.
pub(crate) fn show<M: Message + Name>(message: &M) -> anyhow::Result<()> {
    let value: serde_json::Value = serde_json::from_str(&json(message)?)?;
    line(serde_json::to_string_pretty(&value)?)
}

/// A message in the canonical JSON of protocol buffers, on one line.
///
/// # Errors
/// If the message is not one of `tagalong.v1`.
pub(crate) fn json<M: Message + Name>(message: &M) -> anyhow::Result<String> {
    let pool = DescriptorPool::decode(tagalong_proto::DESCRIPTORS)?;
    let name = M::full_name();
    let descriptor =
        pool.get_message_by_name(&name).with_context(|| format!("no message {name}"))?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let mut json = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(
        &mut serializer,
        &SerializeOptions::new().stringify_64_bit_integers(true).skip_default_fields(false),
    )?;
    Ok(String::from_utf8(json)?)
}

/// An amount for people: `497.00 EUR`.
pub(crate) fn money(money: Option<&tagalong_proto::v1::Money>) -> String {
    let Some(money) = money else { return "-".to_owned() };
    let exponent =
        Currency::from_code(&money.currency).and_then(Currency::exponent).map_or(2, u32::from);
    let unit = 10_i64.pow(exponent);
    let (whole, part) = (money.minor_units / unit, money.minor_units % unit);
    if exponent == 0 {
        format!("{whole} {}", money.currency)
    } else {
        format!("{whole}.{part:0width$} {}", money.currency, width = exponent as usize)
    }
}

/// A time for people, to the second.
pub(crate) fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(|time| jiff::Timestamp::new(time.seconds, 0).ok())
        .map_or_else(|| "-".to_owned(), |time| time.to_string())
}

/// An empty text as a dash.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// An enum's name without its prefix, as flags spell it: `CREDIT_PLATFORM_ONLY` is `platform-only`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use tagalong_proto::v1;

    use super::*;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        for (minor_units, currency, expected) in [
            (49_700, "EUR", "497.00 EUR"),
            (5, "EUR", "0.05 EUR"),
            (497, "JPY", "497 JPY"),
            (1_234, "BHD", "1.234 BHD"),
        ] {
            let amount = v1::Money { minor_units, currency: currency.to_owned() };
            assert_eq!(money(Some(&amount)), expected);
        }
        assert_eq!(money(None), "-");
    }

    #[test]
    fn messages_print_as_canonical_json() {
        let product = v1::Programme { id: "demo".to_owned(), revision: 7, ..Default::default() };
        let json: serde_json::Value = serde_json::from_str(&json(&product).unwrap()).unwrap();
        assert_eq!(json["id"], "demo");
        assert_eq!(json["revision"], "7");
        assert_eq!(json["neverNamesAffiliates"], false);
    }

    #[test]
    fn enums_print_as_flags_spell_them() {
        assert_eq!(word("CREDIT_PLATFORM_ONLY", "CREDIT_"), "platform-only");
    }
}
