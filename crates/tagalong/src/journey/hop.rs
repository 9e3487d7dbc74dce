//! What was expected of each hop, and what was seen.

use std::fmt::Display;

use crate::output;

/// Where hops are reported.
pub(crate) struct Report {
    json: bool,
}

/// Why a story cannot go on: a hop that failed and was reported.
#[derive(Debug)]
pub(crate) struct Failed;

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Begins a story.
    pub(crate) fn story(&self, title: &str) -> anyhow::Result<()> {
        self.line(&format!("\n{title}"))
    }

    /// A line for people.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { output::line(text) }
    }

    /// Reports a hop: `seen` must be `expected`.
    pub(crate) fn same(
        &self,
        story: &str,
        hop: &str,
        expected: impl Display,
        seen: impl Display,
    ) -> anyhow::Result<Result<(), Failed>> {
        let (expected, seen) = (expected.to_string(), seen.to_string());
        let passed = expected == seen;
        self.hop(story, hop, &expected, &seen, passed)
    }

    fn hop(
        &self,
        story: &str,
        hop: &str,
        expected: &str,
        seen: &str,
        passed: bool,
    ) -> anyhow::Result<Result<(), Failed>> {
        if self.json {
            let hop = serde_json::json!({
                "story": story, "hop": hop, "expected": expected, "seen": seen, "passed": passed,
            });
            output::line(hop.to_string())?;
        } else if passed {
            output::line(format!("  ok    {hop:<58} {seen}"))?;
        } else {
            output::line(format!(
                "  FAIL  {hop}\n          expected {expected}\n          saw      {seen}"
            ))?;
        }
        Ok(if passed { Ok(()) } else { Err(Failed) })
    }
}
