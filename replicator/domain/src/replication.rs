//! How many replicas a topic gets that is made for a flow, and how many must have a record before it is acknowledged.

use std::num::NonZeroU16;

/// What outlives a broker, and lets another one be restarted meanwhile.
const REPLICAS: i32 = 3;

/// The replicas of a new topic: what was `chosen`; else [`REPLICAS`], or as many as there are brokers if these are
/// fewer, or the cluster's own default if that is higher.
pub fn replicas(brokers: usize, cluster_default: Option<i32>, chosen: Option<NonZeroU16>) -> i32 {
    if let Some(chosen) = chosen {
        return i32::from(chosen.get());
    }
    let brokers = i32::try_from(brokers).unwrap_or(i32::MAX);
    REPLICAS
        .min(brokers)
        .max(cluster_default.unwrap_or_default())
        .max(1)
}

/// How many of `replicas` must have a record: what the source's topic asks for, as long as one may be missing. Without
/// a source, as for a flow's own topics: all but one.
pub fn min_insync_replicas(replicas: i32, source: Option<i32>) -> i32 {
    let most = replicas.saturating_sub(1).max(1);
    source.unwrap_or(most).clamp(1, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_where_there_are_three_brokers_and_what_was_chosen_in_any_case() {
        assert_eq!(replicas(1, Some(1), None), 1);
        assert_eq!(replicas(2, None, None), 2);
        assert_eq!(replicas(3, Some(1), None), 3);
        assert_eq!(replicas(9, None, None), 3);
        assert_eq!(replicas(9, Some(5), None), 5);
        // A broker is away: waits for it rather than do with less than the cluster's people want.
        assert_eq!(replicas(2, Some(3), None), 3);
        assert_eq!(replicas(3, Some(3), NonZeroU16::new(2)), 2);
        assert_eq!(replicas(0, None, None), 1);
    }

    #[test]
    fn one_replica_may_always_be_missing_where_there_are_two() {
        assert_eq!(min_insync_replicas(3, Some(1)), 1);
        assert_eq!(min_insync_replicas(3, Some(2)), 2);
        assert_eq!(min_insync_replicas(3, Some(3)), 2);
        assert_eq!(min_insync_replicas(3, None), 2);
        assert_eq!(min_insync_replicas(2, Some(2)), 1);
        assert_eq!(min_insync_replicas(1, Some(2)), 1);
        assert_eq!(min_insync_replicas(3, Some(-4)), 1);
    }
}
