//! The redirect as a process of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    tagalong_chassis::process::main("tagalong-redirect", tagalong_redirect::serve)
}
