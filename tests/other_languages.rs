//! Clients that other languages' stock tools make from `proto/`.

use std::{path::Path, process::Command};

use crate::support::{Composition, System, campaign};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with grpcio-tools and grpcio-reflection: tests/run provides them"]
async fn a_python_client_registers_renders_sells_and_explains() {
    let system = System::start(Composition::AllInOne).await;
    campaign::load(&system).await;
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let python = std::env::var_os("TAGALONG_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let grpc = system.grpc();
    let ran = tokio::process::Command::from(Command::new(python))
        .arg(root.join("tests/python/client.py"))
        .arg(root.join("proto"))
        .arg(grpc.strip_prefix("http://").unwrap())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("max is credited, carried by token"), "{said}");
}
