//! A short history of lag and throughput, for the page: bounded in time and in topics.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// How often a sample is taken.
pub const EVERY: Duration = Duration::from_secs(5);
/// How many samples are kept: ten minutes.
const SAMPLES: usize = 120;
/// How many topics have a history of their own: those that lag most.
const TOPICS: usize = 32;

/// The last samples of one quantity, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Samples(VecDeque<u64>);

impl Samples {
    fn push(&mut self, value: u64) {
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(value);
    }

    fn worst(&self) -> u64 {
        self.0.iter().copied().max().unwrap_or(0)
    }

    /// Oldest first.
    pub fn to_vec(&self) -> Vec<u64> {
        self.0.iter().copied().collect()
    }
}

/// What was copied since some beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Key and value bytes.
    pub bytes: u64,
}

/// Throughput over the last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Throughput {
    /// Records copied and committed.
    pub records_per_second: f64,
    /// Key and value bytes copied and committed.
    pub bytes_per_second: f64,
}

/// Lag over the last minutes. Written by the sampler, read by the page's server.
#[derive(Clone, Debug, Default)]
pub struct History {
    all: Samples,
    topics: BTreeMap<String, Samples>,
    last: Option<(Instant, Totals)>,
    throughput: Throughput,
}

impl History {
    /// Takes a sample.
    pub fn sample(&mut self, now: Instant, totals: Totals, lags: &BTreeMap<&str, u64>) {
        self.all
            .push(lags.values().fold(0, |sum, lag| sum.saturating_add(*lag)));
        self.topics
            .retain(|topic, _| lags.contains_key(topic.as_str()));
        for (topic, samples) in &mut self.topics {
            samples.push(lags.get(topic.as_str()).copied().unwrap_or(0));
        }
        for (topic, lag) in lags {
            self.admit(topic, *lag);
        }
        if let Some((then, before)) = self.last {
            let seconds = now.saturating_duration_since(then).as_secs_f64();
            if seconds > 0.0 {
                self.throughput = Throughput {
                    records_per_second: per(totals.records, before.records, seconds),
                    bytes_per_second: per(totals.bytes, before.bytes, seconds),
                };
            }
        }
        self.last = Some((now, totals));
    }

    /// Begins a topic's history if there is room, or if it lags more than some other did in all its history.
    fn admit(&mut self, topic: &str, lag: u64) {
        if self.topics.contains_key(topic) {
            return;
        }
        if self.topics.len() >= TOPICS {
            let least = self
                .topics
                .iter()
                .map(|(topic, samples)| (samples.worst(), topic))
                .min()
                .filter(|(worst, _)| *worst < lag)
                .map(|(_, topic)| topic.clone());
            let Some(least) = least else { return };
            self.topics.remove(&least);
        }
        self.topics.entry(topic.to_owned()).or_default().push(lag);
    }

    /// Lag of everything.
    pub fn all(&self) -> Vec<u64> {
        self.all.to_vec()
    }

    /// Lag of one topic; `None` when it has no history of its own.
    pub fn topic(&self, topic: &str) -> Option<Vec<u64>> {
        self.topics.get(topic).map(Samples::to_vec)
    }

    /// Over the last sample.
    pub fn throughput(&self) -> Throughput {
        self.throughput
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what is copied within seconds fits a double's 53 bits"
)]
fn per(after: u64, before: u64, seconds: f64) -> f64 {
    after.saturating_sub(before) as f64 / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_is_bounded_and_keeps_the_topics_that_lag_most() {
        let mut history = History::default();
        let start = Instant::now();
        let names: Vec<String> = (0..100).map(|number| format!("t{number:03}")).collect();
        for round in 0..200_u32 {
            let lags: BTreeMap<&str, u64> = names
                .iter()
                .enumerate()
                .map(|(number, name)| (name.as_str(), number as u64 * u64::from(round)))
                .collect();
            let totals = Totals {
                records: u64::from(round) * 50,
                bytes: u64::from(round) * 5_000,
            };
            history.sample(start + EVERY * round, totals, &lags);
        }
        assert_eq!(history.all().len(), SAMPLES);
        let kept: Vec<_> = names
            .iter()
            .filter(|name| history.topic(name).is_some())
            .collect();
        assert_eq!(kept.len(), TOPICS);
        assert_eq!(kept.last().map(|name| name.as_str()), Some("t099"));
        assert_eq!(history.throughput().records_per_second, 10.0);
        // A topic that is gone is forgotten.
        history.sample(start + EVERY * 201, Totals::default(), &BTreeMap::new());
        assert_eq!(history.topic("t099"), None);
    }
}
