//! Processes that are measured, or measured against.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{sleep, timeout},
};

use crate::http;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which cores a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// The core of what is measured.
    Server,
    /// The core of who asks.
    Load,
    /// Both.
    Both,
}

impl Cores {
    /// As `taskset --cpu-list` wants it.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::Server => "0",
            Self::Load => "1",
            Self::Both => "0,1",
        }
    }
}

/// The memory a process occupies, in MB (10^6 bytes).
pub(crate) fn memory(process: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kilobytes = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    });
    Ok(kilobytes.context("/proc does not tell its memory")? * 1024.0 / 1e6)
}

/// A process that dies with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    stop: Signal,
    addresses: HashMap<String, SocketAddr>,
    output: PathBuf,
}

impl Process {
    /// Starts a program, pinned to its cores; what it complains about goes to a file in `directory`.
    pub(crate) fn start(
        name: &str,
        cores: Cores,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let output = directory.join(format!("{name}.log"));
        let mut command = Command::new("taskset");
        command.args(["-c", cores.list()]).arg(program).args(arguments);
        // What the machine's own Tagalong is set to is not measured.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("TAGALONG") || text.starts_with("OTEL_") || text == "RUST_LOG" {
                command.env_remove(&name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&output)?);
        let child = command.spawn().with_context(|| format!("{name} cannot be started"))?;
        let (name, addresses) = (name.to_owned(), HashMap::new());
        Ok(Self { name, child, stop: Signal::KILL, addresses, output })
    }

    /// For one that has children of its own to stop, or files to leave whole.
    pub(crate) fn stopped_by(mut self, signal: Signal) -> Self {
        self.stop = signal;
        self
    }

    /// Waits until it has printed an address of each kind, as all our services do (`redirect http
    /// 127.0.0.1:8080`).
    pub(crate) async fn announced(mut self, kinds: &[&str]) -> anyhow::Result<Self> {
        let mut lines = self.lines()?;
        while !kinds.iter().all(|kind| self.addresses.contains_key(*kind)) {
            let Ok(Some(line)) = timeout(PATIENCE, lines.recv()).await else {
                bail!("{} does not say where it listens:\n{}", self.name, self.complaints());
            };
            let mut words = line.split_whitespace().skip(1);
            if let (Some(kind), Some(address)) = (words.next(), words.next())
                && let Ok(address) = address.parse()
            {
                self.addresses.insert(kind.to_owned(), address);
            }
        }
        Ok(self)
    }

    /// Waits until it accepts connections at an address that it was told.
    pub(crate) async fn listening(mut self, address: SocketAddr) -> anyhow::Result<Self> {
        let begin = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            if begin.elapsed() > PATIENCE || self.child.try_wait()?.is_some() {
                bail!("{} does not listen:\n{}", self.name, self.complaints());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(self)
    }

    /// Waits until `/readyz` says that it is.
    pub(crate) async fn ready(self) -> anyhow::Result<Self> {
        let admin = self.address("admin")?;
        let begin = Instant::now();
        loop {
            if http::get(admin, "/readyz").await.is_ok_and(|answer| is_status(&answer, 200)) {
                return Ok(self);
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} is not ready:\n{}", self.name, self.complaints());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Reads what it prints for as long as it lives, so that it never waits for a reader.
    fn lines(&mut self) -> anyhow::Result<UnboundedReceiver<String>> {
        let stdout = self.child.stdout.take().context("its output is read already")?;
        let (sender, receiver) = unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // Once it has said where it listens, nobody asks any more.
                let _ = sender.send(line);
            }
        });
        Ok(receiver)
    }

    /// Where it answers to this kind of request.
    pub(crate) fn address(&self, kind: &str) -> anyhow::Result<SocketAddr> {
        let address = self.addresses.get(kind).copied();
        address.with_context(|| format!("{} has no address for {kind}", self.name))
    }

    /// The same as a URL.
    pub(crate) fn url(&self, kind: &str) -> anyhow::Result<String> {
        Ok(format!("http://{}", self.address(kind)?))
    }

    /// The memory it occupies, in MB (10^6 bytes).
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        memory(self.child.id())
    }

    /// Lets it finish what it does, and waits for its end.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::INT)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > PATIENCE {
                bail!("{} does not end:\n{}", self.name, self.complaints());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// The end of what it complained about.
    pub(crate) fn complaints(&self) -> String {
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        /// For those that stop children of their own first.
        const LONGEST: Duration = Duration::from_secs(5);
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), self.stop);
        let begin = Instant::now();
        while begin.elapsed() < LONGEST {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether an HTTP answer has this status.
pub(crate) fn is_status(answer: &str, status: u16) -> bool {
    answer.split(' ').nth(1) == Some(status.to_string().as_str())
}

/// A binary of the workspace: the one beside this.
///
/// # Errors
/// It is not there.
pub(crate) fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let path = own.with_file_name(name);
    if !path.is_file() {
        bail!(
            "{} is missing: build everything with `cargo build --release --workspace`",
            path.display()
        );
    }
    Ok(path)
}

/// An address on loopback that nobody uses now.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Where a program is, in `PATH` or where the system keeps its servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    places.into_iter().map(|place| place.join(name)).find(|path| path.is_file())
}
