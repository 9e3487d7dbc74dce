//! nginx, answering affiliate links from its configuration: the best that a static file can do.

use std::net::SocketAddr;

use anyhow::Context as _;
use rustix::process::Signal;

use crate::{
    harness::Plan,
    process::{Cores, Process, free_address, program},
    systems::check_link,
};

/// A running nginx. It has two addresses, so that both have the same process.
pub(crate) struct Nginx {
    /// Writes a line for each visit, in buffers of 64 KiB.
    pub(crate) logging: SocketAddr,
    /// Writes none.
    pub(crate) silent: SocketAddr,
    _process: Process,
}

/// The cookie and the page are those of a Tagalong product, the request's ID is the click's.
const CONFIG: &str = r#"
daemon off;
worker_processes 1;
pid DIRECTORY/nginx.pid;
error_log DIRECTORY/error.log warn;
events { worker_connections 1024; }
http {
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    log_format clicks '$time_iso8601 $request_id $affiliate "$request_uri" $status "$http_user_agent"';
    keepalive_requests 1000000000;
    server {
        listen LOGGING;
        access_log DIRECTORY/clicks.log clicks buffer=64k;
        include DIRECTORY/links.conf;
    }
    server {
        listen SILENT;
        access_log off;
        include DIRECTORY/links.conf;
    }
}
"#;

const LINKS: &str = r#"
location ~ "^/webinar/p/(?<affiliate>[A-Za-z0-9_~][A-Za-z0-9._~-]{0,63})/?$" {
    add_header Cache-Control no-store;
    add_header Set-Cookie "tagalong=$request_id; Max-Age=7776000; Path=/; HttpOnly; Secure; SameSite=Lax";
    return 302 https://webinar.example.com/invitation?aff=$affiliate&click=$request_id;
}
"#;

impl Nginx {
    pub(crate) async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let directory = plan.directory("nginx")?;
        let (logging, silent) = (free_address()?, free_address()?);
        let config = CONFIG
            .replace("DIRECTORY", &directory.display().to_string())
            .replace("LOGGING", &logging.to_string())
            .replace("SILENT", &silent.to_string());
        std::fs::write(directory.join("links.conf"), LINKS)?;
        let path = directory.join("nginx.conf");
        std::fs::write(&path, config)?;
        let program = program("nginx").context("nginx is missing")?;
        let arguments = ["-c".as_ref(), path.as_os_str(), "-p".as_ref(), directory.as_os_str()];
        let process = Process::start("nginx", Cores::Server, program, arguments, &directory)?
            // It stops its worker first.
            .stopped_by(Signal::TERM)
            .listening(logging)
            .await?;
        check_link(logging, "/webinar/p/max/").await?;
        check_link(silent, "/webinar/p/max/").await?;
        Ok(Self { logging, silent, _process: process })
    }
}
