//! Rows that were not taken, to be mended and imported.

use std::path::Path;

use anyhow::Context as _;

use crate::file::{Target, foreign, written};

/// A file of rejected rows, or none.
pub(super) struct Rejected(Option<csv::Writer<Target>>);

impl Rejected {
    /// Begins the file with the header of the imported one.
    pub(super) fn open(path: Option<&Path>, header: &[String]) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let target =
            Target::open(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut csv = csv::WriterBuilder::new().flexible(true).from_writer(target);
        let header = header.iter().map(|name| foreign(name).into_owned());
        csv.write_record(header.chain(["line".to_owned(), "problem".to_owned()]))
            .map_err(written)?;
        Ok(Self(Some(csv)))
    }

    /// Adds a row.
    pub(super) fn add(&mut self, texts: &[String], line: u64, why: &str) -> anyhow::Result<()> {
        if let Some(csv) = &mut self.0 {
            let texts = texts.iter().map(|text| foreign(text).into_owned());
            let more = [line.to_string(), foreign(why).into_owned()];
            csv.write_record(texts.chain(more)).map_err(written)?;
        }
        Ok(())
    }

    /// Puts the file in its place.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if let Some(csv) = self.0 {
            csv.into_inner().map_err(csv::IntoInnerError::into_error)?.finish()?;
        }
        Ok(())
    }
}
