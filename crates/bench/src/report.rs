//! What came out, for people and for programs.

use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use crate::{
    harness::{Check, Goal, Outcome, shown},
    machine::{Machine, is_stolen},
};

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    /// The numbers mean nothing.
    pub(crate) quick: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Report {
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// Whether a number is not to be trusted.
    pub(crate) fn is_noisy(&self, outcome: &Outcome, check: &Check) -> bool {
        self.quick || check.noisy || self.machine.was_busy() || is_stolen(outcome.steal)
    }

    /// Why numbers are not to be trusted.
    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        if self.quick {
            doubts.push(
                "this was a quick run: it shows that the bench works, and nothing else".to_owned(),
            );
        }
        if self.machine.was_busy() {
            doubts.push(format!(
                "the machine was busy before the start (load {})",
                self.machine.load
            ));
        }
        for outcome in &self.outcomes {
            if is_stolen(outcome.steal) {
                let steal = outcome.steal * 100.0;
                doubts.push(format!("{}: {steal:.1} % of the time was stolen", outcome.workload));
            }
            if outcome.checks.iter().any(|check| check.noisy) {
                doubts.push(format!("{}: the reference was unsteady", outcome.workload));
            }
        }
        doubts
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, processor, kernel, load } = &self.machine;
        writeln!(f, "{cores} cores, {processor}, Linux {kernel}, load before the start {load}")?;
        writeln!(f, "{} rounds; medians, spread from the lowest to the highest\n", self.rounds)?;

        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_header(["workload", "what", "median", "spread", "p50", "p99"]);
        for outcome in &self.outcomes {
            for measured in &outcome.measurements {
                let percentile = |microseconds: Option<f64>| {
                    microseconds.map_or_else(String::new, |value| shown(value / 1e3, "ms"))
                };
                table.add_row([
                    outcome.workload.clone(),
                    measured.name.clone(),
                    shown(measured.median(), measured.unit),
                    format!("{:.0} %", measured.spread() * 100.0),
                    percentile(measured.median_of(|round| round.p50)),
                    percentile(measured.median_of(|round| round.p99)),
                ]);
            }
        }
        write_table(f, table, &[2, 3, 4, 5])?;

        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(["workload", "ratio", "", "goal", ""]);
        for outcome in &self.outcomes {
            for check in &outcome.checks {
                let doubtful = if self.is_noisy(outcome, check) { " ~" } else { "" };
                table.add_row([
                    outcome.workload.clone(),
                    check.what.clone(),
                    format!("{}{doubtful}", shown(check.value, check.unit)),
                    check.goal.map_or_else(String::new, |goal| text(goal, check.unit)),
                    match check.met {
                        Some(true) => "met".to_owned(),
                        Some(false) => "NOT MET".to_owned(),
                        None => String::new(),
                    },
                ]);
            }
        }
        write_table(f, table, &[2, 3])?;

        for outcome in &self.outcomes {
            for note in &outcome.notes {
                writeln!(f, "{}: {note}", outcome.workload)?;
            }
        }
        let doubts = self.doubts();
        if !doubts.is_empty() {
            writeln!(f, "\n~ marks what should not be trusted:")?;
        }
        for doubt in doubts {
            writeln!(f, "  {doubt}")?;
        }
        Ok(())
    }
}

/// A goal in words.
pub(crate) fn text(goal: Goal, unit: &str) -> String {
    match goal {
        Goal::AtLeast(goal) => format!("at least {}", shown(goal, unit)),
        Goal::AtMost(goal) => format!("at most {}", shown(goal, unit)),
    }
}

fn write_table(f: &mut fmt::Formatter<'_>, mut table: Table, numbers: &[usize]) -> fmt::Result {
    for number in numbers {
        if let Some(column) = table.column_mut(*number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.to_string().lines() {
        writeln!(f, "{}", line.trim_end())?;
    }
    writeln!(f)
}
