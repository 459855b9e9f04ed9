//! The control plane, deployed into two stand-ins for AWS and one for the ledger, with agents that make ECS's counts true.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use understudy_tests::aws::{AwsRegion, EcsAgent, TwoRegions};
use understudy_tests::chaos::{Interrupt, Result};
use understudy_tests::{Cluster, FlowFile, LabError, deployed_pair};

use crate::sales::{CHECKOUT, SALES, SHOP};
use crate::stage::Clusters;
use crate::voice::{Voice, seconds};
use crate::warehouse::WAREHOUSE;

/// What the shop and the checkout follow.
pub const POINTER: &str = "/apps/shop/kafka";
const SERVICES: [&str; 2] = ["understudy/use1-usw2", "understudy/usw2-use1"];
const WORKERS: u32 = 2;
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks of a prober; its schedule's minute is not waited for.
pub const PROBE: Duration = Duration::from_millis(1_100);
/// How often probers look before anybody goes by what they see.
pub const LOOKS: usize = 3;

/// The control plane of the pair.
pub struct Control {
    /// Both Regions and the ledger.
    pub aws: TwoRegions,
    /// Runs workers beside usw2; dropped before the Regions.
    there: EcsAgent,
    /// Runs workers beside use1, once its AWS has been lost and is back.
    back: Option<EcsAgent>,
    flow_back: FlowFile,
}

impl Control {
    /// Deploys it, and lets as many workers run as its service says. `flows` are the one there and the one back.
    pub fn deploy(
        clusters: &Clusters,
        flows: [FlowFile; 2],
        interrupt: &Interrupt,
        voice: &mut Voice,
    ) -> Result<Self> {
        let (source, target) = (&clusters.source, &clusters.target);
        let folder = target.dir().join("aws");
        std::fs::create_dir_all(&folder).map_err(|source| LabError::Io {
            action: format!("create {}", folder.display()),
            source,
        })?;
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let [there, flow_back] = flows;
        let texts = BTreeMap::from([
            ("use1-usw2.toml".to_owned(), there.render(nowhere)?),
            ("usw2-use1.toml".to_owned(), flow_back.render(nowhere)?),
        ]);
        let pair = pair(source, target);
        let deploy = || Ok(TwoRegions::deploy(&folder, &pair, &texts)?);
        let aws = busy("deploying", interrupt, voice, deploy)?;
        let there = EcsAgent::start(&aws.usw2, SERVICES[0], WORKERS, there)?;
        voice.relief(&format!(
            "Deployed. {WORKERS} workers run beside usw2, as many as its ECS service says."
        ));
        Ok(Self {
            aws,
            there,
            back: None,
            flow_back,
        })
    }

    /// use1's AWS is there again. No worker runs beside use1 until a recovery says so.
    pub fn return_use1(&mut self) -> Result<()> {
        self.aws.return_use1()?;
        let agent = EcsAgent::start(&self.aws.use1, SERVICES[1], 0, self.flow_back.clone())?;
        self.back = Some(agent);
        Ok(())
    }

    /// Both Regions' probers look at use1, often enough to be believed.
    pub fn probe_use1(&self, interrupt: &Interrupt) -> Result<()> {
        for _look in 0..LOOKS {
            self.look_at_use1()?;
            interrupt.sleep(PROBE)?;
        }
        Ok(())
    }

    /// One look of each prober.
    pub fn look_at_use1(&self) -> Result<()> {
        self.aws.probe("use1", &self.aws.use1)?;
        self.aws.probe("use1", &self.aws.usw2)?;
        Ok(())
    }

    /// Ends the workers before what they work on does.
    pub fn stop(self) {
        drop((self.there, self.back));
    }
}

fn pair(source: &Cluster, target: &Cluster) -> Value {
    let pointer = json!([{ "kind": "ssm-parameter", "parameter": POINTER }]);
    let told = json!([{ "kind": "notify", "text": "start the warehouse with the address of the active cluster" }]);
    let proof = |cluster: &Cluster| {
        let (user, password) = SHOP;
        let login = cluster.client_properties_of(user, password);
        json!(BTreeMap::from_iter(login))
    };
    let more = json!({
        "consent": { "max_lost_records": 1_000_000, "max_age_seconds": 3_600 },
        "fencing": {
            "writers": [format!("User:{}", SHOP.0)],
            "proof": { source.alias(): proof(source), target.alias(): proof(target) },
        },
        "applications": [
            { "name": CHECKOUT, "role": "consumer", "groups": [CHECKOUT], "adapters": pointer },
            { "name": WAREHOUSE, "role": "consumer", "groups": [WAREHOUSE], "adapters": told },
            { "name": "shop", "role": "producer", "topics": [SALES], "adapters": pointer },
        ],
    });
    deployed_pair(
        (source, target),
        ["use1-usw2.toml", "usw2-use1.toml"],
        WORKERS,
        more,
    )
}

/// Does something that takes its time, and shows that it does.
pub fn busy<T: Send>(
    what: &str,
    interrupt: &Interrupt,
    voice: &mut Voice,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        while !working.is_finished() {
            voice.progress(what);
            interrupt.sleep(LOOK)?;
        }
        let panicked = |_| LabError::Usage(format!("the thread that is {what} panicked"));
        working.join().map_err(panicked)?
    })
}

/// Follows one execution and tells each state as it is first entered.
pub struct Follower<'a> {
    region: &'a AwsRegion,
    machine: &'static str,
    execution: &'static str,
    /// When it was started.
    pub begun: Instant,
    entered: BTreeSet<String>,
}

impl<'a> Follower<'a> {
    /// Nothing told yet.
    pub fn new(region: &'a AwsRegion, machine: &'static str, execution: &'static str) -> Self {
        Self {
            region,
            machine,
            execution,
            begun: Instant::now(),
            entered: BTreeSet::new(),
        }
    }

    /// Tells what was entered since; states that come again are not told again.
    pub fn tell(&mut self, voice: &mut Voice) {
        // Nothing is listed before it starts.
        let states = self.region.states(self.machine, self.execution);
        for state in states.unwrap_or_default() {
            if self.entered.insert(state.clone()) {
                voice.say(&format!("  {:>6}  {state}", seconds(self.begun.elapsed())));
            }
        }
    }

    /// Whether a state has been entered.
    pub fn came_to(&self, state: &str) -> bool {
        self.entered.contains(state)
    }

    /// Whether clients are pointed to the Region's cluster.
    pub fn is_pointed(&self) -> Result<bool> {
        let pointer = self.region.pointer(POINTER)?;
        let active = pointer.get("active").and_then(Value::as_str);
        Ok(active == Some(self.region.alias()))
    }
}
