//! A pair's control plane, deployed by the real CDK CLI.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::aws::ministack::Ministack;
use crate::aws::packed::pack;
use crate::aws::region::{ACCOUNT, AwsRegion};
use crate::aws::tools;
use crate::aws::version::Version;
use crate::error::{Doing, LabError, Result};
use crate::tool::run;

const SYNTH_LIMIT: Duration = Duration::from_secs(300);
const DEPLOY_LIMIT: Duration = Duration::from_secs(300);
const ASSETS: &str = "cdk-assets";
const NODE: &str = "https://nodejs.org (20 or newer)";

/// Templates of a pair, ready to be deployed.
#[derive(Debug)]
pub struct Deployment {
    package: PathBuf,
    templates: PathBuf,
    pair: String,
}

/// What a deployment led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployed {
    /// Something was made or changed.
    Changed,
    /// Everything was so already.
    Unchanged,
}

/// The functions' binary: `$UNDERSTUDY_FUNCTIONS_BIN`, or the one built beside this program.
fn functions_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("UNDERSTUDY_FUNCTIONS_BIN") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe().doing("find this program")?;
    let beside = here
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join("understudy-functions"))
        .find(|path| path.is_file());
    beside.ok_or_else(|| {
        LabError::Usage(
            "no understudy-functions binary; build the workspace first, or set UNDERSTUDY_FUNCTIONS_BIN".to_owned(),
        )
    })
}

impl Deployment {
    /// Makes the templates of a pair from its configuration and the texts of its flow files. `folder` takes what is made.
    pub fn synthesize(
        folder: &Path,
        pair: &Value,
        flows: &BTreeMap<String, String>,
        regions: [&AwsRegion; 2],
        ledger: &Ministack,
    ) -> Result<Self> {
        let package = tools::cdk()?;
        let functions = folder.join("functions");
        std::fs::create_dir_all(&functions).doing(format!("create {}", functions.display()))?;
        // Without what only a debugger reads: it is sent to each Region.
        run(
            "strip",
            "apt-get install binutils",
            Command::new("strip")
                .arg("-o")
                .arg(functions.join("bootstrap"))
                .arg(functions_binary()?),
            SYNTH_LIMIT,
        )?;
        for (file, text) in flows {
            write(&folder.join(file), text)?;
        }
        write(&folder.join("pair.json"), &pair.to_string())?;
        let config = folder.join("deployment.json");
        write(&config, &configuration(regions, ledger).to_string())?;
        let templates = folder.join("cdk.out");
        let mut synth = cli(&package);
        // AWS's schemas and rules are checked by `scripts/check`; loading them takes longer than everything else here.
        synth
            .env("CDK_VALIDATION", "false")
            .args(["synth", "--quiet", "--no-notices", "--output"])
            .arg(&templates)
            .arg("-c")
            .arg(format!("config={}", config.display()))
            .arg("-c")
            .arg(format!("functions={}", functions.display()));
        // It compiles the package where it lies first, which two at once cannot.
        let compiling = tools::compiling_cdk()?;
        run("cdk synth", NODE, &mut synth, SYNTH_LIMIT)?;
        drop(compiling);
        pack(&templates)?;
        let name = pair.get("name").and_then(Value::as_str).unwrap_or_default();
        Ok(Self {
            package,
            templates,
            pair: name.to_owned(),
        })
    }

    /// Deploys the ledger.
    pub fn deploy_ledger(&self, ledger: &Ministack) -> Result<Deployed> {
        self.deploy(&self.templates, ledger, &self.ledger_stack())
    }

    /// Deploys a Region's control plane, and what applications are granted there.
    pub fn deploy_region(&self, region: &AwsRegion) -> Result<Deployed> {
        self.deploy(&self.templates, region.ministack(), &self.stacks(region))
    }

    /// Deploys another version of it.
    pub fn deploy_version(&self, region: &AwsRegion, version: Version) -> Result<Deployed> {
        let templates = version.templates(&self.templates)?;
        self.deploy(&templates, region.ministack(), &self.stacks(region))
    }

    /// Where CloudFormation says that a Region's control plane stands.
    pub fn status(&self, region: &AwsRegion) -> Result<String> {
        let stack = self.stack(region);
        let fields = [("Action", "DescribeStacks"), ("StackName", &stack)];
        let answer = region
            .api()
            .query("cloudformation", "2010-05-15", &fields)?;
        let status = answer.split_once("<StackStatus>").map(|(_, rest)| rest);
        let status = status.and_then(|rest| rest.split_once('<'));
        Ok(status.map_or_else(String::new, |(status, _)| status.to_owned()))
    }

    /// Takes a Region's control plane away.
    pub fn destroy_region(&self, region: &AwsRegion) -> Result<()> {
        self.destroy(region.ministack(), &self.stacks(region))
    }

    /// Takes the ledger away.
    pub fn destroy_ledger(&self, ledger: &Ministack) -> Result<()> {
        self.destroy(ledger, &self.ledger_stack())
    }

    fn stack(&self, region: &AwsRegion) -> String {
        format!("Understudy-{}-{}", self.pair, region.name())
    }

    /// A pattern for it and what is deployed beside it.
    fn stacks(&self, region: &AwsRegion) -> String {
        format!("{}*", self.stack(region))
    }

    fn ledger_stack(&self) -> String {
        format!("Understudy-{}-Ledger", self.pair)
    }

    fn destroy(&self, at: &Ministack, stack: &str) -> Result<()> {
        let mut destroy = self.at(at, "destroy", &self.templates);
        destroy.args(["--force", stack]);
        run("cdk destroy", NODE, &mut destroy, DEPLOY_LIMIT).map(drop)
    }

    /// The CLI, about to do something with templates that are there.
    fn at(&self, at: &Ministack, verb: &str, templates: &Path) -> Command {
        let mut cli = cli(&self.package);
        cli.env("AWS_ENDPOINT_URL", at.url())
            .env("AWS_REGION", at.region())
            .args([
                verb,
                // What is deployed is there; the package is compiled for templates only.
                "--build=true",
                // What it says goes where it can be read.
                "--ci",
                "--no-notices",
                "--app",
            ])
            .arg(templates);
        cli
    }

    fn deploy(&self, templates: &Path, at: &Ministack, stack: &str) -> Result<Deployed> {
        // In place of `cdk bootstrap`: assets are uploaded with the CLI's own credentials.
        crate::aws::api::Api::new(at.address(), at.region()).make_bucket(ASSETS)?;
        let mut deploy = self.at(at, "deploy", templates);
        deploy.args(["--method=direct", "--require-approval=never", stack]);
        let printed = run("cdk deploy", NODE, &mut deploy, DEPLOY_LIMIT)?;
        let mut done = printed.lines().filter(|line| line.contains('✅'));
        Ok(if done.all(|line| line.contains("(no changes)")) {
            Deployed::Unchanged
        } else {
            Deployed::Changed
        })
    }
}

/// The CDK's CLI, which asks nobody anything.
fn cli(package: &Path) -> Command {
    let mut cli = Command::new(package.join("node_modules/.bin/cdk"));
    cli.current_dir(package)
        .env("CDK_DISABLE_CLI_TELEMETRY", "true")
        .env(
            "NODE_OPTIONS",
            "--disable-warning=NodeVersionSupportWarning",
        )
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
    cli
}

/// What is deployed, and where functions find what is not in their own Region.
fn configuration(regions: [&AwsRegion; 2], ledger: &Ministack) -> Value {
    let elsewhere = regions
        .map(|region| format!("{}={}", region.name(), region.ministack().url()))
        .join(",");
    let environment: serde_json::Map<String, Value> = regions
        .iter()
        .map(|region| {
            let variables = json!({
                // What AWS_ENDPOINT_URL says is overwritten by the stand-in; one service's own is kept.
                "AWS_ENDPOINT_URL_DYNAMODB": ledger.url(),
                "UNDERSTUDY_ENDPOINT_URLS": elsewhere,
            });
            (region.name().to_owned(), variables)
        })
        .collect();
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x86_64"
    };
    json!({
        "account": ACCOUNT,
        "pair": "pair.json",
        "ledger": { "region": ledger.region() },
        "architecture": architecture,
        "logDays": 7,
        "local": { "assets": ASSETS, "environment": environment },
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).doing(format!("write {}", path.display()))
}
