//! MirrorMaker 2's records: golden bytes, round trips, and what is refused.

use std::error::Error;

use proptest::prelude::*;
use understudy_domain::mm2::{
    Checkpoint, CheckpointKey, Heartbeat, HeartbeatKey, Mm2Topics, OffsetSync, TooLong,
};
use understudy_domain::{DecodeError, Format, SourceOffset, TargetOffset, TopicPartition};

type TestResult = Result<(), Box<dyn Error>>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_heartbeat_is_what_mirror_maker_writes() -> TestResult {
    let key = HeartbeatKey {
        source: "A".to_owned(),
        target: "B".to_owned(),
    };
    let beat = Heartbeat {
        timestamp_ms: 1_700_000_000_000,
    };
    assert_eq!(hex(&key.encode()?), "000141000142");
    assert_eq!(hex(&beat.encode()), "00000000018bcfe56800");
    assert_eq!(HeartbeatKey::decode(&key.encode()?)?, key);
    assert_eq!(Heartbeat::decode(&beat.encode())?, beat);
    Ok(())
}

#[test]
fn a_checkpoint_is_what_mirror_maker_writes() -> TestResult {
    let key = CheckpointKey {
        group: "g1".to_owned(),
        partition: TopicPartition::new("A.orders", 3),
    };
    let place = Checkpoint {
        source: SourceOffset::new(1000),
        target: TargetOffset::new(990),
        metadata: String::new(),
    };
    assert_eq!(hex(&key.encode()?), "000267310008412e6f726465727300000003");
    assert_eq!(
        hex(&place.encode()?),
        "000000000000000003e800000000000003de0000"
    );
    assert_eq!(CheckpointKey::decode(&key.encode()?)?, key);
    assert_eq!(Checkpoint::decode(&place.encode()?)?, place);
    Ok(())
}

#[test]
fn an_offset_sync_is_what_mirror_maker_writes() -> TestResult {
    let orders = TopicPartition::new("orders", 3);
    let sync = OffsetSync {
        source: SourceOffset::new(1000),
        target: TargetOffset::new(990),
    };
    assert_eq!(hex(&OffsetSync::key(&orders)?), "00066f726465727300000003");
    assert_eq!(hex(&sync.encode()), "00000000000003e800000000000003de");
    assert_eq!(OffsetSync::decode_key(&OffsetSync::key(&orders)?)?, orders);
    assert_eq!(OffsetSync::decode(&sync.encode())?, sync);
    Ok(())
}

#[test]
fn another_version_is_refused_by_name() {
    let newer = |format| DecodeError::NewerVersion {
        format,
        version: 1,
        supported: 0,
    };
    let mut beat = vec![0, 1];
    beat.extend([0; 8]);
    assert_eq!(Heartbeat::decode(&beat), Err(newer(Format::Heartbeat)));
    assert_eq!(Checkpoint::decode(&[0, 1]), Err(newer(Format::Checkpoint)));
    assert!(matches!(
        Heartbeat::decode(&[0xff, 0xff]),
        Err(DecodeError::Malformed {
            format: Format::Heartbeat,
            ..
        })
    ));
    let said = Heartbeat::decode(&beat)
        .err()
        .map(|error| error.to_string());
    assert!(said.is_some_and(|said| said.contains("heartbeat has version 1")));
}

#[test]
fn what_is_cut_short_too_long_or_not_text_is_refused() {
    for bytes in [&[][..], &[0], &[0, 5, b'a'], &[0, 1, b'a', 0]] {
        assert_eq!(
            HeartbeatKey::decode(bytes),
            Err(DecodeError::Truncated {
                format: Format::HeartbeatKey
            })
        );
    }
    for bytes in [
        &[0, 1, b'a', 0, 1, b'b', 0][..],
        &[0, 1, 0xff, 0, 1, b'b'],
        &[0xff, 0xff, 0, 0],
    ] {
        assert!(matches!(
            HeartbeatKey::decode(bytes),
            Err(DecodeError::Malformed { .. })
        ));
    }
    let long = HeartbeatKey {
        source: "x".repeat(32_768),
        target: String::new(),
    };
    assert_eq!(
        long.encode(),
        Err(TooLong {
            what: "the source's alias",
            bytes: 32_768
        })
    );
}

#[test]
fn topics_are_named_as_the_policy_says() {
    let usual = Mm2Topics::default();
    assert_eq!(usual.heartbeats(), "heartbeats");
    assert_eq!(usual.remote_heartbeats("use1"), "use1.heartbeats");
    assert_eq!(usual.checkpoints("use1"), "use1.checkpoints.internal");
    assert_eq!(usual.offset_syncs("use1"), "mm2-offset-syncs.use1.internal");
    let other = Mm2Topics::new("_", true);
    assert_eq!(other.remote_heartbeats("use1"), "use1_heartbeats");
    assert_eq!(other.checkpoints("use1"), "use1_checkpoints_internal");
    assert_eq!(other.offset_syncs("use1"), "mm2-offset-syncs_use1_internal");
    let half = Mm2Topics::new("_", false);
    assert_eq!(half.remote_heartbeats("use1"), "use1_heartbeats");
    assert_eq!(half.checkpoints("use1"), "use1.checkpoints.internal");
    assert_eq!(half.offset_syncs("use1"), "mm2-offset-syncs.use1.internal");
    assert_eq!(usual.heartbeats_source("use1.heartbeats"), Some("use1"));
    for topic in ["heartbeats", ".heartbeats", "orders", "myheartbeats"] {
        assert_eq!(usual.heartbeats_source(topic), None, "{topic}");
    }
    assert_eq!(
        half.checkpoints_source("a.b.checkpoints.internal"),
        Some("a.b")
    );
    assert_eq!(half.checkpoints_source("checkpoints.internal"), None);
}

proptest! {
    #[test]
    fn records_survive_the_wire(
        group in "\\PC{0,40}", topic in "[a-z.]{1,20}", partition in 0..i32::MAX,
        source in any::<i64>(), target in any::<i64>(), metadata in "\\PC{0,40}",
    ) {
        let key = CheckpointKey { group: group.clone(), partition: TopicPartition::new(topic.as_str(), partition) };
        prop_assert_eq!(&CheckpointKey::decode(&key.encode()?)?, &key);
        let place = Checkpoint { source: SourceOffset::new(source), target: TargetOffset::new(target), metadata };
        prop_assert_eq!(&Checkpoint::decode(&place.encode()?)?, &place);
        let sync = OffsetSync { source: SourceOffset::new(source), target: TargetOffset::new(target) };
        prop_assert_eq!(OffsetSync::decode(&sync.encode())?, sync);
        let beat = Heartbeat { timestamp_ms: source };
        prop_assert_eq!(Heartbeat::decode(&beat.encode())?, beat);
        let flow = HeartbeatKey { source: group, target: topic };
        prop_assert_eq!(&HeartbeatKey::decode(&flow.encode()?)?, &flow);
    }

    #[test]
    fn any_bytes_are_a_value_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        // What is read is written back as it was: one value has one spelling.
        if let Ok(value) = HeartbeatKey::decode(&bytes) {
            prop_assert_eq!(&value.encode()?, &bytes);
        }
        if let Ok(value) = Heartbeat::decode(&bytes) {
            prop_assert_eq!(&value.encode(), &bytes);
        }
        if let Ok(value) = CheckpointKey::decode(&bytes) {
            prop_assert_eq!(&value.encode()?, &bytes);
        }
        if let Ok(value) = Checkpoint::decode(&bytes) {
            prop_assert_eq!(&value.encode()?, &bytes);
        }
        if let Ok(value) = OffsetSync::decode_key(&bytes) {
            prop_assert_eq!(&OffsetSync::key(&value)?, &bytes);
        }
        if let Ok(value) = OffsetSync::decode(&bytes) {
            prop_assert_eq!(&value.encode(), &bytes);
        }
    }
}
