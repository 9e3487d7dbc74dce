//! Builds the binaries under test, once.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// Where the binaries are: beside the one that Cargo built for this test.
static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_BIN_EXE_tagalong")).parent().unwrap().to_owned();
    // nextest runs each test in a process of its own; one of a run's is enough.
    let Ok(run) = std::env::var("NEXTEST_RUN_ID") else {
        build(&directory);
        return directory;
    };
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(scratch).unwrap();
    let lock = File::create(scratch.join("black-box.lock")).unwrap();
    lock.lock().unwrap();
    let built = scratch.join("black-box.built");
    if fs::read_to_string(&built).ok().as_ref() != Some(&run) {
        build(&directory);
        fs::write(&built, run).unwrap();
    }
    directory
});

/// A service's binary.
pub(crate) fn binary(name: &str) -> PathBuf {
    DIRECTORY.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

/// The all-in-one and command line.
pub(crate) fn tagalong() -> PathBuf {
    binary("tagalong")
}

/// Cargo builds only this package's own binaries for its tests. By the time they run, it has let go of its lock.
fn build(directory: &Path) {
    let profile = match directory.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        name => name,
    };
    let above = directory.parent().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--bins", "--profile", profile]);
    // With `--target`, another directory is between.
    if [".rustc_info.json", "CACHEDIR.TAG"].iter().any(|mark| above.join(mark).exists()) {
        cargo.arg("--target-dir").arg(above);
    } else {
        cargo.arg("--target-dir").arg(above.parent().unwrap());
        cargo.arg("--target").arg(above.file_name().unwrap());
    }
    cargo.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    // What Cargo tells a test would make some build scripts believe that they have to run again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "NEXTEST"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
        {
            cargo.env_remove(&*name);
        }
    }
    let status = cargo.status().unwrap();
    assert!(status.success(), "the binaries under test cannot be built");
}
