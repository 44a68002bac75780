//! Two things at once.

use std::panic;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does both, each in a thread of its own where the system has another one.
pub(crate) fn both<A, B: Send>(
    here: impl FnOnce() -> A,
    there: impl FnOnce() -> B + Send,
) -> (A, Option<B>) {
    // Who does it takes it.
    let there = Mutex::new(Some(there));
    let run = || {
        let there = there.lock().unwrap_or_else(PoisonError::into_inner).take();
        there.map(|there| there())
    };
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, run);
        let own = here();
        let other = match other {
            Ok(other) => other.join().unwrap_or_else(|why| panic::resume_unwind(why)),
            Err(_) => run(),
        };
        (own, other)
    })
}
