//! A pair's two Regions and the place of its ledger, with the control plane deployed into them.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::aws::api::Api;
use crate::aws::deployment::{Deployed, Deployment};
use crate::aws::ministack::Ministack;
use crate::aws::region::{ACCOUNT, AwsRegion};
use crate::error::{LabError, Result};

/// Two Regions, `use1` and `usw2`, and the ledger beside them.
#[derive(Debug)]
pub struct TwoRegions {
    /// The Region of the cluster `use1`.
    pub use1: AwsRegion,
    /// The Region of the cluster `usw2`.
    pub usw2: AwsRegion,
    /// Where the ledger is.
    pub ledger: Ministack,
    pair: String,
    deployment: Deployment,
}

impl TwoRegions {
    /// Starts them and deploys the control plane of a pair, which is given as its configuration and the texts of its flow
    /// files. `folder` takes what is made.
    pub fn deploy(folder: &Path, pair: &Value, flows: &BTreeMap<String, String>) -> Result<Self> {
        let use1 = AwsRegion::new("use1", Ministack::start("use1", "us-east-1", folder)?)?;
        let usw2 = AwsRegion::new("usw2", Ministack::start("usw2", "us-west-2", folder)?)?;
        let ledger = Ministack::start("ledger", "us-east-1", folder)?;
        let deployment = Deployment::synthesize(folder, pair, flows, [&use1, &usw2], &ledger)?;
        let name = pair.get("name").and_then(Value::as_str);
        let deployed = Self {
            use1,
            usw2,
            ledger,
            pair: name.unwrap_or_default().to_owned(),
            deployment,
        };
        for part in deployed.deploy_again()? {
            if part != Deployed::Changed {
                return Err(LabError::Usage(
                    "a new Region held a deployment already".to_owned(),
                ));
            }
        }
        Ok(deployed)
    }

    /// Deploys once more: the ledger, then the standby's side, which is the one that acts, then the other.
    pub fn deploy_again(&self) -> Result<[Deployed; 3]> {
        Ok([
            self.deployment.deploy_ledger(&self.ledger)?,
            self.deployment.deploy_region(&self.usw2)?,
            self.deployment.deploy_region(&self.use1)?,
        ])
    }

    /// A look at a cluster from a Region, as its schedule has it.
    pub fn probe(&self, about: &str, from: &AwsRegion) -> Result<Value> {
        let vantage = if from.alias() == about {
            "active"
        } else {
            "standby"
        };
        let event = json!({ "about": about, "vantage": vantage });
        from.step(&self.pair, "probe-health", &event)
    }

    /// The alias of the active cluster, as the ledger has it; `use1`, which is home, before the first recovery.
    pub fn active(&self) -> Result<String> {
        let input = json!({
            "TableName": format!("understudy-{}-ledger", self.pair),
            "Key": { "pk": { "S": format!("ledger#{}", self.pair) } },
            "ConsistentRead": true,
        });
        let api = Api::new(self.ledger.address(), self.ledger.region());
        let answer = api.json("dynamodb", "DynamoDB_20120810.GetItem", &input)?;
        let text = answer.pointer("/Item/document/S").and_then(Value::as_str);
        let document = parsed("ledger", text.unwrap_or("null"))?;
        let active = document.get("active").and_then(Value::as_str);
        Ok(active.unwrap_or(self.use1.alias()).to_owned())
    }

    /// The Region of the cluster `alias`.
    pub fn of(&self, alias: &str) -> &AwsRegion {
        if alias == self.use1.alias() {
            &self.use1
        } else {
            &self.usw2
        }
    }

    /// A person asks for a recovery where it leads to; its execution's name, or why there is none.
    pub fn ask(&self, mode: &str, to: &str) -> Result<Result<String, String>> {
        let wish = json!({ "name": "maria", "reason": "a test" });
        let event = json!({ "pair": self.pair, "mode": mode, "wish": wish });
        let answer = self.of(to).step(&self.pair, "trigger-recovery", &event)?;
        let started = answer.get("outcome").and_then(Value::as_str) == Some("started");
        let name = answer.get("execution").and_then(Value::as_str);
        Ok(match name.filter(|_| started) {
            Some(name) => Ok(name.to_owned()),
            None => Err(answer.to_string()),
        })
    }

    /// What clients follow that are moved by this parameter of the standby's Region.
    pub fn pointer(&self, parameter: &str) -> Result<Value> {
        let input = json!({ "Name": parameter });
        let answer = self
            .usw2
            .api()
            .json("ssm", "AmazonSSM.GetParameter", &input)?;
        let text = answer.pointer("/Parameter/Value").and_then(Value::as_str);
        parsed(parameter, text.unwrap_or("null"))
    }

    /// What a recovery left behind in the Region that carried it out, and the page made of it.
    pub fn evidence(&self, region: &AwsRegion, execution: &str) -> Result<(Value, String)> {
        let bucket = format!("understudy-{}-{ACCOUNT}-{}", self.pair, region.name());
        let read = |file: &str| {
            let key = format!("recoveries/{execution}/{file}");
            let missing = || LabError::BadAnswer {
                who: bucket.clone(),
                why: format!("there is no {key}"),
            };
            region.api().object(&bucket, &key)?.ok_or_else(missing)
        };
        let evidence = parsed(execution, &read("evidence.json")?)?;
        Ok((evidence, read("page.html")?))
    }
}

fn parsed(of: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).map_err(|error| LabError::BadAnswer {
        who: of.to_owned(),
        why: error.to_string(),
    })
}
