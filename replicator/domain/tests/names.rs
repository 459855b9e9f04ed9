//! Names and slots.

use std::error::Error;
use std::num::NonZeroU32;

use proptest::prelude::*;
use understudy_domain::{
    FlowName, FlowNameError, ReplicationPolicy, Slot, StateTopics, TopicPartition, is_internal,
    slot_of,
};

type TestResult = Result<(), Box<dyn Error>>;

fn slots(count: u32) -> Result<NonZeroU32, Box<dyn Error>> {
    Ok(NonZeroU32::new(count).ok_or("no slots")?)
}

#[test]
fn a_partition_keeps_its_slot() -> TestResult {
    for (topic, partition, count, slot) in [
        ("orders", 0, 8, 6),
        ("orders", 3, 8, 1),
        ("payments", 0, 8, 6),
        ("payments", 11, 5, 3),
        ("", 0, 1000, 641),
        ("a", i32::MAX, u32::MAX, 2_841_784_511),
    ] {
        let partition = TopicPartition::new(topic, partition);
        assert_eq!(
            slot_of(&partition, slots(count)?),
            Slot::new(slot),
            "{partition} of {count}"
        );
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_topic_spreads_evenly(topic in ".*", partitions in 1..200_i32, count in 1..50_u32) {
        let count = NonZeroU32::new(count).ok_or_else(|| TestCaseError::reject("zero"))?;
        let mut owned = vec![0_i32; usize::try_from(count.get())?];
        for partition in 0..partitions {
            let slot = slot_of(&TopicPartition::new(topic.as_str(), partition), count);
            let owned = owned.get_mut(usize::try_from(slot.get())?);
            *owned.ok_or_else(|| TestCaseError::fail("no such slot"))? += 1;
        }
        let (least, most) = (owned.iter().min(), owned.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1));
    }

    #[test]
    fn any_partition_has_a_slot(topic in ".*", partition in any::<i32>(), count in 1..=u32::MAX) {
        let count = NonZeroU32::new(count).ok_or_else(|| TestCaseError::reject("zero"))?;
        prop_assert!(slot_of(&TopicPartition::new(topic, partition), count).get() < count.get());
    }
}

#[test]
fn single_partition_topics_spread_over_slots() -> TestResult {
    let mut owned = [0_u32; 8];
    for topic in 0..800 {
        let slot = slot_of(&TopicPartition::new(format!("topic-{topic}"), 0), slots(8)?);
        *owned
            .get_mut(usize::try_from(slot.get())?)
            .ok_or("no such slot")? += 1;
    }
    assert!(
        owned.iter().all(|topics| (60..=140).contains(topics)),
        "{owned:?}"
    );
    Ok(())
}

#[test]
fn a_flow_names_its_topics_ids_and_group() -> TestResult {
    let topics = StateTopics::new(FlowName::new("use1-usw2")?);
    assert_eq!(topics.slots(), "understudy.use1-usw2.slots");
    assert_eq!(topics.positions(), "understudy.use1-usw2.positions");
    assert_eq!(topics.offset_map(), "understudy.use1-usw2.offset-map");
    assert_eq!(topics.flow(), "understudy.use1-usw2.flow");
    assert_eq!(
        topics.transactional_id(2, Slot::new(5)),
        "understudy-use1-usw2-2-5"
    );
    assert_eq!(topics.group_id(), "understudy-use1-usw2");
    Ok(())
}

#[test]
fn the_longest_flow_name_makes_topic_names_that_kafka_takes() -> TestResult {
    let topics = StateTopics::new(FlowName::new(&"a".repeat(200))?);
    assert!(topics.offset_map().len() <= 249);
    let too_long = FlowName::new(&"a".repeat(201));
    assert_eq!(
        too_long,
        Err(FlowNameError::TooLong {
            length: 201,
            max: 200
        })
    );
    Ok(())
}

#[test]
fn a_flow_name_that_kafka_would_refuse_is_refused() {
    assert_eq!(FlowName::new(""), Err(FlowNameError::Empty));
    for name in ["a b", "a/b", "ü", "a\n"] {
        assert!(
            matches!(FlowName::new(name), Err(FlowNameError::Character { .. })),
            "{name:?}"
        );
    }
}

#[test]
fn internal_topics_are_never_mirrored() {
    for topic in [
        "understudy.use1-usw2.positions",
        "__consumer_offsets",
        "__transaction_state",
        "orders.replica",
        "mm2-offset-syncs.use1.internal",
        "mm2-configs.use1.internal",
        "use1.checkpoints.internal",
    ] {
        assert!(is_internal(topic), "{topic}");
    }
}

#[test]
fn topics_that_only_look_internal_are_mirrored() {
    for topic in [
        "orders",
        "understudy",
        "heartbeats",
        "use1.heartbeats",
        "orders.internal",
        "orders-internal",
        "_schemas",
    ] {
        assert!(!is_internal(topic), "{topic}");
    }
}

fn prefixed(alias: &str, separator: &str) -> ReplicationPolicy {
    ReplicationPolicy::Prefixed {
        alias: alias.to_owned(),
        separator: separator.to_owned(),
    }
}

#[test]
fn a_topic_that_came_from_the_target_is_never_mirrored_back() {
    let policy = prefixed("use1", ".");
    for (topic, cycle) in [
        ("orders", false),
        ("usw2.orders", true),
        ("euw1.usw2.orders", true),
        ("euw1.orders", false),
        ("usw2", false),
        ("orders.usw2", false),
        ("usw20.orders", false),
    ] {
        assert_eq!(policy.is_cycle(topic, "usw2"), cycle, "{topic}");
    }
    assert!(!ReplicationPolicy::Identity.is_cycle("usw2.orders", "usw2"));
}

proptest! {
    #[test]
    fn a_copy_knows_its_original(topic in "[a-zA-Z0-9._-]{1,40}", separator in "[._-]{1,2}") {
        let policy = prefixed("use1", &separator);
        let copy = policy.target_topic(&topic);
        prop_assert_eq!(policy.source_topic(&copy), Some(topic.as_str()));
        prop_assert_eq!(ReplicationPolicy::Identity.target_topic(&topic), topic);
    }
}
