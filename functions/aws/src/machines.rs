//! State machines: started by name, so that a storm of alarms is one execution.

use aws_sdk_sfn::Client;
use aws_sdk_sfn::types::ExecutionStatus;
use understudy_recovery::ExecutionName;
use understudy_recovery::contract::Start;
use understudy_recovery::pair::Pair;
use understudy_shell::world::Machines;
use understudy_shell::{PortError, PortErrorKind};

use crate::regions::Regions;
use crate::settings::{Settings, SettingsError};

/// State machines of a pair, in both Regions.
#[derive(Clone, Debug)]
pub struct StepFunctions {
    regions: Regions,
    machines: MachineNames,
}

/// The names of a pair's machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineNames {
    partition: String,
    account: String,
    prefix: String,
    other_region: Option<String>,
}

impl MachineNames {
    /// From what all machines' ARNs of this Region begin with,
    /// `arn:aws:states:us-west-2:123456789012:stateMachine:understudy-orders-`.
    pub(crate) fn parse(prefix: &str, other_region: Option<String>) -> Option<Self> {
        let mut parts = prefix.splitn(7, ':');
        let mut next = || parts.next();
        let (arn, partition, states, _region) = (next()?, next()?, next()?, next()?);
        let (account, kind, prefix) = (next()?, next()?, next()?);
        (arn == "arn" && states == "states" && kind == "stateMachine" && !prefix.is_empty()).then(
            || Self {
                partition: partition.to_owned(),
                account: account.to_owned(),
                prefix: prefix.to_owned(),
                other_region,
            },
        )
    }

    /// From a function's settings, with the other Region of its pair.
    ///
    /// # Errors
    /// The settings name no machines.
    pub fn of_pair(
        settings: &Settings,
        pair: &Pair,
        regions: &Regions,
    ) -> Result<Self, SettingsError> {
        let mut all = pair.clusters.values().map(|cluster| &cluster.region);
        let other = all.find(|region| !regions.is_here(region)).cloned();
        Self::parse(&settings.machines, other)
            .ok_or_else(|| SettingsError::Machines(settings.machines.clone()))
    }

    fn machine_arn(&self, region: &str, machine: &str) -> String {
        let Self {
            partition,
            account,
            prefix,
            ..
        } = self;
        format!("arn:{partition}:states:{region}:{account}:stateMachine:{prefix}{machine}")
    }

    fn execution_arn(&self, region: &str, machine: &str, execution: &ExecutionName) -> String {
        let Self {
            partition,
            account,
            prefix,
            ..
        } = self;
        format!("arn:{partition}:states:{region}:{account}:execution:{prefix}{machine}:{execution}")
    }
}

impl StepFunctions {
    /// The machines of these names.
    pub fn new(regions: &Regions, machines: MachineNames) -> Self {
        Self {
            regions: regions.clone(),
            machines,
        }
    }

    fn client(&self, region: &str) -> Client {
        Client::new(&self.regions.config(region))
    }

    /// How an execution stands in a Region; nothing if there is none of this name.
    fn status(
        &self,
        region: &str,
        execution: &ExecutionName,
    ) -> Result<Option<ExecutionStatus>, PortError> {
        let machine = execution.mode().name();
        let arn = self.machines.execution_arn(region, machine, execution);
        let call = self
            .client(region)
            .describe_execution()
            .execution_arn(arn)
            .send();
        let did = format!("looking at execution {execution} in {region}");
        match self.regions.session().call(&did, call) {
            Ok(found) => Ok(Some(found.status)),
            Err(error) if error.kind == PortErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Machines for StepFunctions {
    fn start(&self, start: &Start) -> Result<bool, PortError> {
        let did = format!("starting {}", start.execution);
        let input = serde_json::to_string(start)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, format!("{did}: {error}")))?;
        let region = self.regions.session().region();
        // A drill is the very same machine, on a leash.
        let machine = start.mode.name();
        let call = self
            .client(region)
            .start_execution()
            .state_machine_arn(self.machines.machine_arn(region, machine))
            .name(start.execution.to_string())
            .input(input);
        let call = async {
            match call.send().await {
                Ok(_) => Ok(true),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_execution_already_exists()) =>
                {
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        };
        self.regions.session().call(&did, call)
    }

    fn answer(&self, token: &str, answer: &serde_json::Value) -> Result<(), PortError> {
        let region = self.regions.session().region();
        let call = self
            .client(region)
            .send_task_success()
            .task_token(token)
            .output(answer.to_string())
            .send();
        self.regions
            .session()
            .call("answering the task that waits", call)?;
        Ok(())
    }

    fn is_running(&self, execution: &ExecutionName) -> Result<Option<bool>, PortError> {
        let here = self.regions.session().region();
        if let Some(status) = self.status(here, execution)? {
            return Ok(Some(status == ExecutionStatus::Running));
        }
        // It may have been started on the other side; that side's silence tells nothing.
        let Some(other) = &self.machines.other_region else {
            return Ok(Some(false));
        };
        Ok(match self.status(other, execution) {
            Ok(Some(status)) => Some(status == ExecutionStatus::Running),
            Ok(None) => Some(false),
            Err(_silent) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_from_what_all_begin_with() {
        let prefix = "arn:aws:states:us-west-2:123456789012:stateMachine:understudy-orders-";
        let names = MachineNames::parse(prefix, None);
        let arn = names.map(|names| names.machine_arn("us-east-1", "failover"));
        assert_eq!(
            arn.as_deref(),
            Some("arn:aws:states:us-east-1:123456789012:stateMachine:understudy-orders-failover")
        );
        assert_eq!(MachineNames::parse("understudy-orders-", None), None);
    }
}
