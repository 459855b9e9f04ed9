//! A flow's state on the target, as stored: positions, offset map and gaps, each slot's in a partition of its own.
//!
//! Only reads, committed records as far as the [`Cluster`] reads. Who writes it is the worker that holds the slot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use understudy_domain::tail::{TailKey, TailProgress};
use understudy_domain::{
    DecodeError, EndLook, FoldError, GapKey, GapRecord, MapKey, MapReader, MapRecord, OffsetMap,
    Position, SettingsMade, Slot, StateTopics, TopicPartition,
};
use understudy_kafka::cluster::StateRecord;
use understudy_kafka::{Cluster, Fault};

/// Time limit for reading one state partition to its end.
const WITHIN: Duration = Duration::from_secs(60);

/// From when on reading positions is called slow.
const SLOW: Duration = Duration::from_secs(5);

/// Time limit for asking whether any tail was put aside.
const SALVAGE_WITHIN: Duration = Duration::from_secs(10);

/// Time limit for reading the settings topic to its end.
const SETTINGS_WITHIN: Duration = Duration::from_secs(10);

/// Why stored state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The cluster did not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A record that this version cannot read.
    #[error("{topic} partition {slot} offset {offset}{}", undo(source))]
    Decode {
        /// The state topic.
        topic: String,
        /// The slot, which is its partition.
        slot: Slot,
        /// Where.
        offset: i64,
        /// What is wrong with it.
        #[source]
        source: DecodeError,
    },
    /// The offset map has lost records.
    #[error("the offset map of {partition} cannot be used")]
    Fold {
        /// Whose map.
        partition: TopicPartition,
        /// What is missing.
        #[source]
        source: FoldError,
    },
}

impl StateError {
    /// Whether something else wrote into one slot's state: what is told of the other slots is as true as ever. A record of
    /// a newer version is none of these, for it may change what the others mean.
    pub const fn is_foreign(&self) -> bool {
        match self {
            Self::Decode { source, .. } => match source {
                DecodeError::Truncated { .. } | DecodeError::Malformed { .. } => true,
                DecodeError::NewerVersion { .. } => false,
            },
            Self::Fault(_) | Self::Fold { .. } => false,
        }
    }
}

/// What ends it that a record cannot be read.
fn undo(source: &DecodeError) -> &'static str {
    match source {
        // Its own words say it.
        DecodeError::NewerVersion { .. } => "",
        DecodeError::Truncated { .. } | DecodeError::Malformed { .. } => {
            " cannot be read; if something else wrote it, write a record with its key and no value (a tombstone) behind it"
        }
    }
}

/// A slot's partition in a state topic.
pub fn place_of(topic: String, slot: Slot) -> TopicPartition {
    TopicPartition::new(topic, i32::try_from(slot.get()).unwrap_or(i32::MAX))
}

/// The slot's positions, as committed, with what was seen of the source's ends since.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read_positions(
    cluster: &Cluster,
    topics: &StateTopics,
    slot: Slot,
) -> Result<BTreeMap<TopicPartition, Position>, StateError> {
    let topic = topics.positions();
    let mut latest: BTreeMap<Vec<u8>, StateRecord> = BTreeMap::new();
    let (began, mut read) = (Instant::now(), 0_u64);
    cluster.read_to_end(&place_of(topic.clone(), slot), 0, WITHIN, |record| {
        read += 1;
        latest.insert(record.0.clone(), record);
    })?;
    if began.elapsed() > SLOW {
        tracing::warn!(
            topic, %slot, records = read, keys = latest.len(), seconds = began.elapsed().as_secs_f64(),
            "positions are slow to read; unless the target is, its topic has larger segments than it is made with (docs/formats.md)"
        );
    }
    let (mut positions, mut look) = (BTreeMap::new(), None);
    for (key, value, offset) in latest.into_values() {
        let Some(value) = value else { continue };
        let unreadable = |source| StateError::Decode {
            topic: topic.clone(),
            slot,
            offset,
            source,
        };
        if EndLook::is_key(&key) {
            look = Some(EndLook::decode(&value).map_err(unreadable)?);
            continue;
        }
        let decoded =
            Position::decode_key(&key).and_then(|name| Ok((name, Position::decode(&value)?)));
        let (name, position) = decoded.map_err(unreadable)?;
        positions.insert(name, position);
    }
    if let Some(look) = look {
        for (name, position) in &mut positions {
            look.apply(name, position);
        }
    }
    Ok(positions)
}

/// Reads the slot's offset map from `from`; one past its last record.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read_map(
    cluster: &Cluster,
    topics: &StateTopics,
    slot: Slot,
    from: i64,
    readers: &mut BTreeMap<TopicPartition, MapReader>,
) -> Result<i64, StateError> {
    each_map_record(cluster, topics, slot, from, |key, record| match record {
        Some(record) => readers
            .entry(key.partition().clone())
            .or_default()
            .read(record),
        None => forget(key, readers),
    })
}

/// Reads the chunks of these partitions that stayed in the slots that they belonged to before, from logs that nothing
/// else of them is read from. Comes before [`read_map`]: what that reads is newer.
///
/// # Errors
/// As [`read_map`].
pub fn read_former<'a>(
    cluster: &Cluster,
    topics: &StateTopics,
    positions: impl IntoIterator<Item = (&'a TopicPartition, &'a Position)>,
    readers: &mut BTreeMap<TopicPartition, MapReader>,
) -> Result<(), StateError> {
    let mut homes: BTreeMap<Slot, BTreeSet<&TopicPartition>> = BTreeMap::new();
    for (partition, position) in positions {
        for former in &position.former {
            let home = homes.entry(Slot::new(former.slot)).or_default();
            home.insert(partition);
        }
    }
    for (home, partitions) in homes {
        each_map_record(cluster, topics, home, 0, |key, record| {
            if !partitions.contains(key.partition()) {
                return;
            }
            match record {
                Some(chunk @ MapRecord::Chunk { .. }) => readers
                    .entry(key.partition().clone())
                    .or_default()
                    .read(chunk),
                // What they said of the open chunk and of the directory is said anew since.
                Some(MapRecord::Delta { .. } | MapRecord::Directory(_)) => {}
                None => forget(key, readers),
            }
        })?;
    }
    Ok(())
}

fn forget(key: MapKey, readers: &mut BTreeMap<TopicPartition, MapReader>) {
    match key {
        MapKey::Chunk { partition, chunk } => readers.entry(partition).or_default().forget(chunk),
        MapKey::Delta { .. } | MapKey::Directory { .. } => {}
    }
}

/// Reads a slot's partition of the offset-map topic from `from`; one past its last record.
fn each_map_record(
    cluster: &Cluster,
    topics: &StateTopics,
    slot: Slot,
    from: i64,
    mut take: impl FnMut(MapKey, Option<MapRecord>),
) -> Result<i64, StateError> {
    let topic = topics.offset_map();
    let mut end = from;
    // By key: what stands behind an unreadable record takes its place, as it does once the log is compacted.
    let mut failed: BTreeMap<Vec<u8>, (i64, DecodeError)> = BTreeMap::new();
    cluster.read_to_end(
        &place_of(topic.clone(), slot),
        from,
        WITHIN,
        |(key, value, offset)| {
            end = end.max(offset + 1);
            if !failed.is_empty() {
                failed.remove(&key);
            }
            let is_tombstone = value.is_none();
            let decoded = MapKey::decode(&key).and_then(|key| {
                let record = value.map(|value| MapRecord::decode(&value)).transpose()?;
                Ok((key, record))
            });
            match decoded {
                Ok((key, record)) => take(key, record),
                // Nothing under a key that is none of ours.
                Err(_) if is_tombstone => {}
                Err(source) => {
                    failed.insert(key, (offset, source));
                }
            }
        },
    )?;
    match failed.into_values().min_by_key(|(offset, _)| *offset) {
        Some((offset, source)) => Err(StateError::Decode {
            topic,
            slot,
            offset,
            source,
        }),
        None => Ok(end),
    }
}

/// What is stored of a partition: its position and its whole offset map, or which chunk of that is missing.
pub type Stored = (Position, Result<OffsetMap, FoldError>);

/// Everything stored of a flow, as far as it can be read.
#[derive(Default)]
pub struct Everything {
    /// By partition of the source.
    pub partitions: BTreeMap<TopicPartition, Stored>,
    /// Slots of which nothing is told, because something else wrote into their state, and where.
    pub foreign: BTreeMap<Slot, StateError>,
}

/// Everything stored of a flow.
///
/// # Errors
/// A cluster that does not answer, a newer version, or a map that lost more than chunks.
pub fn read_all(
    cluster: &Cluster,
    topics: &StateTopics,
    slots: impl Iterator<Item = Slot>,
) -> Result<Everything, StateError> {
    let mut all = Everything::default();
    // Positions first: a map that is newer than its position can be cut back to it, an older one cannot.
    let mut positions = BTreeMap::new();
    for slot in slots {
        match read_positions(cluster, topics, slot) {
            Ok(found) => drop(positions.insert(slot, found)),
            Err(error) if error.is_foreign() => drop(all.foreign.insert(slot, error)),
            Err(error) => return Err(error),
        }
    }
    let mut former = BTreeMap::new();
    let everything = positions.values().flatten();
    match read_former(cluster, topics, everything, &mut former) {
        // Whose chunks lie there is found out slot by slot.
        Err(error) if error.is_foreign() => {
            former.clear();
            for (slot, positions) in &positions {
                match read_former(cluster, topics, positions, &mut former) {
                    Err(error) if error.is_foreign() => drop(all.foreign.insert(*slot, error)),
                    read => read?,
                }
            }
        }
        read => read?,
    }
    for (slot, positions) in positions {
        if all.foreign.contains_key(&slot) {
            continue;
        }
        match read_slot(cluster, topics, slot, positions, &mut former) {
            Ok(found) => all.partitions.extend(found),
            Err(error) if error.is_foreign() => drop(all.foreign.insert(slot, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The maps of a slot's partitions, behind what was read of them in `former` homes.
fn read_slot(
    cluster: &Cluster,
    topics: &StateTopics,
    slot: Slot,
    positions: BTreeMap<TopicPartition, Position>,
    former: &mut BTreeMap<TopicPartition, MapReader>,
) -> Result<BTreeMap<TopicPartition, Stored>, StateError> {
    let mut readers = BTreeMap::new();
    for partition in positions.keys() {
        if let Some(reader) = former.remove(partition) {
            readers.insert(partition.clone(), reader);
        }
    }
    if !positions.is_empty() {
        read_map(cluster, topics, slot, 0, &mut readers)?;
    }
    let mut found = BTreeMap::new();
    for (partition, position) in positions {
        let reader = readers.remove(&partition).unwrap_or_default();
        let map = match reader.offset_map(&position) {
            Err(source) if !matches!(source, FoldError::MissingChunk { .. }) => {
                return Err(StateError::Fold { partition, source });
            }
            map => map,
        };
        found.insert(partition, (position, map));
    }
    Ok(found)
}

/// What the flow set on the target beside records, and what it withheld from it.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read_settings(cluster: &Cluster, topics: &StateTopics) -> Result<SettingsMade, StateError> {
    let place = TopicPartition::new(topics.settings(), 0);
    let mut made = SettingsMade::default();
    let mut broken = None;
    cluster.read_to_end(&place, 0, SETTINGS_WITHIN, |(key, value, offset)| {
        if let Err(error) = made.fold(&key, value.as_deref()) {
            broken.get_or_insert((offset, error));
        }
    })?;
    match broken {
        None => Ok(made),
        Some((offset, source)) => Err(StateError::Decode {
            topic: place.topic.to_string(),
            slot: Slot::new(0),
            offset,
            source,
        }),
    }
}

/// How far tails were put aside; nothing where none ever was.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read_salvage(
    cluster: &Cluster,
    topics: &StateTopics,
) -> Result<BTreeMap<TailKey, TailProgress>, StateError> {
    let place = TopicPartition::new(topics.salvage(), 0);
    if cluster.topic(&place.topic, SALVAGE_WITHIN)?.is_none() {
        return Ok(BTreeMap::new());
    }
    let mut latest = BTreeMap::new();
    cluster.read_to_end(&place, 0, WITHIN, |(key, value, offset)| {
        latest.insert(key, (value, offset));
    })?;
    let mut tails = BTreeMap::new();
    for (key, (value, offset)) in latest {
        let Some(value) = value else { continue };
        let decoded =
            TailKey::decode(&key).and_then(|key| Ok((key, TailProgress::decode(&value)?)));
        let (key, progress) = decoded.map_err(|source| StateError::Decode {
            topic: place.topic.to_string(),
            slot: Slot::new(0),
            offset,
            source,
        })?;
        tails.insert(key, progress);
    }
    Ok(tails)
}

/// Every gap ever recorded of a slot's partitions.
///
/// # Errors
/// The cluster's answer, or a record that this version cannot read.
pub fn read_gaps(
    cluster: &Cluster,
    topics: &StateTopics,
    slot: Slot,
) -> Result<BTreeMap<GapKey, GapRecord>, StateError> {
    let place = place_of(topics.gaps(), slot);
    let mut latest = BTreeMap::new();
    cluster.read_to_end(&place, 0, WITHIN, |(key, value, offset)| {
        latest.insert(key, (value, offset));
    })?;
    let mut gaps = BTreeMap::new();
    for (key, (value, offset)) in latest {
        let Some(value) = value else { continue };
        let decoded = GapKey::decode(&key).and_then(|key| Ok((key, GapRecord::decode(&value)?)));
        let (key, record) = decoded.map_err(|source| StateError::Decode {
            topic: place.topic.to_string(),
            slot,
            offset,
            source,
        })?;
        gaps.insert(key, record);
    }
    Ok(gaps)
}
