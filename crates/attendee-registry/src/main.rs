//! The attendee registry as a process of its own.

use std::process::ExitCode;

use tagalong_attendee_registry::{Settings, run};

fn main() -> ExitCode {
    tagalong_chassis::process::main::<Settings, _, _>("tagalong-attendee-registry", run)
}
