//! Events of a step, with what they reach: made once, and kept for as long as Lambda keeps the process.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use understudy_aws::{
    AwsClients, AwsSignals, DynamoLedger, EcsWorkers, MachineNames, PairDocument, Parameters,
    Regions, S3Store, Session, Settings, SnsPeople, StepFunctions,
};
use understudy_recovery::{ErrorName, Step, StepError};
use understudy_shell::{PortError, PortErrorKind, World};
use understudy_world::SystemClock;

use crate::kafka;

/// What carries out events.
pub struct Functions {
    step: Step,
    session: Session,
    settings: Settings,
    /// Written by the first event that finds it empty; a mutex, because events come one at a time but for those that
    /// were left behind.
    world: Mutex<Option<World>>,
}

impl Functions {
    /// Nothing is reached yet.
    pub fn new(step: Step, session: Session, settings: Settings) -> Self {
        Self {
            step,
            session,
            settings,
            world: Mutex::new(None),
        }
    }

    /// Makes what events reach, if it can be made.
    pub fn prepare(&self) {
        if let Err(error) = self.world() {
            tracing::warn!(reason = %error, "pair not read yet");
        }
    }

    /// Carries out an event.
    ///
    /// # Errors
    /// The pair cannot be read, or the step's own errors.
    pub fn invoke(&self, event: Value) -> Result<Value, StepError> {
        understudy_steps::invoke(&self.world()?, self.step, event)
    }

    fn world(&self) -> Result<World, StepError> {
        let mut kept = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = kept.as_ref() {
            return Ok(world.clone());
        }
        let world = self.make()?;
        *kept = Some(world.clone());
        Ok(world)
    }

    fn make(&self) -> Result<World, StepError> {
        let settings = &self.settings;
        let store = Arc::new(S3Store::new(&self.session, &settings.bucket));
        let document = self.document()?;
        let pair = Arc::new(document.pair);
        let regions = Regions::new(self.session.clone(), settings.endpoint_urls.clone());
        let here = pair
            .clusters
            .iter()
            .find(|(_, cluster)| regions.is_here(&cluster.region))
            .map(|(alias, _)| alias.clone());
        let region = settings.ledger_region.as_deref();
        let machines = MachineNames::of_pair(settings, &pair, &regions)
            .map_err(|error| no_pair(error.to_string()))?;
        let kafka = kafka::reach(self.step, &pair, &document.flows)?;
        Ok(World {
            here,
            ledger: Arc::new(DynamoLedger::new(
                &self.session,
                &settings.ledger_table,
                region,
            )),
            store,
            clusters: kafka.clusters,
            flows: kafka.flows,
            workers: Arc::new(EcsWorkers::new(&regions, &pair)),
            clients: Arc::new(AwsClients::new(&regions, &pair)),
            people: Arc::new(SnsPeople::new(&regions, &pair)),
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

    /// The pair, from its parameter.
    fn document(&self) -> Result<PairDocument, StepError> {
        let name = &self.settings.pair_parameter;
        let text = Parameters::new(&self.session)
            .get(name)
            .map_err(|error| unread(&error))?;
        let text = text.ok_or_else(|| no_pair(format!("there is no parameter {name}")))?;
        PairDocument::parse(&text).map_err(|error| no_pair(format!("parameter {name}: {error}")))
    }
}

/// What is set cannot be used: asked again, it still cannot.
fn no_pair(text: String) -> StepError {
    StepError::new(ErrorName::UnknownPair, text)
}

fn unread(error: &PortError) -> StepError {
    let name = match error.kind {
        PortErrorKind::NotPermitted => ErrorName::NotPermitted,
        PortErrorKind::Missing | PortErrorKind::Malformed => ErrorName::UnknownPair,
        PortErrorKind::Unreachable
        | PortErrorKind::TimedOut
        | PortErrorKind::Conflict
        | PortErrorKind::Refused => ErrorName::StoreUnreachable,
    };
    StepError::new(name, format!("the pair could not be read: {error}"))
}
