//! The usual beginning of a test: a pair `orders` of `use1`, active, and `usw2`, with the flow `forward.toml` running.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use understudy_domain::{
    Acl, AclOperation, AclPattern, AclPermission, AclResource, FlowRecord, FlowState, MapCursor,
    Origin, Position, SourceOffset, TargetOffset, TopicPartition,
};
use understudy_recovery::client::{Adapter, Application, Role};
use understudy_recovery::contract::Order;
use understudy_recovery::pair::{ClusterOfPair, FlowOfPair, Pair};
use understudy_recovery::{Alias, Epoch, Leash, Ledger, Mode, PairName};
use understudy_shell::World;
use understudy_shell::world::{Mirrored, Presence};

use crate::fuse::Fuse;
use crate::history::Happened;
use crate::life::Life;
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
/// How long life went on before a test begins, in moments.
const MOMENTS: u32 = 60;
/// How many records of each partition `audit` has read.
const AUDITED: i64 = 3;

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

    /// A stage with what was there at some moment of another.
    pub fn of(pair: Pair, scene: Scene) -> Self {
        Self {
            pair,
            scene: Arc::new(Mutex::new(scene)),
        }
    }

    /// Has the pair name `User:shop` as its writer, with a login on both clusters.
    pub fn fence_shop(&mut self) {
        let login = BTreeMap::from([("sasl.username".to_owned(), "shop".to_owned())]);
        let clusters = self.pair.clusters.keys().cloned();
        self.pair.fencing.writers = vec!["User:shop".to_owned()];
        self.pair.fencing.proof = clusters.map(|it| (it, login.clone())).collect();
    }

    /// Gives it life: `shop` writes and `billing` reads at `use1`, workers copy, and there is something to be read by
    /// `audit`, in which nobody is. ACLs let `shop` write to `use1`, and mirroring withheld that from `usw2`.
    pub fn with_life(mut self) -> Self {
        let life = Life::new();
        let application = |name: &str, role, groups: &[&str], topics: &[&str]| Application {
            name: name.to_owned(),
            role,
            wave: 0,
            adapters: vec![Adapter::File {
                path: name.to_owned(),
            }],
            groups: groups.iter().map(|it| (*it).to_owned()).collect(),
            topics: topics.iter().map(|it| (*it).to_owned()).collect(),
        };
        self.pair.applications = vec![
            application("billing", Role::Consumer, &["billing"], &[]),
            application("shop", Role::Producer, &[], &["orders"]),
        ];
        self.fence_shop();
        {
            let mut scene = self.scene();
            let writes = Acl {
                resource: AclResource::Topic,
                name: "orders".to_owned(),
                pattern: AclPattern::Literal,
                principal: life.writer.clone(),
                host: "*".to_owned(),
                operation: AclOperation::Write,
                permission: AclPermission::Allow,
            };
            scene.cluster("use1").acls = Some(BTreeSet::from([writes.clone()]));
            scene.flow("forward.toml").withheld = vec![writes];
            let partitions = life.partitions.clone();
            for partition in &partitions {
                let place = (life.reader.clone(), partition.clone());
                scene.cluster("use1").places.insert(place, 0);
            }
            scene.life = Some(life);
            for _moment in 0..MOMENTS {
                scene.go_on();
            }
            let source = scene.cluster("use1");
            source.groups.insert("audit".to_owned(), Presence::Empty);
            for partition in partitions {
                for offset in 0..AUDITED {
                    let index = usize::try_from(offset).unwrap_or(0);
                    let record = scene.cluster("use1").log_of(&partition).get(index).copied();
                    scene.happens(Happened::Read {
                        group: "audit".to_owned(),
                        cluster: "use1".to_owned(),
                        partition: partition.clone(),
                        offset,
                        record: record.flatten(),
                    });
                }
                let place = ("audit".to_owned(), partition);
                scene.cluster("use1").places.insert(place, AUDITED);
            }
            scene.go_on();
        }
        self
    }

    /// What is there, to be changed and looked at.
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a step reaches.
    pub fn world(&self) -> World {
        self.world_until(&Arc::default())
    }

    /// What a step reaches that can be killed.
    pub fn world_until(&self, fuse: &Arc<Fuse>) -> World {
        ports::world(self.pair.clone(), &self.scene, fuse)
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
            found_fenced: false,
            begun: false,
        }
    }

    /// A partition that the forward flow mirrors, under the same name, up to these offsets.
    pub fn mirror(&self, topic: &str, partition: i32, source_offset: i64, target_offset: i64) {
        let place = TopicPartition::new(topic, partition);
        let mirrored = Mirrored {
            source: place.clone(),
            target: place,
            position: position(source_offset, target_offset, NOW_MS),
        };
        self.scene().flow("forward.toml").positions.push(mirrored);
    }
}

/// A position between these offsets, whose source's end was seen there and then.
pub fn position(source_offset: i64, target_offset: i64, now_ms: i64) -> Position {
    Position {
        source_offset: SourceOffset::new(source_offset),
        source_leader_epoch: None,
        source_topic_id: None,
        target_offset: TargetOffset::new(target_offset),
        source_end_offset: Some(SourceOffset::new(source_offset)),
        source_end_seen_at_ms: Some(now_ms),
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

pub fn record(source: &str, target: &str) -> FlowRecord {
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
        ledger: Default::default(),
        automation: Default::default(),
        consent: Default::default(),
        approval: Default::default(),
        fencing: Default::default(),
        early_clients: Default::default(),
        tails: Default::default(),
        applications: Vec::new(),
        notify: Vec::new(),
        glue_registry: None,
    }
}

#[expect(clippy::expect_used, reason = "a name that stands in this file")]
fn known<T, E: std::fmt::Debug>(name: Result<T, E>) -> T {
    name.expect("a name")
}
