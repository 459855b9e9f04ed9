//! The state machines as they are shipped to Step Functions, carried out in this process: `understudy failover --local`
//! runs them where there is no AWS, or on the night on which AWS is what is down, and tests run them in virtual time.
//!
//! - [`shipped`]: the files, as they are deployed.
//! - [`Machine`]: a file, read. What is not understood here is refused when it is read, not when it is met at night.
//! - [`run`]: carries a machine out, from its start or from any state. It reaches nothing by itself: [`Tasks`],
//!   [`Tokens`] and [`Time`] are the caller's.
//! - [`check`]: what a machine must keep to, beyond what Step Functions asks.
//!
//! Invariants:
//! a. a state sees the variables that were there when it was entered; what it assigns is seen by the next one;
//! b. a run ends: transitions are bounded, and every wait has a limit;
//! c. nothing is decided here: order, retries and ends are the file's.

pub mod check;
mod expression;
mod hooks;
mod machine;
mod position;
mod raw;
mod retry;
mod run;
pub mod shipped;
mod state;
mod template;
mod tokens;

pub use hooks::{Event, Hooks, Tasks, Time, Tokens, WallTime};
pub use machine::{Machine, MachineError};
pub use position::{Outcome, Position, Status, TaskError};
pub use run::run;
pub use tokens::MemoryTokens;
