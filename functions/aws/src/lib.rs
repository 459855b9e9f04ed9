//! What a recovery reaches in AWS, and the shell in which its functions run there.
//!
//! - [`Session`]: one runtime, one configuration, one bound for every call.
//! - The ledger in DynamoDB ([`DynamoLedger`]), the store in S3 ([`S3Store`]), people by SNS ([`SnsPeople`]), signals in
//!   DynamoDB and CloudWatch ([`AwsSignals`]), machines in Step Functions ([`StepFunctions`]), applications
//!   ([`AwsClients`]) and workers ([`EcsWorkers`]).
//! - [`Settings`] and [`PairDocument`]: what a function is told by its environment and by its pair's parameter.
//! - [`Inventory`]: what AWS says is deployed in a Region.
//! - [`Answering`]: how an event becomes an answer or an error with a name; [`serve`] runs that on Lambda.

#[cfg(test)]
mod adapter_tests;
mod answering;
mod clients;
mod control_plane;
mod ecs;
mod failure;
mod functions;
mod inventory;
mod json_call;
mod lambda;
mod ledger;
mod machines;
mod pair_document;
mod parameters;
mod people;
mod regions;
mod session;
mod settings;
mod signals;
#[cfg(test)]
mod stand_in;
mod store;
mod workers;

pub use answering::{Answering, Deadline, Invoke};
pub use clients::AwsClients;
pub use ecs::EcsServices;
pub use functions::DeployedFunctions;
pub use inventory::{
    AlarmFacts, EndedExecution, FunctionFacts, Inventory, MachineFacts, Quota, RuleFacts,
    SecretFacts, ServiceFacts, SubscriptionFacts, TableFacts,
};
pub use lambda::serve;
pub use ledger::DynamoLedger;
pub use machines::{MachineNames, StepFunctions};
pub use pair_document::{PairDocument, PairDocumentError};
pub use parameters::Parameters;
pub use people::SnsPeople;
pub use regions::Regions;
pub use session::{Session, SessionError};
pub use settings::{Settings, SettingsError};
pub use signals::AwsSignals;
pub use store::S3Store;
pub use workers::EcsWorkers;
