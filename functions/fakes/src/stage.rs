//! The usual beginning of a test: a pair `orders` of `use1`, active, and `usw2`, with the flow `forward.toml` running.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use understudy_domain::{
    FlowRecord, FlowState, MapCursor, Origin, Position, SourceOffset, TargetOffset, TopicPartition,
};
use understudy_recovery::contract::Order;
use understudy_recovery::pair::{ClusterOfPair, FlowOfPair, Pair};
use understudy_recovery::{Alias, Epoch, Leash, Ledger, Mode, PairName};
use understudy_shell::World;
use understudy_shell::world::Mirrored;

use crate::ports;
use crate::scene::Scene;

/// A scene and its pair.
pub struct Stage {
    /// The pair; changed before [`Stage::world`] is asked for.
    pub pair: Pair,
    scene: Arc<Mutex<Scene>>,
}

/// When everything happens, in milliseconds since 1970.
const NOW_MS: i64 = 1_700_000_000_000;

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Stage {
    /// As described for this module; nobody is in any group, and nothing is written anywhere.
    pub fn new() -> Self {
        let stage = Self {
            pair: pair(),
            scene: Arc::default(),
        };
        {
            let mut scene = stage.scene();
            scene.now_ms = NOW_MS;
            for alias in ["use1", "usw2"] {
                let cluster = scene.cluster(alias);
                cluster.acls = Some(BTreeSet::new());
                cluster.admits_everyone = Some(false);
            }
            let forward = scene.flow("forward.toml");
            forward.name = "use1-usw2".to_owned();
            forward.record = Some(record("use1", "usw2"));
            scene.flow("reverse.toml").name = "usw2-use1".to_owned();
        }
        stage
    }

    /// What is there, to be changed and looked at.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a step reaches.
    pub fn world(&self) -> World {
        ports::world(self.pair.clone(), &self.scene)
    }

    /// An order of a recovery from `use1` to `usw2` at epoch 1 that holds the pair.
    pub fn order(&self, mode: Mode, leash: Leash) -> Order {
        let (source, target) = (alias("use1"), alias("usw2"));
        let ledger = Ledger::new(self.pair.name.clone(), source.clone());
        let execution = ledger.next_execution(mode, leash);
        if !leash.is_leashed() {
            let claimed = ledger.claim(&execution, &target, false, NOW_MS);
            self.scene().ledger = claimed.ok();
        }
        Order {
            pair: self.pair.name.clone(),
            execution,
            epoch: Epoch::new(1),
            mode,
            leash,
            source,
            target,
        }
    }

    /// A partition that the forward flow mirrors, under the same name, up to these offsets.
    pub fn mirror(&self, topic: &str, partition: i32, source_offset: i64, target_offset: i64) {
        let place = TopicPartition::new(topic, partition);
        let mirrored = Mirrored {
            source: place.clone(),
            target: place,
            position: position(source_offset, target_offset),
        };
        self.scene().flow("forward.toml").positions.push(mirrored);
    }
}

/// A position between these offsets, whose source's end was seen there and then.
fn position(source_offset: i64, target_offset: i64) -> Position {
    Position {
        source_offset: SourceOffset::new(source_offset),
        source_leader_epoch: None,
        source_topic_id: None,
        target_offset: TargetOffset::new(target_offset),
        source_end_offset: Some(SourceOffset::new(source_offset)),
        source_end_seen_at_ms: Some(NOW_MS),
        started_at: Origin {
            source: SourceOffset::ZERO,
            target: TargetOffset::ZERO,
        },
        incarnation: 0,
        target_topic: None,
        flow_epoch: 0,
        map: MapCursor::default(),
        records: 0,
        former: Vec::new(),
    }
}

fn record(source: &str, target: &str) -> FlowRecord {
    FlowRecord {
        generation: 1,
        slots: NonZeroU32::MIN,
        epoch: 0,
        state: FlowState::Running,
        source_cluster_id: source.to_owned(),
        target_cluster_id: target.to_owned(),
        created_at_ms: None,
        paused_topics: BTreeSet::new(),
        changing_to: None,
    }
}

fn alias(name: &str) -> Alias {
    known(Alias::new(name))
}

fn pair() -> Pair {
    let flow = |source: &str, target: &str, file: &str| FlowOfPair {
        source: alias(source),
        target: alias(target),
        file: file.to_owned(),
        service: None,
        workers: 2,
    };
    let cluster = |alias: &str| ClusterOfPair {
        region: alias.to_owned(),
        msk_arn: None,
        client_bootstrap: Some(format!("{alias}:9092")),
    };
    Pair {
        name: known(PairName::new("orders")),
        clusters: BTreeMap::from(["use1", "usw2"].map(|name| (alias(name), cluster(name)))),
        flows: vec![
            flow("use1", "usw2", "forward.toml"),
            flow("usw2", "use1", "reverse.toml"),
        ],
        home: alias("use1"),
        automation: Default::default(),
        consent: Default::default(),
        approval: Default::default(),
        fencing: Default::default(),
        early_clients: Default::default(),
        applications: Vec::new(),
        notify: Vec::new(),
    }
}

#[expect(clippy::expect_used, reason = "a name that stands in this file")]
fn known<T, E: std::fmt::Debug>(name: Result<T, E>) -> T {
    name.expect("a name")
}
