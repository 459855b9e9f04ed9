//! What facts mean for a failover tonight. Pure: what was told comes in, findings go out.

mod alarms;
pub mod applications;
mod flow;
mod functions;
mod ledger;
mod quotas;

use understudy_shell::PortError;

pub use alarms::{alarm, notified, other_alarms, people};
pub use flow::{Role, parameter, pointer, registries, secret, service};
pub use functions::{Drill, callable, drill, functions, machine, newest_drill, schedule};
pub use ledger::{ledger, prober, table};
pub use quotas::{functions_at_once, log_policies, vcpus, vcpus_unknown};

/// What an answer is.
pub type Told<T> = Result<T, PortError>;

/// What mends most of it.
const DEPLOY: &str = "deploy this Region's control plane again (scripts/aws-deploy)";

/// The worst of some findings.
#[cfg(test)]
fn worst(findings: &[super::finding::Finding]) -> crate::check::Standing {
    let standings = findings.iter().map(|it| it.standing);
    standings.max().unwrap_or(crate::check::Standing::Unknown)
}
