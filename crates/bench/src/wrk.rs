//! wrk, as a crowd of real browsers.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::{
    harness::{Plan, Round},
    process::Cores,
};

/// What a Chrome on a PC calls itself.
pub(crate) const BROWSER: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

/// Requests are made once and taken in turn. `done` prints what `Wrk::ask` reads.
const SCRIPT: &str = r#"
wrk.headers["Host"] = "go.example.com"
wrk.headers["User-Agent"] = "BROWSER"
wrk.headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
wrk.headers["Accept-Language"] = "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"
local requests, last, threads = {}, 0, {}
seen = 0
function setup(thread) threads[#threads + 1] = thread end
function init(args)
    for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
end
function request()
    last = last % #requests + 1
    return requests[last]
end
function done(summary, latency)
    local errors = summary.errors
    io.write(string.format("result %d %d %d %d %d %d\n", summary.requests, summary.duration,
        latency:percentile(50), latency:percentile(99), threads[1]:get("seen"),
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// Appended where it matters where answers lead. wrk is slower with it.
const LOOK: &str = r#"
function response(status, headers)
    local page = headers["location"] or headers["Location"] or ""
    if page:find("NEEDLE", 1, true) then seen = seen + 1 end
end
"#;

/// Who asks, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Wrk {
    connections: usize,
    cores: Cores,
    seconds: u64,
    script: PathBuf,
    paths: PathBuf,
}

impl Wrk {
    /// A crowd on so many keep-alive connections that asks for these paths in turn. `name` is unique in the
    /// plan.
    pub(crate) fn new(
        plan: &Plan,
        name: &str,
        connections: usize,
        cores: Cores,
        paths: &[String],
    ) -> anyhow::Result<Self> {
        let directory = plan.directory("wrk")?;
        let (script, list) = (directory.join("script.lua"), directory.join(name));
        fs::write(&script, SCRIPT.replace("BROWSER", BROWSER))?;
        fs::write(&list, paths.join("\n"))?;
        let seconds = plan.turn().as_secs();
        Ok(Self { connections, cores, seconds, script, paths: list })
    }

    /// Asks as fast as the answers come, after a short warm-up.
    ///
    /// # Errors
    /// wrk is missing, or there was an answer of 400 or above, or none.
    pub(crate) async fn run(&self, server: SocketAddr) -> anyhow::Result<Round> {
        self.ask(server, 1, &self.script).await?;
        let Asked { requests, seconds, p50, p99, .. } =
            self.ask(server, self.seconds, &self.script).await?;
        Ok(Round { value: requests / seconds, p50: Some(p50), p99: Some(p99) })
    }

    /// The share of answers whose `location` contains `text`, under the same load.
    pub(crate) async fn share(&self, server: SocketAddr, text: &str) -> anyhow::Result<f64> {
        let script = self.script.with_extension("look.lua");
        let look = LOOK.replace("NEEDLE", text);
        fs::write(&script, fs::read_to_string(&self.script)? + &look)?;
        let Asked { requests, seen, .. } = self.ask(server, self.seconds, &script).await?;
        Ok(seen / requests)
    }

    async fn ask(&self, server: SocketAddr, seconds: u64, script: &Path) -> anyhow::Result<Asked> {
        let output = Command::new("taskset")
            .args(["-c", self.cores.list(), "wrk", "--threads", "1", "--latency"])
            .args(["--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--script"])
            .arg(script)
            .arg(format!("http://{server}"))
            .arg("--")
            .arg(&self.paths)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("wrk cannot be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let result = text.lines().find_map(|line| line.strip_prefix("result "));
        let numbers = result.map(|line| line.split(' ').map(str::parse).collect());
        let numbers: Vec<f64> = numbers.transpose()?.unwrap_or_default();
        let [requests, microseconds, p50, p99, seen, errors] = numbers[..] else {
            bail!("wrk failed: {text}{}", String::from_utf8_lossy(&output.stderr));
        };
        if errors > 0.0 || requests == 0.0 {
            bail!("{errors} of {requests} requests failed");
        }
        Ok(Asked { requests, seconds: microseconds / 1e6, p50, p99, seen })
    }
}

/// What wrk says.
struct Asked {
    requests: f64,
    seconds: f64,
    /// Microseconds.
    p50: f64,
    p99: f64,
    /// How many answers were as looked for.
    seen: f64,
}
