//! What the tests' world has beyond the usual fakes: lookers, people and state machines that can be told what to say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use understudy_domain::{Acl, TopicPartition};
use understudy_fakes::Stage;
use understudy_recovery::contract::Start;
use understudy_recovery::health::{Layer, Saw, Signal, Vantage};
use understudy_recovery::{Alias, ExecutionName, Step, StepError};
use understudy_shell::world::{
    Cluster, Clusters, Ends, Machines, Measured, People, Presence, Probe, Signals,
};
use understudy_shell::{PortError, PortErrorKind, World};
use understudy_steps::invoke;

/// A pair `orders`, and who says what.
pub struct Drill {
    pub stage: Stage,
    pub world: World,
    pub said: Arc<Mutex<Said>>,
}

/// What others say, and what they were told.
#[derive(Default)]
pub struct Said {
    /// Clusters that do not answer.
    pub silent: BTreeSet<String>,
    /// Signals, by cluster.
    pub signals: BTreeMap<String, Vec<Signal>>,
    /// What probers measured beside their looks.
    pub measured: Vec<(String, Measured)>,
    /// Executions by name; whether each runs.
    pub executions: BTreeMap<String, bool>,
    /// What executions were started with.
    pub starts: Vec<Start>,
    /// Answers to tokens.
    pub answers: Vec<(String, Value)>,
    /// Tokens that nobody waits with.
    pub gone: BTreeSet<String>,
    /// What people were told.
    pub told: Vec<String>,
    /// Telling people is a defect.
    pub breaks: bool,
    /// Clusters that do not even come back from being asked.
    pub hanging: BTreeSet<String>,
}

pub type Outcome = Result<(), StepError>;

impl Drill {
    pub fn new() -> Self {
        Self::of(Stage::new())
    }

    pub fn of(stage: Stage) -> Self {
        let said = Arc::<Mutex<Said>>::default();
        let mut world = stage.world();
        let others = Arc::new(Others {
            said: said.clone(),
            clusters: world.clusters.clone(),
        });
        world.clusters = others.clone();
        world.signals = others.clone();
        world.machines = others.clone();
        world.people = others;
        Self { stage, world, said }
    }

    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn invoke(&self, step: Step, payload: Value) -> Result<Value, StepError> {
        invoke(&self.world, step, payload)
    }

    pub fn now_ms(&self) -> i64 {
        self.stage.scene().now_ms
    }

    /// A bad or good look at a cluster, some seconds ago.
    pub fn looked(&self, about: &str, vantage: Vantage, seconds_ago: i64, serves: bool) {
        let saw = if serves {
            Saw::Serves
        } else {
            Saw::Fails {
                layer: Layer::Connect,
                reason: "no broker took a connection".to_owned(),
            }
        };
        let at_ms = self.now_ms() - seconds_ago * 1_000;
        let signal = Signal {
            vantage,
            saw,
            at_ms,
            path_proven: true,
        };
        let mut said = self.said();
        let signals = said.signals.entry(about.to_owned()).or_default();
        signals.push(signal);
        signals.sort_by_key(|it| it.at_ms);
    }

    /// The active cluster is gone, for every looker.
    pub fn lose(&self, alias: &str) {
        self.said().silent.insert(alias.to_owned());
        for seconds_ago in [30, 20, 10] {
            self.looked(alias, Vantage::Standby, seconds_ago, false);
            self.looked(alias, Vantage::Active, seconds_ago, false);
        }
    }

    /// The first failover's input.
    pub fn start(&self, mode: &str, leash: &str) -> Value {
        let drill = if leash == "leashed" { "-drill" } else { "" };
        json!({
            "pair": "orders",
            "execution": format!("orders-e1-{mode}-1{drill}"),
            "mode": mode,
            "leash": leash,
            "wish": {"by": "person", "name": "maria", "reason": "a test"},
            "wished_at_ms": 1_700_000_000_000_i64,
        })
    }

    /// Claims, and answers the order.
    pub fn claim(&self, mode: &str, leash: &str) -> Result<Value, StepError> {
        let start = self.start(mode, leash);
        let claimed = self.invoke(Step::ClaimEpoch, json!({ "start": start }))?;
        Ok(claimed.get("order").cloned().unwrap_or_default())
    }

    /// A value of the store.
    pub fn stored(&self, key: &str) -> Value {
        let scene = self.stage.scene();
        let bytes = scene.store.get(key).map(Vec::as_slice).unwrap_or_default();
        serde_json::from_slice(bytes).unwrap_or_default()
    }
}

struct Others {
    said: Arc<Mutex<Said>>,
    clusters: Arc<dyn Clusters>,
}

impl Others {
    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clusters for Others {
    fn get(&self, alias: &Alias) -> Result<Arc<dyn Cluster>, PortError> {
        if self.said().hanging.contains(alias.as_str()) {
            std::thread::sleep(Duration::from_secs(20));
        }
        if self.said().silent.contains(alias.as_str()) {
            return Ok(Arc::new(Gone));
        }
        self.clusters.get(alias)
    }
}

impl Signals for Others {
    fn publish(&self, about: &Alias, signal: &Signal) -> Result<(), PortError> {
        let mut said = self.said();
        let signals = said.signals.entry(about.to_string()).or_default();
        signals.push(signal.clone());
        Ok(())
    }

    fn measure(&self, about: &Alias, measured: &Measured) -> Result<(), PortError> {
        self.said().measured.push((about.to_string(), *measured));
        Ok(())
    }

    fn recent(&self, about: &Alias) -> Result<Vec<Signal>, PortError> {
        Ok(self
            .said()
            .signals
            .get(about.as_str())
            .cloned()
            .unwrap_or_default())
    }
}

impl Machines for Others {
    fn start(&self, start: &Start) -> Result<bool, PortError> {
        let mut said = self.said();
        let name = start.execution.to_string();
        if said.executions.contains_key(&name) {
            return Ok(false);
        }
        said.executions.insert(name, true);
        said.starts.push(start.clone());
        Ok(true)
    }

    fn answer(&self, token: &str, answer: &Value) -> Result<(), PortError> {
        let mut said = self.said();
        if said.gone.contains(token) {
            return Err(PortError::new(PortErrorKind::Missing, "nobody waits"));
        }
        said.answers.push((token.to_owned(), answer.clone()));
        Ok(())
    }

    fn is_running(&self, execution: &ExecutionName) -> Result<Option<bool>, PortError> {
        Ok(self.said().executions.get(&execution.to_string()).copied())
    }
}

impl People for Others {
    fn tell(&self, subject: &str, text: &str) -> Result<u32, PortError> {
        let mut said = self.said();
        let sound = (!said.breaks).then_some(2);
        said.told.push(format!("{subject}\n{text}"));
        drop(said);
        Ok(sound.expect("it was told to break"))
    }
}

/// A cluster that does not answer.
struct Gone;

impl Gone {
    fn no<T>() -> Result<T, PortError> {
        Err(PortError::new(PortErrorKind::TimedOut, "no answer"))
    }
}

impl Cluster for Gone {
    fn probe(&self, _within: Duration) -> Probe {
        Probe {
            cluster_id: None,
            brokers: None,
            failed: Some((Layer::Connect, "no broker took a connection".to_owned())),
        }
    }
    fn id(&self, _within: Duration) -> Result<String, PortError> {
        Self::no()
    }
    fn ends(
        &self,
        _partitions: &BTreeSet<TopicPartition>,
        _within: Duration,
    ) -> Result<BTreeMap<TopicPartition, Ends>, PortError> {
        Self::no()
    }
    fn first_since(
        &self,
        _partitions: &BTreeSet<TopicPartition>,
        _at_ms: i64,
        _within: Duration,
    ) -> Result<BTreeMap<TopicPartition, i64>, PortError> {
        Self::no()
    }
    fn groups(&self, _within: Duration) -> Result<BTreeMap<String, Presence>, PortError> {
        Self::no()
    }
    fn places(
        &self,
        _groups: &BTreeSet<String>,
        _within: Duration,
    ) -> Result<BTreeMap<(String, TopicPartition), i64>, PortError> {
        Self::no()
    }
    fn commit_places(
        &self,
        _transactional_id: &str,
        _places: &BTreeMap<(String, TopicPartition), i64>,
        _within: Duration,
    ) -> Result<(), PortError> {
        Self::no()
    }
    fn acls(&self, _within: Duration) -> Result<Vec<Acl>, PortError> {
        Self::no()
    }
    fn admits_everyone(&self, _within: Duration) -> Result<Option<bool>, PortError> {
        Self::no()
    }
    fn add_acls(&self, _acls: &[Acl], _within: Duration) -> Result<(), PortError> {
        Self::no()
    }
    fn remove_acls(&self, _acls: &[Acl], _within: Duration) -> Result<(), PortError> {
        Self::no()
    }
    fn open_to_writer(
        &self,
        _topics: &BTreeSet<String>,
        _within: Duration,
    ) -> Result<Option<BTreeSet<String>>, PortError> {
        Self::no()
    }
}
