//! Recoveries from the command line: the state machines that are shipped to Step Functions, carried out by this process
//! with the same functions, for people without AWS and for the night on which AWS is what is down.
//!
//! - [`arguments`]: what can be asked, and what is answered to the shell.
//! - [`carry_out`]: one recovery, from its name to its evidence.
//! - [`deployed`]: a pair in AWS: recoveries are started there, and followed from here.
//! - [`live`]: its states in the terminal, as they are entered and left.
//! - [`asking`]: its questions, and who answers them.
//! - [`canaries`]: what a drill that acts may touch.
//! - [`home`]: the folder in which ledger, plans and evidence lie, and which recovery runs in it.
//! - [`reading`]: what a recovery left, read back: `evidence`, `watch` and `approve`.
//! - [`fence`]: clusters that were left, fenced when they are back.
//! - [`seal`]: a flow ended by hand.
//!
//! Nothing is decided here: the order is the state machine's, and what is done is the steps'.

mod approve;
mod arguments;
mod asking;
mod canaries;
mod carry_out;
mod deployed;
mod facts;
mod fence;
mod home;
mod live;
mod reading;
pub mod seal;
mod summary;
mod watch;
mod world;

pub use arguments::{Command, run};
