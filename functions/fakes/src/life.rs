//! What goes on by itself while recoveries run: an application that writes, one that reads, and the workers of flows.
//!
//! All are as unhelpful as the real ones may be. The writer tries every cluster it knows, and only ACLs keep it out. The
//! reader goes on where its group stands, and from the end where it has no place. Workers go on until brokers refuse
//! them, and take their ids back as soon as the flow's record lets them. Each call of a step lets a moment pass.

use std::collections::BTreeSet;

use understudy_domain::{
    AclOperation, AclPattern, AclPermission, AclResource, FlowState, SourceOffset, TargetOffset,
    TopicPartition, Translation,
};
use understudy_shell::world::{Ends, Mirrored, Presence};

use crate::history::Happened;
use crate::scene::{FakeCluster, FakeFlow, Scene};
use crate::stage::position;

/// Every so many moments a record is written.
const WRITES_EVERY: u64 = 4;
/// So many records of a partition are copied at once.
const COPIED_AT_ONCE: usize = 2;

/// Who is at work.
#[derive(Clone, Debug)]
pub struct Life {
    /// The partitions that are written, read and mirrored.
    pub partitions: Vec<TopicPartition>,
    /// The principal that writes.
    pub writer: String,
    /// Where it tries to.
    pub writes_to: BTreeSet<String>,
    /// The application that reads, and its group.
    pub reader: String,
    /// Where its members are.
    pub reads_at: Option<String>,
    /// Its members do not stop when they are told to.
    pub stubborn: bool,
    /// It is not seen again once it is told to move.
    pub lost: bool,
    /// Workers copy nothing.
    pub stalled: bool,
    /// How many moments have passed.
    pub moments: u64,
    /// How many records were written.
    pub records: u64,
}

impl Life {
    /// A writer and a reader of `orders`, both at `use1`.
    pub fn new() -> Self {
        Self {
            partitions: vec![
                TopicPartition::new("orders", 0),
                TopicPartition::new("orders", 1),
            ],
            writer: "User:shop".to_owned(),
            writes_to: BTreeSet::from(["use1", "usw2"].map(str::to_owned)),
            reader: "billing".to_owned(),
            reads_at: Some("use1".to_owned()),
            stubborn: false,
            lost: false,
            stalled: false,
            moments: 0,
            records: 0,
        }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::new()
    }
}

impl Scene {
    /// Lets a moment pass.
    pub fn go_on(&mut self) {
        let Some(mut life) = self.life.take() else {
            return;
        };
        life.moments += 1;
        if life.moments.is_multiple_of(WRITES_EVERY) {
            for cluster in life.writes_to.clone() {
                life.write(self, &cluster);
            }
        }
        if !life.stalled {
            let flows: Vec<String> = self.flows.keys().cloned().collect();
            for flow in flows {
                self.work(&flow, &life.partitions);
            }
        }
        life.read(self);
        self.life = Some(life);
    }

    /// Whether a cluster takes writes of the application that writes.
    pub fn takes_writes(&self, cluster: &str) -> bool {
        let (Some(life), Some(at)) = (&self.life, self.clusters.get(cluster)) else {
            return false;
        };
        let topics = life.partitions.iter().map(|it| it.topic.to_string());
        topics
            .collect::<BTreeSet<_>>()
            .iter()
            .any(|topic| lets_in(at, &life.writer, topic))
    }

    /// One moment of a flow's workers.
    fn work(&mut self, file: &str, partitions: &[TopicPartition]) {
        let Some(flow) = self.flows.get_mut(file) else {
            return;
        };
        let Some(record) = &flow.record else { return };
        if !flow.holds {
            // Whoever takes an id back reads the record before it may produce.
            flow.holds = record.state == FlowState::Running;
            return;
        }
        let (source, target) = (
            record.source_cluster_id.clone(),
            record.target_cluster_id.clone(),
        );
        let silent = |alias: &String| self.clusters.get(alias).is_none_or(|it| it.silent);
        if silent(&source) || silent(&target) {
            return;
        }
        for partition in partitions {
            self.copy(file, &source, &target, partition);
        }
        self.bring_groups(file, &source, &target);
    }

    fn copy(&mut self, file: &str, source: &str, target: &str, partition: &TopicPartition) {
        let now_ms = self.now_ms;
        let begins = self.cluster(target).end_of(partition);
        let flow = self.flow(file);
        let known = flow.positions.iter().find(|it| &it.source == partition);
        let Some(known) = known else {
            flow.positions.push(Mirrored {
                source: partition.clone(),
                target: partition.clone(),
                position: position(0, begins, now_ms),
            });
            return;
        };
        let mut at = known.position.source_offset.get();
        let from = usize::try_from(at).unwrap_or(0);
        let read = self.cluster(source);
        let end = read.end_of(partition);
        let mut copies = Vec::new();
        for entry in read.log_of(partition).iter().skip(from) {
            if copies.len() >= COPIED_AT_ONCE {
                break;
            }
            if let Some(record) = entry {
                copies.push((at, *record));
            }
            at += 1;
        }
        let mut last = None;
        for (from, record) in copies {
            let to = self.cluster(target).append(partition, Some(record));
            self.flow(file).copied(partition, from, to);
            self.copied(file, target, partition, Some(record));
            last = Some(to);
        }
        if last.is_some() {
            self.cluster(target).append(partition, None);
            self.copied(file, target, partition, None);
        }
        let mut positions = self.flow(file).positions.iter_mut();
        let Some(mirrored) = positions.find(|it| &it.source == partition) else {
            return;
        };
        let position = &mut mirrored.position;
        position.source_offset = SourceOffset::new(at);
        if let Some(last) = last {
            position.target_offset = TargetOffset::new(last + 1);
        }
        position.source_end_offset = Some(SourceOffset::new(end));
        position.source_end_seen_at_ms = Some(now_ms);
    }

    fn copied(&mut self, flow: &str, cluster: &str, on: &TopicPartition, record: Option<u64>) {
        self.happens(Happened::Copied {
            flow: flow.to_owned(),
            cluster: cluster.to_owned(),
            partition: on.clone(),
            record,
        });
    }

    fn bring_groups(&mut self, file: &str, source: &str, target: &str) {
        let stands = self.cluster(source).places.clone();
        for ((group, partition), offset) in stands {
            let there = self.cluster(target);
            if there.groups.get(&group) == Some(&Presence::Live) {
                continue;
            }
            let Translation::Exact(place) = self.flow(file).translated(&partition, offset) else {
                continue;
            };
            let there = self.cluster(target);
            there.groups.entry(group.clone()).or_insert(Presence::Empty);
            let key = (group.clone(), partition.clone());
            if there.places.insert(key, place.get()) != Some(place.get()) {
                self.happens(Happened::Placed {
                    cluster: target.to_owned(),
                    by_worker: true,
                    group,
                    partition,
                    offset: place.get(),
                });
            }
        }
    }
}

impl Life {
    fn write(&mut self, scene: &mut Scene, cluster: &str) {
        let at = scene.cluster(cluster);
        let turn = usize::try_from(self.moments / WRITES_EVERY).unwrap_or(0);
        let mut partitions = self.partitions.iter().cycle().skip(turn % 2);
        let Some(partition) = partitions.next().cloned() else {
            return;
        };
        if at.silent || !lets_in(at, &self.writer, &partition.topic) {
            return;
        }
        self.records += 1;
        at.append(&partition, Some(self.records));
        scene.happens(Happened::Wrote {
            cluster: cluster.to_owned(),
            partition,
            record: self.records,
        });
    }

    fn read(&mut self, scene: &mut Scene) {
        let Some(cluster) = self.reads_at.clone() else {
            return;
        };
        if scene.cluster(&cluster).silent {
            return;
        }
        let at = scene.cluster(&cluster);
        at.groups.insert(self.reader.clone(), Presence::Live);
        for partition in &self.partitions {
            let at = scene.cluster(&cluster);
            let key = (self.reader.clone(), partition.clone());
            let end = at.end_of(partition);
            let offset = *at.places.entry(key.clone()).or_insert(end);
            let index = usize::try_from(offset).unwrap_or(usize::MAX);
            let Some(entry) = at.log_of(partition).get(index).copied() else {
                continue;
            };
            at.places.insert(key, offset + 1);
            scene.happens(Happened::Read {
                group: self.reader.clone(),
                cluster: cluster.clone(),
                partition: partition.clone(),
                offset,
                record: entry,
            });
        }
    }

    /// The application that reads is told to stop.
    pub(crate) fn stop(&mut self, scene: &mut Scene) {
        if self.stubborn {
            return;
        }
        if let Some(cluster) = self.reads_at.take() {
            let groups = &mut scene.cluster(&cluster).groups;
            groups.insert(self.reader.clone(), Presence::Empty);
        }
    }

    /// It is told to use a cluster.
    pub(crate) fn move_to(&mut self, scene: &mut Scene, cluster: &str) {
        if let Some(before) = self.reads_at.take() {
            let groups = &mut scene.cluster(&before).groups;
            groups.insert(self.reader.clone(), Presence::Empty);
        }
        if !self.lost {
            self.reads_at = Some(cluster.to_owned());
        }
    }
}

impl FakeCluster {
    /// What a partition holds: records, and the marks of transactions' ends.
    pub fn log_of(&self, partition: &TopicPartition) -> &Vec<Option<u64>> {
        static EMPTY: Vec<Option<u64>> = Vec::new();
        self.log.get(partition).unwrap_or(&EMPTY)
    }

    /// Where it ends.
    pub fn end_of(&self, partition: &TopicPartition) -> i64 {
        i64::try_from(self.log_of(partition).len()).unwrap_or(i64::MAX)
    }

    /// Appends, and answers where.
    pub fn append(&mut self, partition: &TopicPartition, entry: Option<u64>) -> i64 {
        let offset = self.end_of(partition);
        self.log.entry(partition.clone()).or_default().push(entry);
        let ends = Ends {
            last_stable: offset + 1,
            high_watermark: offset + 1,
        };
        self.ends.insert(partition.clone(), ends);
        offset
    }
}

impl FakeFlow {
    /// A record was copied.
    fn copied(&mut self, partition: &TopicPartition, source: i64, target: i64) {
        let key = (partition.clone(), SourceOffset::new(source));
        let exact = Translation::Exact(TargetOffset::new(target));
        self.map.insert(key, exact);
    }

    /// Where a place on the source lies on the target.
    pub fn translated(&self, partition: &TopicPartition, offset: i64) -> Translation<TargetOffset> {
        let key = (partition.clone(), SourceOffset::new(offset));
        if let Some(known) = self.map.get(&key) {
            return *known;
        }
        let mirrored = self.positions.iter().find(|it| &it.source == partition);
        let at = mirrored.map(|it| (it.position.source_offset.get(), it.position.target_offset));
        match at {
            Some((here, there)) if offset == here => Translation::Exact(there),
            Some((here, _)) if offset > here => Translation::Ahead,
            // Between two records lies a mark: the place is the next record's.
            Some((here, there)) => {
                let after = (offset..here).find_map(|next| {
                    let key = (partition.clone(), SourceOffset::new(next));
                    self.map.get(&key).copied()
                });
                let before = self
                    .map
                    .keys()
                    .any(|(of, at)| of == partition && at.get() < offset);
                match (before, after) {
                    (true, Some(after)) => after,
                    (true, None) => Translation::Exact(there),
                    (false, _) => Translation::BeforeHistory,
                }
            }
            None => Translation::BeforeHistory,
        }
    }
}

/// Whether a cluster's ACLs let somebody write: Kafka's rules, for what is used here.
fn lets_in(cluster: &FakeCluster, writer: &str, topic: &str) -> bool {
    let Some(acls) = &cluster.acls else {
        return true;
    };
    let on_it = |name: &str, pattern: AclPattern| match pattern {
        AclPattern::Literal => name == topic || name == "*",
        AclPattern::Prefixed => topic.starts_with(name),
    };
    let acls: Vec<_> = acls
        .iter()
        .filter(|it| it.resource == AclResource::Topic && on_it(&it.name, it.pattern))
        .collect();
    if acls.is_empty() {
        return cluster.admits_everyone == Some(true);
    }
    let mut about = acls.iter().filter(|it| {
        (it.principal == writer || it.principal == "User:*")
            && matches!(it.operation, AclOperation::Write | AclOperation::All)
    });
    let denied = about.clone().any(|it| it.permission == AclPermission::Deny);
    !denied && about.any(|it| it.permission == AclPermission::Allow)
}
