//! Rounds, what is read off them, and the goals they are held against.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use serde::Serialize;
use tempfile::TempDir;

use crate::{note, postgres::Postgres};

/// How much is measured, and where data is kept meanwhile.
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
    /// None where only `SQLite` is measured.
    pub(crate) postgres: Option<Postgres>,
    scratch: TempDir,
}

impl Plan {
    /// Makes a directory below `scratch` that goes away with the plan.
    pub(crate) fn new(rounds: usize, quick: bool, scratch: &Path) -> anyhow::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("tagalong-bench-")
            .tempdir_in(scratch)
            .with_context(|| format!("cannot write below {}", scratch.display()))?;
        // nginx's and PostgreSQL's users have to pass.
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711))?;
        Ok(Self { rounds, quick, postgres: None, scratch })
    }

    /// A directory of this name, made where there is none.
    pub(crate) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// How long one turn of a workload lasts that answers as fast as it can.
    pub(crate) fn turn(&self) -> Duration {
        Duration::from_secs(if self.quick { 1 } else { 4 })
    }

    /// One size for a real run, another that only proves that it works.
    pub(crate) fn size(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Measures all contenders in each round, beginning with another one each time.
    pub(crate) async fn interleave<C: Copy>(
        &self,
        workload: &str,
        unit: &'static str,
        contenders: &[(&str, C)],
        mut measure: impl AsyncFnMut(C) -> anyhow::Result<Round>,
    ) -> anyhow::Result<Vec<Measurement>> {
        let mut measurements: Vec<Measurement> = contenders
            .iter()
            .map(|(name, _)| Measurement { name: (*name).to_owned(), unit, rounds: Vec::new() })
            .collect();
        for round in 0..self.rounds {
            for turn in 0..contenders.len() {
                let which = (round + turn) % contenders.len();
                let (name, contender) = contenders[which];
                let measured =
                    measure(contender).await.with_context(|| format!("{workload}: {name}"))?;
                let number = format!("{}/{}", round + 1, self.rounds);
                note(&format!("{workload}  {number}  {name}: {}", shown(measured.value, unit)));
                measurements[which].rounds.push(measured);
            }
        }
        Ok(measurements)
    }
}

/// One turn of one contender.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Round {
    /// In the measurement's unit.
    pub(crate) value: f64,
    /// Half of the answers took at most this many microseconds; absent where single answers are not timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50: Option<f64>,
    /// 99 of 100 answers took at most this many microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
}

impl Round {
    /// A round in which single answers are not timed.
    pub(crate) fn of(value: f64) -> Self {
        Self { value, p50: None, p99: None }
    }

    /// So many things in that time.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(crate) fn rate(count: u64, time: Duration) -> Self {
        Self::of(count as f64 / time.as_secs_f64())
    }
}

/// What one contender did, round by round.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measurement {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) rounds: Vec<Round>,
}

impl Measurement {
    /// The median of what is read off each round; none where a round lacks it.
    pub(crate) fn median_of(&self, read: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        self.rounds.iter().map(read).collect::<Option<Vec<f64>>>().map(median)
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.iter().map(|round| round.value).collect())
    }

    /// How far apart the rounds are, from the lowest to the highest, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        let values = || self.rounds.iter().map(|round| round.value);
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        (high - low) / self.median()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// What a number has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    /// 1 where the goal is just met, more where it is surpassed.
    pub(crate) fn reached(self, value: f64) -> f64 {
        match self {
            Self::AtLeast(goal) => value / goal,
            Self::AtMost(goal) => goal / value,
        }
    }
}

/// One number that is reported, mostly with a goal.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) goal: Option<Goal>,
    /// Whether the goal is met; absent where there is none.
    pub(crate) met: Option<bool>,
    /// The reference's rounds are too far apart for the ratio to say much.
    pub(crate) noisy: bool,
}

/// A reference whose rounds are further apart than this share of their median did not have the machine to
/// itself.
const STEADY: f64 = 0.15;

impl Check {
    /// A number with a goal, or for information.
    pub(crate) fn value(
        what: impl Into<String>,
        value: f64,
        unit: &'static str,
        goal: Option<Goal>,
    ) -> Self {
        let met = goal.map(|goal| goal.reached(value) >= 1.0);
        Self { what: what.into(), value, unit, goal, met, noisy: false }
    }

    /// The median of the ratios within each round.
    pub(crate) fn ratio(ours: &Measurement, reference: &Measurement, goal: Option<Goal>) -> Self {
        let rounds = ours.rounds.iter().zip(&reference.rounds);
        let ratio = median(rounds.map(|(ours, reference)| ours.value / reference.value).collect());
        let what = format!("{} / {}", ours.name, reference.name);
        Self { noisy: reference.spread() > STEADY, ..Self::value(what, ratio, "x", goal) }
    }

    /// The same of the 99th percentiles; none where answers were not timed.
    pub(crate) fn p99_ratio(
        ours: &Measurement,
        reference: &Measurement,
        goal: Option<Goal>,
    ) -> Option<Self> {
        let rounds = ours.rounds.iter().zip(&reference.rounds);
        let ratios = rounds.map(|(ours, reference)| Some(ours.p99? / reference.p99?));
        let ratio = median(ratios.collect::<Option<Vec<f64>>>()?);
        let what = format!("p99: {} / {}", ours.name, reference.name);
        Some(Self { noisy: reference.spread() > STEADY, ..Self::value(what, ratio, "x", goal) })
    }
}

/// What came of a workload.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) workload: String,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) checks: Vec<Check>,
    /// What the numbers do not say.
    pub(crate) notes: Vec<String>,
    /// Share of the time that the machine's owner gave to others meanwhile.
    pub(crate) steal: f64,
}

/// A number with its unit, as people read it.
pub(crate) fn shown(value: f64, unit: &str) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        large if large >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[f64]) -> Measurement {
        let rounds = values.iter().map(|value| Round::of(*value)).collect();
        Measurement { name: "it".to_owned(), unit: "/s", rounds }
    }

    #[test]
    fn medians_and_spread() {
        assert_eq!(measured(&[3.0, 1.0, 2.0]).median().to_bits(), 2f64.to_bits());
        assert_eq!(measured(&[4.0, 1.0, 2.0, 3.0]).median().to_bits(), 2.5f64.to_bits());
        assert_eq!(measured(&[9.0, 10.0, 12.0]).spread().to_bits(), 0.3f64.to_bits());
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        // The machine became half as fast after the first round: each ratio is still 2.
        let check =
            Check::ratio(&measured(&[20.0, 10.0, 10.0]), &measured(&[10.0, 5.0, 5.0]), None);
        assert_eq!(check.value.to_bits(), 2f64.to_bits());
        assert!(check.noisy);
    }

    #[test]
    fn goals_are_met_at_the_goal() {
        let met = |value, goal| Check::value("it", value, "x", Some(goal)).met;
        assert_eq!(met(0.9, Goal::AtLeast(0.9)), Some(true));
        assert_eq!(met(0.89, Goal::AtLeast(0.9)), Some(false));
        assert_eq!(met(150.0, Goal::AtMost(150.0)), Some(true));
        assert_eq!(met(151.0, Goal::AtMost(150.0)), Some(false));
        assert_eq!(Check::value("it", 1.0, "x", None).met, None);
    }

    #[tokio::test]
    async fn everybody_begins_once() {
        let scratch = tempfile::tempdir().unwrap();
        let plan = Plan::new(3, true, scratch.path()).unwrap();
        let mut order = String::new();
        let contenders = [("a", 'a'), ("b", 'b'), ("c", 'c')];
        let measured = plan
            .interleave("test", "/s", &contenders, async |who| {
                order.push(who);
                Ok(Round::of(f64::from(u32::from(who))))
            })
            .await
            .unwrap();
        assert_eq!(order, "abcbcacab");
        assert_eq!(measured[1].median().to_bits(), 98f64.to_bits());
    }
}
