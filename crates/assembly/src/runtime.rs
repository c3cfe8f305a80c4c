//! The runtime of both executables.
//!
//! In an unoptimised build whatever is awaited lies on the stack several times over: a consumer's chunk took 1.5 MiB of the 2 MiB
//! that a thread has by default, and whoever runs over it is killed in the midst of a send. What is not touched of a stack takes no
//! memory. So no executable builds a runtime of its own.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// As much as the main thread has on most systems.
const STACK_BYTES: usize = 8 << 20;

/// What everything runs on.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()
}
