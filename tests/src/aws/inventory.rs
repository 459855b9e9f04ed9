//! What is there in a Region's account, asked from each service and not from what CloudFormation says of itself.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::aws::api::Api;
use crate::aws::region::{AwsRegion, parsed};
use crate::error::Result;

/// What is there: kind and name, with its code or definition if it has any.
pub type Inventory = BTreeMap<(&'static str, String), String>;

/// A kind of thing whose service speaks JSON: the service, the call, and where names are in its answer.
const IN_JSON: [(&str, &str, &str, &str, &str); 6] = [
    ("rule", "events", "AWSEvents.ListRules", "Rules", "Name"),
    (
        "log",
        "logs",
        "Logs_20140328.DescribeLogGroups",
        "logGroups",
        "logGroupName",
    ),
    (
        "parameter",
        "ssm",
        "AmazonSSM.DescribeParameters",
        "Parameters",
        "Name",
    ),
    ("key", "kms", "TrentService.ListKeys", "Keys", "KeyArn"),
    (
        "alias",
        "kms",
        "TrentService.ListAliases",
        "Aliases",
        "AliasName",
    ),
    (
        "table",
        "dynamodb",
        "DynamoDB_20120810.ListTables",
        "TableNames",
        "",
    ),
];
/// A kind of thing whose service speaks XML: the service, its version, the call, and the element that names one.
const IN_XML: [(&str, &str, &str, &str, &str); 5] = [
    ("topic", "sns", "2010-03-31", "ListTopics", "TopicArn"),
    ("queue", "sqs", "2012-11-05", "ListQueues", "QueueUrl"),
    (
        "alarm",
        "monitoring",
        "2010-08-01",
        "DescribeAlarms",
        "AlarmName",
    ),
    ("policy", "iam", "2010-05-08", "ListPolicies", "PolicyName"),
    ("role", "iam", "2010-05-08", "ListRoles", "RoleName"),
];

impl AwsRegion {
    /// Everything of the kinds that a control plane is made of.
    pub fn inventory(&self) -> Result<Inventory> {
        inventory(self.api())
    }
}

/// Everything of these kinds at an endpoint.
pub(crate) fn inventory(api: &Api) -> Result<Inventory> {
    let mut found = Inventory::new();
    for (kind, service, call, list, name) in IN_JSON {
        let answer = api.json(service, call, &json!({}))?;
        for item in items(&answer, list) {
            let named = if name.is_empty() {
                Some(&item)
            } else {
                item.get(name)
            };
            found.insert((kind, text(named)), String::new());
        }
    }
    for (kind, service, version, call, element) in IN_XML {
        let answer = api.query(service, version, &[("Action", call)])?;
        // AWS has policies of its own.
        let ours = |name: &String| kind != "policy" || name.starts_with("understudy");
        for name in elements(&answer, element).into_iter().filter(ours) {
            found.insert((kind, name), String::new());
        }
    }
    for name in elements(&api.get("s3", "/")?, "Name") {
        found.insert(("bucket", name), String::new());
    }
    let functions = api.get("lambda", "/2015-03-31/functions/")?;
    for it in items(&parsed("functions", &functions)?, "Functions") {
        found.insert(
            ("function", text(it.get("FunctionName"))),
            text(it.get("CodeSha256")),
        );
    }
    let machines = api.json("states", "AWSStepFunctions.ListStateMachines", &json!({}))?;
    for it in items(&machines, "stateMachines") {
        let arn = json!({ "stateMachineArn": it.get("stateMachineArn") });
        let machine = api.json("states", "AWSStepFunctions.DescribeStateMachine", &arn)?;
        found.insert(
            ("machine", text(it.get("name"))),
            text(machine.get("definition")),
        );
    }
    Ok(found)
}

fn items(answer: &Value, list: &str) -> Vec<Value> {
    let found = answer.get(list).and_then(Value::as_array);
    found.cloned().unwrap_or_default()
}

fn text(value: Option<&Value>) -> String {
    value.and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let after = xml.split(&open).skip(1);
    let inside = after.filter_map(|rest| rest.split_once(&close));
    inside.map(|(inside, _)| inside.to_owned()).collect()
}
