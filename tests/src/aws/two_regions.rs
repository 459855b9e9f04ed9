//! A pair's two Regions and the place of its ledger, with the control plane deployed into them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::api::Api;
use crate::aws::deployment::{Deployed, Deployment};
use crate::aws::inventory::{Inventory, inventory};
use crate::aws::ministack::Ministack;
use crate::aws::region::{ACCOUNT, AwsRegion, parsed};
use crate::aws::version::Version;
use crate::error::{Doing, LabError, Result};
use crate::process::Process;
use crate::worker::{understudy_binary, understudy_in};

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
    /// The pair as a person has it, for the command line.
    file: PathBuf,
    deployment: Deployment,
}

/// A command and what surrounds it.
struct Typing {
    environment: [(String, String); 4],
    words: Vec<String>,
}

/// What the command line came to.
#[derive(Debug)]
pub struct Told {
    /// Its exit status.
    pub status: Option<i32>,
    /// What it answered, on standard output.
    pub answered: String,
    /// What it said meanwhile, on standard error.
    pub said: String,
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
        let file = folder.join("pair.toml");
        let text = toml::to_string(pair)
            .map_err(|error| LabError::Usage(format!("cannot write the pair as TOML: {error}")))?;
        std::fs::write(&file, text).doing(format!("write {}", file.display()))?;
        let deployed = Self {
            use1,
            usw2,
            ledger,
            pair: name.unwrap_or_default().to_owned(),
            file,
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

    /// Deploys another version into the Region of the cluster `alias`.
    pub fn deploy_version(&self, alias: &str, version: Version) -> Result<Deployed> {
        self.deployment.deploy_version(self.of(alias), version)
    }

    /// Where CloudFormation says that the control plane in the Region of `alias` stands.
    pub fn deployment_status(&self, alias: &str) -> Result<String> {
        self.deployment.status(self.of(alias))
    }

    /// Takes a Region's control plane away, then the ledger. Answers what is left in the Region, and where the ledger was.
    pub fn destroy(&self, alias: &str) -> Result<(Inventory, Inventory)> {
        let region = self.of(alias);
        self.deployment.destroy_region(region)?;
        self.deployment.destroy_ledger(&self.ledger)?;
        let ledger = Api::new(self.ledger.address(), self.ledger.region());
        Ok((region.inventory()?, inventory(&ledger)?))
    }

    /// The Region of `use1` is there again after its loss, and its control plane deployed anew: the stand-in remembers
    /// nothing. What recoveries go by is in the ledger, which was not lost.
    pub fn return_use1(&mut self) -> Result<()> {
        self.use1.restart()?;
        self.deployment.deploy_region(&self.use1).map(drop)
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

    /// What a person is told who types `understudy VERB` about the pair and says where the cluster `alias` is. Where the
    /// rest is, it is told there.
    pub fn typed(&self, alias: &str, verb: &str, more: &[&str], limit: Duration) -> Result<Told> {
        let typing = self.typing(alias, verb, more);
        let environment: Vec<(&str, &str)> = typing
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let output = understudy_in(&environment, &typing.words, limit)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Told {
            status: output.status.code(),
            answered: text(&output.stdout),
            said: text(&output.stderr),
        })
    }

    /// The same, and returns at once; what it says goes to a log.
    pub fn start_typed(&self, alias: &str, verb: &str, more: &[&str]) -> Result<Process> {
        let typing = self.typing(alias, verb, more);
        Process::start(
            format!("understudy {verb}"),
            understudy_binary()?,
            typing.words,
            &typing.environment,
            self.file.with_file_name(format!("{verb}.log")),
        )
    }

    fn typing(&self, alias: &str, verb: &str, more: &[&str]) -> Typing {
        let region = self.of(alias);
        let environment = [
            ("AWS_ENDPOINT_URL", region.ministack().url()),
            ("AWS_ENDPOINT_URL_DYNAMODB", self.ledger.url()),
            ("AWS_ACCESS_KEY_ID", "nobody".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "nothing".to_owned()),
        ];
        let file = self.file.display().to_string();
        let words = [verb, &file, "--region", region.name()];
        Typing {
            environment: environment.map(|(name, value)| (name.to_owned(), value)),
            words: (words.iter().chain(more))
                .map(|word| (*word).to_owned())
                .collect(),
        }
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
