//! A Region: its stand-in for AWS, and what a test asks of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::api::Api;
use crate::aws::ministack::Ministack;
use crate::error::{LabError, Result};
use crate::wait::wait_for;

/// The account that everything belongs to.
pub const ACCOUNT: &str = "000000000000";

/// One Region of a pair.
#[derive(Debug)]
pub struct AwsRegion {
    alias: String,
    ministack: Ministack,
    api: Api,
}

/// How an execution of a state machine ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// `SUCCEEDED`, `FAILED`, …
    pub status: String,
    /// What it answered; null if it failed.
    pub output: Value,
    /// Its error and cause, if it failed.
    pub error: Option<(String, String)>,
}

impl AwsRegion {
    /// The Region of the cluster `alias`.
    pub fn new(alias: &str, ministack: Ministack) -> Result<Self> {
        let api = Api::new(ministack.address(), ministack.region());
        Ok(Self {
            alias: alias.to_owned(),
            ministack,
            api,
        })
    }

    /// The cluster that lives here.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The Region's name.
    pub fn name(&self) -> &str {
        self.ministack.region()
    }

    /// Its stand-in for AWS.
    pub const fn ministack(&self) -> &Ministack {
        &self.ministack
    }

    /// Loses it.
    pub fn kill(&mut self) -> Result<()> {
        self.ministack.kill()
    }

    /// Starts it again at the same address. What was in it is lost.
    pub fn restart(&mut self) -> Result<()> {
        self.ministack.restart()
    }

    /// Its APIs.
    pub const fn api(&self) -> &Api {
        &self.api
    }

    /// Invokes a step's function.
    pub fn step(&self, pair: &str, step: &str, event: &Value) -> Result<Value> {
        self.api.invoke(&format!("understudy-{pair}-{step}"), event)
    }

    /// What clients follow that are moved by this parameter here.
    pub fn pointer(&self, parameter: &str) -> Result<Value> {
        parsed(parameter, &self.parameter(parameter)?)
    }

    /// Keeps an alarm from acting: the stand-in lets it fire at the first bad look, whatever its rule says.
    pub fn hold_alarm(&self, alarm: &str) -> Result<()> {
        self.alarm_actions("DisableAlarmActions", alarm)
    }

    /// Lets it act again, at its next edge.
    pub fn release_alarm(&self, alarm: &str) -> Result<()> {
        self.alarm_actions("EnableAlarmActions", alarm)
    }

    /// Switches the rule of a schedule on or off.
    pub fn switch_rule(&self, rule: &str, on: bool) -> Result<()> {
        let operation = if on { "EnableRule" } else { "DisableRule" };
        let target = format!("AWSEvents.{operation}");
        let input = json!({ "Name": rule });
        self.api.json("events", &target, &input).map(drop)
    }

    /// What a parameter holds.
    pub fn parameter(&self, name: &str) -> Result<String> {
        let input = json!({ "Name": name });
        let answer = self.api.json("ssm", "AmazonSSM.GetParameter", &input)?;
        let text = answer.pointer("/Parameter/Value").and_then(Value::as_str);
        Ok(text.unwrap_or_default().to_owned())
    }

    /// Writes a parameter, as somebody with too many rights would.
    pub fn put_parameter(&self, name: &str, value: &str) -> Result<()> {
        let input = json!({ "Name": name, "Value": value, "Type": "String", "Overwrite": true });
        self.api
            .json("ssm", "AmazonSSM.PutParameter", &input)
            .map(drop)
    }

    /// Lets an alarm fire, as its rule and the clock would have done.
    pub fn fire_alarm(&self, alarm: &str) -> Result<()> {
        // It acts on edges only.
        self.set_alarm(alarm, "OK")?;
        self.alarm_actions("EnableAlarmActions", alarm)?;
        self.set_alarm(alarm, "ALARM")
    }

    fn alarm_actions(&self, action: &str, alarm: &str) -> Result<()> {
        let fields = [("Action", action), ("AlarmNames.member.1", alarm)];
        let answer = self.api.query("monitoring", "2010-08-01", &fields);
        answer.map(drop)
    }

    fn set_alarm(&self, alarm: &str, state: &str) -> Result<()> {
        let fields = [
            ("Action", "SetAlarmState"),
            ("AlarmName", alarm),
            ("StateValue", state),
            ("StateReason", "the lab's clock"),
        ];
        self.api
            .query("monitoring", "2010-08-01", &fields)
            .map(drop)
    }

    /// The names of a machine's executions, newest first.
    pub fn executions(&self, machine: &str) -> Result<Vec<String>> {
        let arn = format!(
            "arn:aws:states:{}:{ACCOUNT}:stateMachine:{machine}",
            self.name()
        );
        let input = json!({ "stateMachineArn": arn });
        let answer = self
            .api
            .json("states", "AWSStepFunctions.ListExecutions", &input)?;
        let listed = answer.get("executions").and_then(Value::as_array);
        let names = listed
            .into_iter()
            .flatten()
            .filter_map(|it| it.get("name")?.as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Waits for an execution's end.
    pub fn wait_execution(
        &self,
        machine: &str,
        execution: &str,
        limit: Duration,
    ) -> Result<Execution> {
        wait_for(&format!("{execution} to end"), limit, || {
            self.ended(machine, execution)
        })
    }

    /// How an execution ended; where it stands, if it has not.
    pub fn ended(&self, machine: &str, execution: &str) -> std::result::Result<Execution, String> {
        let arn = self.arn(machine, execution);
        let found = self.describe(&arn).map_err(|error| error.to_string())?;
        match found.status.as_str() {
            "RUNNING" => {
                let states = self.states(machine, execution);
                let last = states.ok().and_then(|states| states.last().cloned());
                Err(last.unwrap_or_else(|| "RUNNING".to_owned()))
            }
            _ => Ok(found),
        }
    }

    fn describe(&self, arn: &str) -> Result<Execution> {
        let input = json!({ "executionArn": arn });
        let answer = self
            .api
            .json("states", "AWSStepFunctions.DescribeExecution", &input)?;
        let text = |key: &str| answer.get(key).and_then(Value::as_str).unwrap_or_default();
        let output = match text("output") {
            "" => Value::Null,
            output => parsed(arn, output)?,
        };
        let error = Some((text("error").to_owned(), text("cause").to_owned()));
        Ok(Execution {
            status: text("status").to_owned(),
            output,
            error: error.filter(|(error, _)| !error.is_empty()),
        })
    }

    fn arn(&self, machine: &str, execution: &str) -> String {
        let region = self.name();
        format!("arn:aws:states:{region}:{ACCOUNT}:execution:{machine}:{execution}")
    }

    /// The states that an execution entered, in order.
    pub fn states(&self, machine: &str, execution: &str) -> Result<Vec<String>> {
        let arn = self.arn(machine, execution);
        let input = json!({ "executionArn": arn, "maxResults": 1000 });
        let answer = self
            .api
            .json("states", "AWSStepFunctions.GetExecutionHistory", &input)?;
        let events = answer.get("events").and_then(Value::as_array);
        let entered = events.into_iter().flatten().filter_map(|event| {
            let name = event.get("stateEnteredEventDetails")?.get("name")?;
            name.as_str().map(str::to_owned)
        });
        Ok(entered.collect())
    }
}

/// JSON that somebody answered.
pub(crate) fn parsed(of: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| LabError::BadAnswer {
        who: of.to_owned(),
        why: error.to_string(),
    })
}
