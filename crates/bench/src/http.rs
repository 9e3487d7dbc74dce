//! One plain GET at a time, for what is not measured.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// The answer to a GET, head and body, from a server that closes the connection after it.
///
/// # Errors
/// No answer within five seconds.
pub(crate) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: go.example.com\r\nUser-Agent: {}\r\nConnection: close\r\n\r\n",
            crate::wrk::BROWSER
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    timeout(Duration::from_secs(5), answer)
        .await
        .with_context(|| format!("GET {path}: no answer"))?
}

/// The sum of a metric over its labels; none where the process has no such metric yet.
pub(crate) async fn metric(admin: SocketAddr, name: &str) -> anyhow::Result<Option<f64>> {
    let text = get(admin, "/metrics").await?;
    let values: Vec<f64> = text
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            // Not another metric whose name begins alike.
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse().ok()).flatten()
        })
        .collect();
    Ok((!values.is_empty()).then(|| values.iter().sum()))
}
