//! `tagalong-link-rendering`: purchase links as a process of its own.

use std::process::ExitCode;

use tagalong_chassis::process;

fn main() -> ExitCode {
    process::main("tagalong-link-rendering", tagalong_link_rendering::run)
}
