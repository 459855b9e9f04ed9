//! Whether the copies keep the timestamps of their records: a target whose topic has
//! `message.timestamp.type=LogAppendTime` gives each record its own, and says so only when it acknowledges it.
//!
//! a. Nothing is copied to such a topic: its description is looked at before, and a transaction with an acknowledgement
//!    that tells of another time is aborted (`understudy_kafka::Fault::TimestampAltered`).
//! b. It goes on by itself once the topic keeps timestamps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use understudy_domain::{CREATE_TIME, TIMESTAMP_TYPE};
use understudy_kafka::describe::Configs;
use understudy_kafka::fault::keep_timestamps;

/// How often copies are looked at that were found to keep timestamps. Acknowledgements tell sooner.
const INTERVAL: Duration = Duration::from_secs(60);
/// How long a copy waits of which acknowledgements told, if it may not be described.
const UNSEEN: Duration = Duration::from_secs(30);

/// What is known of the copies.
#[derive(Debug, Default)]
pub struct Stamps {
    /// Copies that alter timestamps, and since when that is known.
    altering: BTreeMap<String, Instant>,
    /// When all were looked at.
    looked: Option<Instant>,
}

impl Stamps {
    /// Acknowledgements told that these copies alter timestamps.
    pub fn note(&mut self, copies: BTreeSet<Arc<str>>, now: Instant) {
        for copy in copies {
            self.altering.insert(copy.to_string(), now);
        }
    }

    /// Whether all copies should be looked at; begins the next interval.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let due = self
            .looked
            .is_none_or(|looked| now.saturating_duration_since(looked) >= INTERVAL);
        if due {
            self.looked = Some(now);
        }
        due
    }

    /// What the target told of these copies; what it told nothing of may not be described.
    pub fn saw(&mut self, copies: &[String], told: &BTreeMap<String, Configs>, now: Instant) {
        for copy in copies {
            match told
                .get(copy)
                .and_then(|configs| configs.get(TIMESTAMP_TYPE))
            {
                Some(kind) if kind == CREATE_TIME => {
                    self.altering.remove(copy);
                }
                Some(_) => {
                    self.altering.entry(copy.clone()).or_insert(now);
                }
                // Tried again: then acknowledgements tell.
                None => {
                    let waits = |since: &Instant| now.saturating_duration_since(*since) < UNSEEN;
                    if !self.altering.get(copy).is_some_and(waits) {
                        self.altering.remove(copy);
                    }
                }
            }
        }
    }

    /// Why nothing may be copied to a topic, if it alters timestamps.
    pub fn objection(&self, copy: &str) -> Option<String> {
        self.altering.contains_key(copy).then(|| {
            format!(
                "the target's topic {copy} has {TIMESTAMP_TYPE}=LogAppendTime: it would replace the timestamp of every record; \
                 nothing is copied there until it keeps them: {}",
                keep_timestamps(copy)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: Option<&str>) -> BTreeMap<String, Configs> {
        let configs = |kind: &str| Configs::from([(TIMESTAMP_TYPE.to_owned(), kind.to_owned())]);
        kind.map(|kind| ("orders".to_owned(), configs(kind)))
            .into_iter()
            .collect()
    }

    #[test]
    fn a_copy_that_alters_timestamps_waits_until_it_keeps_them() {
        let (mut stamps, now) = (Stamps::default(), Instant::now());
        let copies = ["orders".to_owned()];
        assert!(stamps.is_due(now) && !stamps.is_due(now));
        stamps.saw(&copies, &told(Some("LogAppendTime")), now);
        let reason = stamps.objection("orders").unwrap_or_default();
        assert!(reason.contains("--entity-name orders"), "{reason}");
        stamps.saw(&copies, &told(Some(CREATE_TIME)), now);
        assert_eq!(stamps.objection("orders"), None);
    }

    #[test]
    fn where_nothing_is_told_acknowledgements_are_believed_for_a_while() {
        let (mut stamps, now) = (Stamps::default(), Instant::now());
        let copies = ["orders".to_owned()];
        stamps.saw(&copies, &told(None), now);
        assert_eq!(stamps.objection("orders"), None);
        stamps.note(BTreeSet::from(["orders".into()]), now);
        stamps.saw(&copies, &told(None), now);
        assert!(stamps.objection("orders").is_some());
        stamps.saw(&copies, &told(None), now + UNSEEN);
        assert_eq!(stamps.objection("orders"), None);
    }
}
