//! The ports, over a scene.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use understudy_domain::{
    Acl, FlowRecord, FlowState, SourceOffset, TargetOffset, TopicPartition, Translation,
};
use understudy_recovery::client::{Adapter, Pointer};
use understudy_recovery::contract::Start;
use understudy_recovery::health::Signal;
use understudy_recovery::pair::{FlowOfPair, Pair};
use understudy_recovery::{Alias, Epoch, ExecutionName, Ledger, PairName};
use understudy_shell::world::{
    Begin, Clients, Clock, Cluster, Clusters, Ends, Flows, LedgerStore, Machines, Mirrored, People,
    Presence, Probe, Signals, Store, WriteProof,
};
use understudy_shell::{PortError, PortErrorKind, World};

use crate::scene::{FakeFlow, Scene};

type Answer<T> = Result<T, PortError>;

#[derive(Clone)]
struct Ports(Arc<Mutex<Scene>>);

struct One {
    alias: String,
    ports: Ports,
}

pub fn world(pair: Pair, scene: &Arc<Mutex<Scene>>) -> World {
    let ports = Arc::new(Ports(scene.clone()));
    World {
        pair: Arc::new(pair),
        here: None,
        ledger: ports.clone(),
        store: ports.clone(),
        clusters: ports.clone(),
        flows: ports.clone(),
        clients: ports.clone(),
        people: ports.clone(),
        signals: ports.clone(),
        machines: ports.clone(),
        clock: ports,
    }
}

impl Ports {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow<T>(
        &self,
        flow: &FlowOfPair,
        call: &str,
        look: impl FnOnce(&mut FakeFlow) -> Answer<T>,
    ) -> Answer<T> {
        let mut scene = self.scene();
        scene.may(&flow.file, call)?;
        look(scene.flow(&flow.file))
    }

    fn change<T>(
        &self,
        flow: &FlowOfPair,
        call: &str,
        what: String,
        change: impl FnOnce(&mut FakeFlow) -> Answer<T>,
    ) -> Answer<T> {
        let mut scene = self.scene();
        scene.log.push(format!("{call} {}{what}", flow.file));
        scene.may(&flow.file, call)?;
        change(scene.flow(&flow.file))
    }
}

impl LedgerStore for Ports {
    fn read(&self, _pair: &PairName) -> Answer<Option<Ledger>> {
        let scene = self.scene();
        scene.may("ledger", "read")?;
        Ok(scene.ledger.clone())
    }

    fn write(&self, before: u64, next: &Ledger) -> Answer<()> {
        let mut scene = self.scene();
        scene.may("ledger", "write")?;
        let stored = scene.ledger.as_ref().map_or(0, |ledger| ledger.version);
        if stored != before {
            let text = format!("version {stored}, not {before}");
            return Err(PortError::new(PortErrorKind::Conflict, text));
        }
        scene.log.push(format!("ledger {}", next.version));
        scene.ledger = Some(next.clone());
        Ok(())
    }
}

impl Store for Ports {
    fn put(&self, key: &str, bytes: &[u8]) -> Answer<()> {
        let mut scene = self.scene();
        scene.may("store", "put")?;
        scene.store.insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, key: &str) -> Answer<Option<Vec<u8>>> {
        let scene = self.scene();
        scene.may("store", "get")?;
        Ok(scene.store.get(key).cloned())
    }

    fn list(&self, prefix: &str) -> Answer<Vec<String>> {
        let scene = self.scene();
        scene.may("store", "list")?;
        let keys = scene.store.keys();
        Ok(keys
            .filter(|key| key.starts_with(prefix))
            .cloned()
            .collect())
    }
}

impl Clusters for Ports {
    fn get(&self, alias: &Alias) -> Answer<Arc<dyn Cluster>> {
        Ok(Arc::new(One {
            alias: alias.to_string(),
            ports: self.clone(),
        }))
    }
}

impl One {
    fn scene(&self, call: &str) -> Answer<MutexGuard<'_, Scene>> {
        let scene = self.ports.scene();
        scene.may(&self.alias, call)?;
        Ok(scene)
    }

    fn note(&self, scene: &mut Scene, what: String) {
        scene.log.push(format!("{} {what}", self.alias));
    }
}

impl Cluster for One {
    fn probe(&self, _within: Duration) -> Probe {
        Probe {
            cluster_id: Some(self.alias.clone()),
            brokers: Some(1),
            failed: None,
        }
    }

    fn id(&self, _within: Duration) -> Answer<String> {
        let _scene = self.scene("id")?;
        Ok(self.alias.clone())
    }

    fn ends(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        _within: Duration,
    ) -> Answer<BTreeMap<TopicPartition, Ends>> {
        let mut scene = self.scene("ends")?;
        let cluster = scene.cluster(&self.alias);
        for partition in &cluster.growing {
            if let Some(ends) = cluster.ends.get_mut(partition) {
                ends.last_stable += 1;
                ends.high_watermark += 1;
            }
        }
        let mut ends = cluster.ends.clone();
        ends.retain(|partition, _| partitions.contains(partition));
        Ok(ends)
    }

    fn first_since(
        &self,
        partitions: &BTreeSet<TopicPartition>,
        at_ms: i64,
        _within: Duration,
    ) -> Answer<BTreeMap<TopicPartition, i64>> {
        let mut scene = self.scene("first_since")?;
        let written = &scene.cluster(&self.alias).written;
        let first = |place: &TopicPartition| {
            let times = written.get(place)?;
            let (_, offset) = times.range(at_ms..).next()?;
            Some((place.clone(), *offset))
        };
        Ok(partitions.iter().filter_map(first).collect())
    }

    fn groups(&self, _within: Duration) -> Answer<BTreeMap<String, Presence>> {
        let mut scene = self.scene("groups")?;
        Ok(scene.cluster(&self.alias).groups.clone())
    }

    fn places(
        &self,
        groups: &BTreeSet<String>,
        _within: Duration,
    ) -> Answer<BTreeMap<(String, TopicPartition), i64>> {
        let mut scene = self.scene("places")?;
        let mut places = scene.cluster(&self.alias).places.clone();
        places.retain(|(group, _), _| groups.contains(group));
        Ok(places)
    }

    fn commit_places(
        &self,
        transactional_id: &str,
        places: &BTreeMap<(String, TopicPartition), i64>,
        _within: Duration,
    ) -> Answer<()> {
        let mut scene = self.scene("commit_places")?;
        let count = places.len();
        self.note(&mut scene, format!("commit {count} as {transactional_id}"));
        scene.cluster(&self.alias).places.extend(places.clone());
        Ok(())
    }

    fn acls(&self, _within: Duration) -> Answer<Vec<Acl>> {
        let mut scene = self.scene("acls")?;
        let acls = scene.cluster(&self.alias).acls.as_ref();
        let none = || PortError::new(PortErrorKind::Missing, "it has no authorizer");
        Ok(acls.ok_or_else(none)?.iter().cloned().collect())
    }

    fn admits_everyone(&self, _within: Duration) -> Answer<Option<bool>> {
        let mut scene = self.scene("admits_everyone")?;
        Ok(scene.cluster(&self.alias).admits_everyone)
    }

    fn add_acls(&self, acls: &[Acl], _within: Duration) -> Answer<()> {
        let mut scene = self.scene("add_acls")?;
        for acl in acls {
            self.note(&mut scene, format!("add {acl}"));
        }
        let all = scene.cluster(&self.alias).acls.get_or_insert_default();
        all.extend(acls.iter().cloned());
        Ok(())
    }

    fn remove_acls(&self, acls: &[Acl], _within: Duration) -> Answer<()> {
        let mut scene = self.scene("remove_acls")?;
        for acl in acls {
            self.note(&mut scene, format!("remove {acl}"));
        }
        let all = scene.cluster(&self.alias).acls.get_or_insert_default();
        all.retain(|acl| !acls.contains(acl));
        Ok(())
    }

    fn try_write(&self, _topic: &str, _within: Duration) -> Answer<Option<WriteProof>> {
        let mut scene = self.scene("try_write")?;
        Ok(scene.cluster(&self.alias).write)
    }
}

impl Flows for Ports {
    fn name(&self, flow: &FlowOfPair) -> Answer<String> {
        self.flow(flow, "name", |flow| Ok(flow.name.clone()))
    }

    fn record(&self, flow: &FlowOfPair) -> Answer<Option<FlowRecord>> {
        self.flow(flow, "record", |flow| Ok(flow.record.clone()))
    }

    fn write_seal(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<FlowRecord> {
        self.change(flow, "seal", format!(" {epoch}"), |flow| {
            let none = || PortError::new(PortErrorKind::Missing, "there is no such flow");
            let record = flow.record.as_mut().ok_or_else(none)?;
            if record.epoch > epoch.get() {
                let text = format!("it is at epoch {}", record.epoch);
                return Err(PortError::new(PortErrorKind::Conflict, text));
            }
            record.state = FlowState::Sealed;
            record.epoch = epoch.get();
            Ok(record.clone())
        })
    }

    fn fence_workers(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<()> {
        self.change(flow, "fence", String::new(), |_| Ok(()))
    }

    fn positions(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<Vec<Mirrored>> {
        self.flow(flow, "positions", |flow| Ok(flow.positions.clone()))
    }

    fn translate(
        &self,
        flow: &FlowOfPair,
        _record: &FlowRecord,
        places: &BTreeSet<(TopicPartition, SourceOffset)>,
    ) -> Answer<BTreeMap<(TopicPartition, SourceOffset), Translation<TargetOffset>>> {
        self.flow(flow, "translate", |flow| {
            let one = |place: &(TopicPartition, SourceOffset)| {
                let known = flow.map.get(place).copied();
                (place.clone(), known.unwrap_or(Translation::BeforeHistory))
            };
            Ok(places.iter().map(one).collect())
        })
    }

    fn selects_group(&self, flow: &FlowOfPair, group: &str) -> Answer<bool> {
        self.flow(flow, "selects_group", |flow| {
            Ok(!flow.leaves_out.contains(group))
        })
    }

    fn halted(&self, flow: &FlowOfPair, _record: &FlowRecord) -> Answer<u32> {
        self.flow(flow, "halted", |_flow| Ok(0))
    }

    fn withheld_acls(
        &self,
        flow: &FlowOfPair,
        _ask_source: bool,
        fence: &[Acl],
    ) -> Answer<Vec<Acl>> {
        self.flow(flow, "withheld_acls", |flow| {
            let withheld = flow.withheld.iter().filter(|acl| !fence.contains(acl));
            Ok(withheld.cloned().collect())
        })
    }

    fn want_workers(&self, flow: &FlowOfPair, workers: u32) -> Answer<()> {
        self.change(flow, "want_workers", format!(" {workers}"), |flow| {
            flow.workers = Some(workers);
            Ok(())
        })
    }

    fn reopen(&self, flow: &FlowOfPair, epoch: Epoch) -> Answer<()> {
        self.change(flow, "reopen", format!(" {epoch}"), |flow| {
            if let Some(record) = &mut flow.record {
                record.state = FlowState::Running;
                record.epoch = epoch.get();
            }
            Ok(())
        })
    }

    fn begin_at(&self, flow: &FlowOfPair, epoch: Epoch, begins: &[Begin]) -> Answer<u32> {
        self.change(flow, "begin_at", format!(" {epoch}"), |flow| {
            flow.begins = begins.to_vec();
            Ok(u32::try_from(begins.len()).unwrap_or(u32::MAX))
        })
    }
}

impl Clients for Ports {
    fn quiesce(&self, adapter: &Adapter, _pointer: &Pointer, source: &Alias) -> Answer<String> {
        let mut scene = self.scene();
        let what = format!("quiesce {} on {source}", kind(adapter));
        scene.log.push(what.clone());
        scene.may(&kind(adapter), "quiesce")?;
        Ok(what)
    }

    fn apply(&self, adapter: &Adapter, pointer: &Pointer) -> Answer<String> {
        let mut scene = self.scene();
        let what = format!("apply {} to {}", kind(adapter), pointer.active);
        scene.log.push(what.clone());
        scene.may(&kind(adapter), "apply")?;
        Ok(what)
    }

    fn plan(&self, adapter: &Adapter, pointer: &Pointer) -> String {
        format!("apply {} to {}", kind(adapter), pointer.active)
    }
}

/// Adapters are told apart by what they hold, so that a test can let one of two fail.
fn kind(adapter: &Adapter) -> String {
    match adapter {
        Adapter::SsmParameter { parameter } => parameter.clone(),
        Adapter::File { path } => path.clone(),
        Adapter::EcsService { .. } => "ecs".to_owned(),
        Adapter::LambdaEventSource { .. } => "lambda".to_owned(),
        Adapter::Route53Record { record, .. } => record.clone(),
        Adapter::Secret { secret, .. } => secret.clone(),
        Adapter::Command { command } => command.join(" "),
        Adapter::Notify { text } => text.clone(),
    }
}

impl People for Ports {
    fn tell(&self, subject: &str, _text: &str) -> Answer<u32> {
        let mut scene = self.scene();
        scene.may("people", "tell")?;
        scene.log.push(format!("tell {subject}"));
        Ok(1)
    }
}

impl Signals for Ports {
    fn publish(&self, _about: &Alias, _signal: &Signal) -> Answer<()> {
        self.scene().may("signals", "publish")
    }

    fn recent(&self, _about: &Alias) -> Answer<Vec<Signal>> {
        self.scene().may("signals", "recent").map(|()| Vec::new())
    }
}

impl Machines for Ports {
    fn start(&self, start: &Start) -> Answer<bool> {
        let mut scene = self.scene();
        scene.may("machines", "start")?;
        scene.log.push(format!("start {}", start.execution));
        Ok(true)
    }

    fn answer(&self, _token: &str, _answer: &serde_json::Value) -> Answer<()> {
        self.scene().may("machines", "answer")
    }

    fn is_running(&self, _execution: &ExecutionName) -> Answer<Option<bool>> {
        self.scene().may("machines", "is_running").map(|()| None)
    }
}

impl Clock for Ports {
    fn now_ms(&self) -> i64 {
        self.scene().now_ms
    }

    fn sleep(&self, time: Duration) {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let mut scene = self.scene();
        scene.now_ms = scene.now_ms.saturating_add(millis);
    }
}
