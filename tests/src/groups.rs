//! Consumer groups: committing a place, looking one up, reading as a member.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::error::{Doing, LabError, Result};
use crate::wait::wait_for;

const LIMIT: Duration = Duration::from_secs(90);
/// How often one that stays in a group commits.
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);

impl Cluster {
    /// Commits places for a group without members.
    pub fn commit_group(&self, group: &str, places: &[(&str, i32, i64)]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, offset) in places {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
                .doing("name a place")?;
        }
        let member = member(self, group)?;
        // A group's coordinator that has just moved, or just started, reads its places first.
        wait_for(&format!("places of {group} to be committed"), LIMIT, || {
            member
                .commit(&list, CommitMode::Sync)
                .map_err(|error| error.to_string())
        })
    }

    /// A group's places in a topic; partitions without one are absent.
    pub fn group_places(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, self.partitions(topic)?.unwrap_or_default() - 1);
        let member = member(self, group)?;
        let found = wait_for(&format!("places of {group} to be told"), LIMIT, || {
            member
                .committed_offsets(list.clone(), LIMIT)
                .map_err(|error| error.to_string())
        })?;
        let place = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            Some((
                element.partition(),
                element.offset().to_raw().filter(|raw| *raw >= 0)?,
            ))
        };
        Ok(found.elements().iter().filter_map(place).collect())
    }

    /// Reads as the only member of a group until `records` were read, and commits; returns the keys.
    pub fn read_as_group(&self, group: &str, topic: &str, records: usize) -> Result<Vec<Vec<u8>>> {
        let reader = member(self, group)?;
        reader
            .subscribe(&[topic])
            .doing(format!("subscribe to {topic}"))?;
        let deadline = Instant::now() + LIMIT * 2;
        let mut keys = Vec::new();
        while keys.len() < records {
            if Instant::now() >= deadline {
                let what = format!("{records} records of {topic} for {group}");
                return Err(LabError::TooLate {
                    what,
                    waited: LIMIT * 2,
                    hint: format!("; {} came", keys.len()),
                });
            }
            if let Some(message) = reader.poll(Duration::from_millis(100)) {
                let message = message.doing(format!("read {topic}"))?;
                keys.push(message.key().unwrap_or_default().to_vec());
                reader
                    .store_offset_from_message(&message)
                    .doing("note a place")?;
            }
        }
        reader
            .commit_consumer_state(CommitMode::Sync)
            .doing(format!("commit places of {group}"))?;
        Ok(keys)
    }

    /// Is in a group, reads on and commits its places, until it is told to stop; returns each record's partition and key.
    pub fn stay_in_group(
        &self,
        group: &str,
        topic: &str,
        stop: &AtomicBool,
    ) -> Result<Vec<(i32, Vec<u8>)>> {
        let (reader, mut read) = (member(self, group)?, Vec::new());
        read_on(&reader, topic, stop, |partition, key| {
            read.push((partition, key.to_vec()));
        })?;
        Ok(read)
    }
}

/// Reads on and commits, until told to stop; the last half second is left to the caller to commit.
pub(crate) fn read_on(
    reader: &BaseConsumer,
    topic: &str,
    stop: &AtomicBool,
    mut each: impl FnMut(i32, &[u8]),
) -> Result<()> {
    reader
        .subscribe(&[topic])
        .doing(format!("subscribe to {topic}"))?;
    let mut committed_at = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // A connection that comes and goes is retried by the client.
        if let Some(Ok(message)) = reader.poll(Duration::from_millis(100)) {
            each(message.partition(), message.key().unwrap_or_default());
            reader
                .store_offset_from_message(&message)
                .doing("note a place")?;
        }
        if committed_at.elapsed() >= COMMIT_INTERVAL {
            committed_at = Instant::now();
            // What cannot be committed now, or need not be, is tried again.
            let _ = reader.commit_consumer_state(CommitMode::Sync);
        }
    }
    Ok(())
}

pub(crate) fn member(cluster: &Cluster, group: &str) -> Result<BaseConsumer> {
    cluster
        .client()
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .create()
        .doing(format!("create a client for {group}"))
}
