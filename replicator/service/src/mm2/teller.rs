//! Writes MirrorMaker 2's own topics, so that whoever reads them need not know that it is gone.
//!
//! Not in the slots' transactions, on purpose: a topic that may not be written would end a slot's transaction, and
//! records would stand still for somebody's dashboard. No fence is needed either, because each record is a fact that
//! stays one:
//! a. *Heartbeats* say when the source answered last, not when they were written. Only the holder of slot 0 writes them.
//! b. *Checkpoints* say where a place of the source is on the target; copies do not move. A late one is older, and
//!    whoever uses it repeats some records.
//! c. *Offset syncs* name a record and its copy.
//!
//! Whatever goes wrong here is a warning. What was not written is due still, and tried again: soon, then every few
//! seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use understudy_domain::mm2::{Checkpoint, CheckpointKey, Heartbeat, HeartbeatKey, OffsetSync};
use understudy_domain::{FlowState, PlaceState, Slot, SourceOffset, TargetOffset, TopicPartition};
use understudy_kafka::ffi::writer::Writer;
use understudy_kafka::{Cluster, Endpoint, Fault};

use crate::clock::now_ms;
use crate::explain::explain;
use crate::places::PlaceKey;
use crate::replication::Replicas;
use crate::slot::Context;
use crate::stop::Stop;

/// Time limit of one call.
const WITHIN: Duration = Duration::from_secs(10);
/// How long until what went wrong is tried again: the first time, and from then on.
const RETRY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];
/// How long between two looks whether what is due can be told, and the longest time between two looks at what is due.
const LOOK: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// The slot whose holder writes heartbeats.
const SPEAKER_SLOT: Slot = Slot::new(0);
/// How often offset syncs are written.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// For how long an answer of the source counts as of now.
const FRESH: Duration = Duration::from_secs(10);
/// What warnings are about.
const ABOUT: &str = "MirrorMaker 2's topics";

/// A record that is due: topic, key, value, when it holds.
type Due = (String, Vec<u8>, Vec<u8>, i64);

/// Writes MirrorMaker 2's topics for what its worker holds.
pub struct Teller {
    context: Context,
    target: Out,
    source: Option<Out>,
    heartbeats: Pace,
    /// When the source had answered last, when the last heartbeat was written.
    told_alive: Option<Instant>,
    checkpoints: Pace,
    /// What was written last of each group's place.
    told_places: BTreeMap<PlaceKey, (SourceOffset, TargetOffset)>,
    syncs: Pace,
    /// What was written last of each partition.
    told_syncs: BTreeMap<TopicPartition, (SourceOffset, TargetOffset)>,
}

/// When something is written again: after its interval only if it was written, else as soon as it may be tried again.
struct Pace {
    due: Instant,
    /// Why it could not be written, and how often in a row.
    failed: Option<(String, usize)>,
}

impl Pace {
    const fn new(now: Instant) -> Self {
        Self {
            due: now,
            failed: None,
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        now >= self.due
    }

    /// Notes what became of an attempt that began at `now`.
    fn tried(&mut self, now: Instant, interval: Duration, outcome: Result<(), String>) {
        let wait = match outcome {
            Ok(()) => {
                self.failed = None;
                interval
            }
            Err(reason) => {
                tracing::debug!(reason, "MirrorMaker 2's topics are tried again");
                let before = self.failed.take().map_or(0, |(_, times)| times);
                self.failed = Some((reason, before.saturating_add(1)));
                let [first, later] = RETRY;
                if before == 0 { first } else { later }
            }
        };
        self.due = now + wait;
    }

    /// What somebody should look at: what a broker that changes leaders refuses once needs nobody's look.
    fn warning(&self) -> Option<String> {
        let (reason, times) = self.failed.as_ref()?;
        (*times > 1).then(|| reason.clone())
    }
}

impl Teller {
    /// A teller; its clients are made once there is something to say.
    pub fn new(context: Context) -> Self {
        let now = Instant::now();
        let flow = context.flow.clone();
        // What the flow file says of replicas is about the target.
        let source = flow
            .mm2
            .source_heartbeats
            .then(|| Out::new(&flow.source, None));
        Self {
            target: Out::new(&flow.target, flow.replication_factor),
            source,
            context,
            heartbeats: Pace::new(now),
            told_alive: None,
            checkpoints: Pace::new(now),
            told_places: BTreeMap::new(),
            syncs: Pace::new(now),
            told_syncs: BTreeMap::new(),
        }
    }

    /// Tells until `stop`.
    pub fn run(mut self, stop: &Stop) {
        let mm2 = self.context.flow.mm2.clone();
        if !(mm2.heartbeats || mm2.checkpoints || mm2.offset_syncs || mm2.source_heartbeats) {
            return;
        }
        let [least, most] = LOOK;
        let least = least
            .min(mm2.heartbeat_interval)
            .min(mm2.checkpoint_interval);
        while !stop.is_set() {
            self.tell();
            let paces = [&self.heartbeats, &self.checkpoints, &self.syncs];
            let warnings = paces.into_iter().filter_map(Pace::warning).collect();
            self.context.board.warn(ABOUT, warnings);
            let due = self.until_due(Instant::now()).unwrap_or(most);
            stop.wait(due.clamp(least, most));
        }
    }

    /// Whether this worker may speak for the flow, as far as it knows.
    fn may_speak(&self) -> bool {
        !self.context.lost.load(Ordering::Relaxed)
            && self.context.board.hold().flow_state == Some(FlowState::Running)
    }

    /// How long until this worker is to tell the next thing; nothing where it is to tell none.
    fn until_due(&self, now: Instant) -> Option<Duration> {
        if !self.may_speak() {
            return None;
        }
        let mm2 = &self.context.flow.mm2;
        let alive = (mm2.heartbeats || mm2.source_heartbeats) && self.is_speaker();
        let paces = [
            (alive, &self.heartbeats),
            (mm2.checkpoints, &self.checkpoints),
            (mm2.offset_syncs, &self.syncs),
        ];
        let due = paces.iter().filter(|(wanted, _)| *wanted);
        due.map(|(_, pace)| pace.due.saturating_duration_since(now))
            .min()
    }

    /// Tells each of what is due; what cannot be written holds up none of the others.
    fn tell(&mut self) {
        if !self.may_speak() {
            return;
        }
        let mm2 = self.context.flow.mm2.clone();
        let now = Instant::now();
        if (mm2.heartbeats || mm2.source_heartbeats)
            && self.heartbeats.is_due(now)
            && let Some(answered) = self.answered_since(now)
        {
            let told = self.tell_alive(now, answered);
            if told.is_ok() {
                self.told_alive = Some(answered);
            }
            self.heartbeats.tried(now, mm2.heartbeat_interval, told);
        }
        let now = Instant::now();
        if mm2.checkpoints && self.checkpoints.is_due(now) {
            let mut due = Vec::new();
            let places = self.changed_places(&mut due);
            let told = self.target.write(&due);
            if told.is_ok() {
                self.told_places.extend(places);
            }
            self.checkpoints.tried(now, mm2.checkpoint_interval, told);
        }
        let now = Instant::now();
        if mm2.offset_syncs && self.syncs.is_due(now) {
            let mut due = Vec::new();
            let syncs = self.changed_syncs(&mut due);
            let told = self.target.write(&due);
            if told.is_ok() {
                self.told_syncs.extend(syncs);
            }
            self.syncs.tried(now, SYNC_INTERVAL, told);
        }
    }

    /// Whether heartbeats are for this worker to tell.
    fn is_speaker(&self) -> bool {
        let board = self.context.board.hold();
        let slot = board.slots.get(&SPEAKER_SLOT);
        slot.is_some_and(|slot| slot.state == "copying")
    }

    /// When the source answered last, if that is for this worker to tell and was not told yet.
    fn answered_since(&self, now: Instant) -> Option<Instant> {
        let speaks = self.is_speaker();
        let board = self.context.board.hold();
        board.source_answered_at.filter(|at| {
            speaks
                && now.saturating_duration_since(*at) < FRESH
                && self.told_alive.is_none_or(|told| *at > told)
        })
    }

    /// a
    fn tell_alive(&mut self, now: Instant, answered: Instant) -> Result<(), String> {
        let flow = self.context.flow.clone();
        let age = i64::try_from(now.saturating_duration_since(answered).as_millis());
        let timestamp_ms = now_ms().saturating_sub(age.unwrap_or_default());
        let value = Heartbeat { timestamp_ms }.encode();
        let topics = &flow.mm2.topics;
        let beat = |topic: String, source: &str, target: &str| -> Result<Due, String> {
            let key = HeartbeatKey {
                source: source.to_owned(),
                target: target.to_owned(),
            };
            let key = key.encode().map_err(|error| error.to_string())?;
            Ok((topic, key, value.clone(), timestamp_ms))
        };
        let (here, there) = (flow.source.alias.as_str(), flow.target.alias.as_str());
        let mut told = Ok(());
        if flow.mm2.heartbeats {
            let due = [
                // What a mirror of the target takes further, and what a mirror of the source would have brought.
                beat(topics.heartbeats().to_owned(), here, there)?,
                beat(topics.remote_heartbeats(here), here, there)?,
            ];
            told = self.target.write(&due);
        }
        if let Some(source) = &mut self.source {
            // Under the key of the flow that would write it: the one towards the source.
            let due = [beat(topics.heartbeats().to_owned(), there, here)?];
            told = told.and(source.write(&due));
        }
        told
    }

    /// b
    fn changed_places(
        &mut self,
        due: &mut Vec<Due>,
    ) -> BTreeMap<PlaceKey, (SourceOffset, TargetOffset)> {
        let flow = self.context.flow.clone();
        let topic = flow.mm2.topics.checkpoints(&flow.source.alias);
        let now = now_ms();
        let mut told = BTreeMap::new();
        let board = self.context.board.hold();
        for (key, place) in board.places.values().flat_map(|places| places.iter()) {
            let known = matches!(place.state, PlaceState::Exact | PlaceState::AtLeast);
            let Some(target) = place.target_offset.filter(|_| known) else {
                continue;
            };
            let now_at = (place.source_offset, target);
            if self.told_places.get(key) == Some(&now_at) {
                continue;
            }
            let (group, _) = key;
            let written = CheckpointKey {
                group: group.to_string(),
                partition: place.copy.clone(),
            };
            let checkpoint = Checkpoint {
                source: place.source_offset,
                target,
                metadata: String::new(),
            };
            // Kafka refuses names so long that the format cannot carry them.
            if let (Ok(key_bytes), Ok(value)) = (written.encode(), checkpoint.encode()) {
                due.push((topic.clone(), key_bytes, value, now));
                told.insert(key.clone(), now_at);
            }
        }
        // What left the board is told anew should it return.
        self.told_places
            .retain(|key, _| board.places.values().any(|places| places.contains_key(key)));
        told
    }

    /// c
    fn changed_syncs(
        &mut self,
        due: &mut Vec<Due>,
    ) -> BTreeMap<TopicPartition, (SourceOffset, TargetOffset)> {
        let flow = self.context.flow.clone();
        let topic = flow.mm2.topics.offset_syncs(&flow.source.alias);
        let now = now_ms();
        let mut told = BTreeMap::new();
        let board = self.context.board.hold();
        for (partition, shown) in &board.partitions {
            let Some((source, target)) = shown.last_copy else {
                continue;
            };
            if self.told_syncs.get(partition) == Some(&(source, target)) {
                continue;
            }
            if let Ok(key) = OffsetSync::key(partition) {
                let value = OffsetSync { source, target }.encode();
                due.push((topic.clone(), key, value, now));
                told.insert(partition.clone(), (source, target));
            }
        }
        self.told_syncs
            .retain(|partition, _| board.partitions.contains_key(partition));
        told
    }
}

/// One cluster to write to: its topics are made when they are first needed, its clients when there is something to say.
struct Out {
    endpoint: Endpoint,
    /// How many replicas its topics get, where the flow file says so.
    chosen: Option<NonZeroU16>,
    made: Vec<Arc<str>>,
    /// With the generation of credentials that it was made of.
    writer: Option<(u64, Writer)>,
}

impl Out {
    fn new(endpoint: &Endpoint, chosen: Option<NonZeroU16>) -> Self {
        Self {
            endpoint: endpoint.clone(),
            chosen,
            made: Vec::new(),
            writer: None,
        }
    }

    /// Writes all to partition 0 of their topics, and waits until they are acknowledged; an error names the topics.
    fn write(&mut self, due: &[Due]) -> Result<(), String> {
        if due.is_empty() {
            return Ok(());
        }
        self.attempt(due).map_err(|fault| {
            let topics: BTreeSet<&str> = due.iter().map(|(topic, ..)| topic.as_str()).collect();
            let topics: Vec<&str> = topics.into_iter().collect();
            format!(
                "{} cannot be written: {}",
                topics.join(", "),
                explain(&self.endpoint, &fault)
            )
        })
    }

    fn attempt(&mut self, due: &[Due]) -> Result<(), Fault> {
        self.make_topics(due)?;
        let generation = self.endpoint.generation();
        let (made_of, mut writer) = match self.writer.take() {
            Some(known) if known.0 == generation => known,
            _ => {
                let watch = self.endpoint.watch.clone();
                let config = self.endpoint.plain_writer();
                (generation, Writer::new(&config, watch, usize::MAX)?)
            }
        };
        for (topic, key, value, timestamp_ms) in due {
            let place = TopicPartition::new(topic.as_str(), 0);
            writer.put_at(0, &place, key, Some(value), *timestamp_ms)?;
        }
        writer.flush(WITHIN)?;
        // After an error there is a new one.
        self.writer = Some((made_of, writer));
        Ok(())
    }

    /// As MirrorMaker 2 makes them: one partition, compacted. A topic that is there is taken as it is.
    fn make_topics(&mut self, due: &[Due]) -> Result<(), Fault> {
        for (topic, ..) in due {
            if self.made.iter().any(|made| **made == **topic) {
                continue;
            }
            let cluster = Cluster::open(&self.endpoint)?;
            if cluster.topic(topic, WITHIN)?.is_none() {
                let compacted = [("cleanup.policy", "compact")];
                Replicas::on(&cluster, self.chosen)?.create_own(&cluster, topic, 1, &compacted)?;
            }
            self.made.push(topic.as_str().into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_written_is_due_again_long_before_its_interval_and_not_at_every_look() {
        let (begun, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut pace = Pace::new(begun);
        assert!(pace.is_due(begun));
        let mut now = begun;
        for expected in [RETRY[0], RETRY[1], RETRY[1]] {
            pace.tried(now, hour, Err("no leader".to_owned()));
            assert!(!pace.is_due(now) && pace.is_due(now + expected));
            assert_eq!(pace.due, now + expected);
            now += expected;
        }
        assert_eq!(pace.warning().as_deref(), Some("no leader"));
        pace.tried(now, hour, Ok(()));
        assert_eq!((pace.due, pace.warning()), (now + hour, None));
        // Once is nobody's business.
        pace.tried(now, hour, Err("no leader".to_owned()));
        assert_eq!(pace.warning(), None);
    }
}
