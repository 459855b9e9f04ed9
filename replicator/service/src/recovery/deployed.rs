//! A pair that is deployed to AWS: recoveries are started there, and followed from here by what their steps leave.
//!
//! Nothing but the Region has to be known: where ledger, evidence and machines are, the deployed functions tell.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use understudy_aws::{
    AwsSignals, DeployedFunctions, DynamoLedger, MachineNames, Regions, S3Store, Session, Settings,
    SnsPeople, StepFunctions,
};
use understudy_recovery::contract::{TriggerOutcome, Triggered};
use understudy_recovery::{Leash, Step};
use understudy_shell::World;
use understudy_world::{
    KafkaClusters, KafkaFlows, LocalClients, OthersWorkers, PairFile, SystemClock,
};

use super::carry_out::{Asked, person};
use super::home::{Home, LocalError, Place};
use super::watch::{self, Answers};
use crate::chain::chain;

/// The functions of a pair in one Region.
pub struct Deployed {
    functions: DeployedFunctions,
    pair: String,
    /// The Region.
    pub region: String,
}

impl Deployed {
    /// What a step's function answers.
    ///
    /// # Errors
    /// Its own, or Lambda did not answer.
    pub fn invoke(&self, step: Step, event: &Value) -> Result<Value, LocalError> {
        let name = format!("understudy-{}-{step}", self.pair);
        let answer = self.functions.invoke(&name, event);
        answer.map_err(|error| LocalError::No(error.text))
    }
}

/// A pair as it is deployed to a Region: the one that is named, or else the one of the environment or the profile.
///
/// # Errors
/// The pair file cannot be used, or nothing of the pair is deployed there.
pub fn home(pair_file: &Path, region: Option<&str>) -> Result<Home, LocalError> {
    let file = PairFile::alone(pair_file).map_err(|error| LocalError::Pair(chain(&error)))?;
    let session = region.map_or_else(Session::open, Session::open_in);
    let session = session.map_err(|error| {
        let text = format!(
            "{}; say --region with the Region of the cluster that is to be active, or --local to carry it out in this process",
            chain(&error)
        );
        LocalError::Pair(text)
    })?;
    let pair = Arc::clone(&file.pair);
    let deployed = Deployed {
        functions: DeployedFunctions::new(&session),
        pair: pair.name.to_string(),
        region: session.region().to_owned(),
    };
    let function = format!("understudy-{}-{}", pair.name, Step::TriggerRecovery);
    let environment = deployed.functions.environment(&function).map_err(|error| {
        LocalError::Pair(format!(
            "pair {} does not answer in {}: {}",
            pair.name, deployed.region, error.text
        ))
    })?;
    let settings = Settings::read(|key| environment.get(key).cloned())
        .map_err(|error| LocalError::Pair(format!("function {function}: {error}")))?;
    let world = world(&file, &session, &settings)?;
    Ok(Home {
        pair_file: pair_file.to_path_buf(),
        state: PathBuf::from(format!("s3://{}", settings.bucket)),
        world,
        place: Place::Deployed(Box::new(deployed)),
    })
}

/// What can be seen of the pair from here: no cluster, and nothing is moved.
fn world(file: &PairFile, session: &Session, settings: &Settings) -> Result<World, LocalError> {
    let pair = Arc::clone(&file.pair);
    let regions = Regions::new(session.clone(), settings.endpoint_urls.clone());
    let machines = MachineNames::of_pair(settings, &pair, &regions)
        .map_err(|error| LocalError::Pair(error.to_string()))?;
    let region = settings.ledger_region.as_deref();
    let people = Arc::new(SnsPeople::new(&regions, &pair));
    let flows = KafkaFlows::new(file).map_err(|error| LocalError::Defect(error.text))?;
    Ok(World {
        here: None,
        ledger: Arc::new(DynamoLedger::new(session, &settings.ledger_table, region)),
        store: Arc::new(S3Store::new(session, &settings.bucket)),
        clusters: Arc::new(KafkaClusters::new(file)),
        flows: Arc::new(flows),
        workers: Arc::new(OthersWorkers),
        clients: Arc::new(LocalClients::new(&file.folder, people.clone())),
        people,
        signals: Arc::new(AwsSignals::new(
            &regions,
            &pair,
            &settings.ledger_table,
            region,
        )),
        machines: Arc::new(StepFunctions::new(&regions, machines)),
        clock: Arc::new(SystemClock),
        pair,
    })
}

/// Starts a recovery and follows it to its end. True if the target is active, or stands by as was asked, or the drill is
/// done.
///
/// # Errors
/// It was not started, or nothing tells how it stands.
pub fn run(home: &Home, asked: &Asked) -> Result<bool, LocalError> {
    let mut event = json!({
        "pair": home.world.pair.name,
        "mode": asked.mode,
        "wish": { "by": "person", "name": person(), "reason": asked.reason },
        "supersede": asked.supersede,
    });
    if let Some(fields) = event.as_object_mut() {
        if asked.leash == Leash::Leashed {
            fields.insert("leash".to_owned(), json!(asked.leash));
        }
        if asked.standby_only {
            fields.insert("standby_only".to_owned(), json!(true));
        }
        if let Some(consent) = asked.consent {
            fields.insert("consent".to_owned(), json!(consent));
        }
    }
    let answer = home.invoke(Step::TriggerRecovery, event)?;
    let triggered: Triggered =
        serde_json::from_value(answer).map_err(|error| LocalError::Defect(error.to_string()))?;
    let execution = match (triggered.outcome, triggered.execution) {
        (TriggerOutcome::Started, Some(execution)) => execution.to_string(),
        _ => return Err(LocalError::No(triggered.reason)),
    };
    let answers = if asked.yes {
        Answers::Yes
    } else if asked.wait {
        Answers::Elsewhere
    } else {
        Answers::Here
    };
    watch::follow(home, &execution, answers, asked.json)
}
