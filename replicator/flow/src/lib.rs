//! What a flow is: its file, its logins, its selection, and its state on the target, for workers, tools and recovery
//! functions alike.
//!
//! It reads, and it fences; of a flow's state it writes no more than the flow's own record and the topics that state
//! lies in. Nothing here copies, and nothing knows of the page, the metrics or the command line.

pub mod aws;
pub mod before_cut;
pub mod bounded;
pub mod chain;
pub mod clock;
pub mod config;
pub mod config_error;
pub mod end_access;
mod end_config;
pub mod explain;
mod flow_error;
pub mod flow_record;
pub mod http_config;
pub mod import_mm2;
pub mod map_state;
mod mirror_config;
pub mod mm2;
pub mod msk_iam;
pub mod opposite;
pub mod replication;
pub mod report;
pub mod rotation;
pub mod secrets;
pub mod selection;
pub mod settings;
pub mod state_topics;
pub mod stop;
pub mod stored_state;
pub mod throttle;
pub mod tool;
pub mod words;
