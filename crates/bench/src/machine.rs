//! Whether the machine was quiet enough to be believed.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Serialize;

/// A machine that had more to do than this before the start is busy with something else.
const IDLE: f64 = 0.5;
/// More stolen time than this share, and numbers are somebody else's.
const STEAL: f64 = 0.02;

/// The machine as it was before the start.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    pub(crate) processor: String,
    pub(crate) kernel: String,
    /// Processes that ran or wanted to, averaged over the last minute.
    pub(crate) load: f64,
}

impl Machine {
    /// Looks at it.
    ///
    /// # Errors
    /// Fewer than two cores, or scratch data that would never see a disk.
    pub(crate) fn look(scratch: &Path) -> anyhow::Result<Self> {
        /// From `statfs(2)`.
        const TMPFS: i64 = 0x0102_1994;
        let cores = std::thread::available_parallelism()?.get();
        if cores < 2 {
            bail!("needs two cores: one for what is measured, one for who asks");
        }
        let filesystem = rustix::fs::statfs(scratch)
            .with_context(|| format!("cannot look at {}", scratch.display()))?;
        if i128::from(filesystem.f_type) == i128::from(TMPFS) {
            bail!("{} is in memory, where fsync costs nothing: see --scratch", scratch.display());
        }
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = processors
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, name)| name.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg")?;
        let load = load.split(' ').next().and_then(|load| load.parse().ok());
        Ok(Self {
            cores,
            processor: processor.to_owned(),
            kernel: kernel.trim().to_owned(),
            load: load.context("/proc/loadavg cannot be read")?,
        })
    }

    /// Whether something else was running.
    pub(crate) fn was_busy(&self) -> bool {
        self.load > IDLE
    }
}

/// Whether so much time was stolen that the numbers mean little.
pub(crate) fn is_stolen(share: f64) -> bool {
    share > STEAL
}

/// The time that passes from here on.
pub(crate) struct Watch(Ticks);

struct Ticks {
    all: u64,
    stolen: u64,
}

impl Watch {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self(ticks()?))
    }

    /// Share of the time since the start in which the machine's owner ran something else.
    #[expect(clippy::cast_precision_loss, reason = "ticks are far below 2^52")]
    pub(crate) fn steal(&self) -> anyhow::Result<f64> {
        let now = ticks()?;
        let all = now.all.saturating_sub(self.0.all).max(1);
        Ok(now.stolen.saturating_sub(self.0.stolen) as f64 / all as f64)
    }
}

fn ticks() -> anyhow::Result<Ticks> {
    /// user, nice, system, idle, iowait, irq, softirq, steal
    const STEAL: usize = 7;
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<u64> =
        line.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    let stolen = ticks.get(STEAL).copied().unwrap_or_default();
    // What comes after `steal` is contained in `user` and `nice`.
    Ok(Ticks { all: ticks.iter().take(STEAL + 1).sum(), stolen })
}
