//! Chains on interfaces of network namespaces of their own, with traffic. Needs root; skipped, and said
//! so, without.
//!
//! | module | what is tried |
//! |---|---|
//! | `world` | two namespaces, a pair of interfaces, directories; the command; packets between them |
//! | `changes` | order, verdicts, going on, modes, options, what is refused |
//! | `members` | members that move the head, tail-call, have no BTF, share maps |
//! | `devices` | programs bound to an interface, programs for a card |
//! | `plans` | apply and diff |
//! | `examples` | the plan, the unit and the DaemonSet of `examples/` |
//! | `recognised` | lost state, restarts, what others did; maps pinned by name |
//! | `traffic` | not a packet lost while the chain changes; many changes at once |
//! | `crashes` | `kill -9` at every system call of a change |
//! | `libxdp` | its dispatcher, recognised and adopted |

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // That is how a test fails.

mod changes;
mod crashes;
mod devices;
mod examples;
mod libxdp;
mod members;
mod plans;
mod recognised;
mod traffic;
mod world;
