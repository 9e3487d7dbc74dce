//! One process under test.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};

use super::{PATIENCE, until};

/// A process that prints the addresses it is bound to, and can be killed and started again. Dies with its owner.
pub(crate) struct Service {
    pub(crate) name: &'static str,
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    /// For each address to bind, its kind and the argument that says so, ending in `HOST:PORT`.
    binds: Vec<(&'static str, Vec<String>)>,
    addresses: HashMap<String, SocketAddr>,
    /// Everything it ever printed, standard output and standard error.
    pub(crate) output: PathBuf,
    child: Option<Child>,
}

impl Service {
    pub(crate) fn new(name: &'static str, program: PathBuf, output: PathBuf) -> Self {
        Self {
            name,
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            binds: Vec::new(),
            addresses: HashMap::new(),
            output,
            child: None,
        }
    }

    /// One with the same arguments, to be given others after them and started on ports of its own.
    pub(crate) fn another(&self, output: PathBuf) -> Self {
        let mut another = Self::new(self.name, self.program.clone(), output);
        another.arguments.clone_from(&self.arguments);
        another.environment.clone_from(&self.environment);
        another.binds.clone_from(&self.binds);
        another
    }

    pub(crate) fn arg(&mut self, argument: impl Into<OsString>) -> &mut Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn set(&mut self, setting: impl AsRef<str>) -> &mut Self {
        self.arg("--set").arg(setting.as_ref())
    }

    pub(crate) fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// An address of this kind on a port the system chooses, given by these arguments, where `{}` stands for it.
    pub(crate) fn bind(&mut self, kind: &'static str, arguments: &[&str]) -> &mut Self {
        self.binds.push((kind, arguments.iter().map(|part| (*part).to_owned()).collect()));
        self
    }

    /// Where it answers; only after a start.
    pub(crate) fn address(&self, kind: &str) -> SocketAddr {
        self.addresses[kind]
    }

    pub(crate) fn url(&self, kind: &str) -> String {
        format!("http://{}", self.address(kind))
    }

    /// Starts it, on the same ports as before, and returns when it has said where it listens.
    pub(crate) fn start(&mut self, host: &str) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (kind, arguments) in &self.binds {
            let address =
                self.addresses.get(*kind).map_or_else(|| format!("{host}:0"), ToString::to_string);
            command.args(arguments.iter().map(|part| part.replace("{}", &address)));
        }
        // What the machine's own Tagalong is set to is not for tests.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("TAGALONG") || name.starts_with("OTEL_") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let output = OpenOptions::new().create(true).append(true).open(&self.output).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(output.try_clone().unwrap());
        let mut child = command.spawn().unwrap();
        let lines = read_lines(child.stdout.take().unwrap(), output);
        self.child = Some(child);
        let begin = Instant::now();
        let mut missing: Vec<&str> = self.binds.iter().map(|(kind, _)| *kind).collect();
        while !missing.is_empty() {
            let left = PATIENCE.saturating_sub(begin.elapsed());
            let Ok(line) = lines.recv_timeout(left) else {
                panic!(
                    "{} does not say where it listens ({missing:?}):\n{}",
                    self.name,
                    self.tail()
                );
            };
            // `redirect http 127.0.0.1:8080`
            let mut words = line.split_whitespace().skip(1);
            if let (Some(kind), Some(address), None) = (words.next(), words.next(), words.next())
                && let Ok(address) = address.parse()
            {
                self.addresses.insert(kind.to_owned(), address);
                missing.retain(|other| *other != kind);
            }
        }
    }

    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) {
        let url = format!("{}/readyz", self.url("admin"));
        until(&format!("{} is ready", self.name), async || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("{} ended ({status}) instead of being ready:\n{}", self.name, self.tail());
            }
            let answer = reqwest::get(&url).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), signal).unwrap();
    }

    /// Stops it without giving it a chance to finish anything.
    pub(crate) fn kill9(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Asks it to end, as a terminal does, and waits for that; whether it ended well.
    pub(crate) async fn interrupt(&mut self) -> bool {
        self.signal(Signal::INT);
        let mut child = self.child.take().unwrap();
        let status =
            until(&format!("{} ends", self.name), async || child.try_wait().unwrap()).await;
        status.success()
    }

    /// Whether it still runs.
    pub(crate) fn lives(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// The end of what it printed.
    pub(crate) fn tail(&self) -> String {
        let mut text = Vec::new();
        // What cannot be read cannot be shown; the test has failed anyway.
        let _ = File::open(&self.output).and_then(|mut file| file.read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- {} printed, at the end:\n{}", self.name, self.tail());
        }
    }
}

/// Reads what a process prints for as long as it lives, so that it never waits for a reader.
fn read_lines(
    stdout: impl std::io::Read + Send + 'static,
    mut copy: File,
) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            writeln!(copy, "{line}").unwrap();
            // Once it has said where it listens, nobody asks any more.
            let _ = sender.send(line);
        }
    });
    receiver
}
