//! What a recovery decides, and the words in which its steps, state machines and evidence speak.
//!
//! Pure: no I/O, no clock, no randomness, no async. Observations, time and objectives come in as arguments; values go
//! out. Whoever acts, a Lambda or `understudy failover --local`, carries out what is decided here.
//!
//! - Who and when: [`PairName`], [`Alias`], [`Epoch`], [`ExecutionName`], [`Mode`], [`Leash`].
//! - One recovery at a time: [`Ledger`], also where each cluster keeps a copy of it: [`LedgerCopies`].
//! - Whether to act: [`health`], [`assessment`], [`plan`], [`Consent`].
//! - Whether one holds its pair for too long: [`overdue`].
//! - What was reached: [`cut`], [`places`], [`fence`]; what a cluster that came back holds: [`tail`].
//! - Applications: [`client`].
//! - What is kept: [`evidence`].
//! - What each step is asked and answers: [`contract`]; its errors: [`StepError`].

pub mod assessment;
pub mod client;
mod consent;
pub mod contract;
pub mod cut;
mod epoch;
pub mod evidence;
mod execution;
pub mod fence;
pub mod health;
mod ledger;
mod ledger_copies;
mod mode;
mod name;
pub mod overdue;
pub mod pair;
pub mod places;
pub mod plan;
mod step;
mod step_error;
pub mod tail;

pub use consent::{Consent, LossBound};
pub use epoch::Epoch;
pub use execution::{ExecutionName, ExecutionNameError};
pub use ledger::{Ledger, Phase, Refusal, Running};
pub use ledger_copies::{Contradiction, LedgerCopies};
pub use mode::{Leash, Mode};
pub use name::{Alias, NameError, PairName};
pub use step::Step;
pub use step_error::{ErrorName, StepError};
