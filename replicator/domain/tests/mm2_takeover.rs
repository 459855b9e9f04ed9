//! Taking over from MirrorMaker 2: its stored places, where its copies end, and where groups stand in them.

use std::error::Error;

use proptest::prelude::*;
use understudy_domain::mm2::{
    Checkpoint, CheckpointKey, ConnectOffsetKey, Mm2Past, OffsetSync, SeamDoubt, SeamLook,
    decode_connect_offset, encode_connect_offset, seam,
};
use understudy_domain::{SourceOffset, TargetOffset, TopicPartition};

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn places_of_dedicated_and_distributed_connectors_are_read() -> TestResult {
    // As Connect's own converter writes them; members come in any order.
    for (bytes, connector) in [
        (
            r#"["MirrorSourceConnector",{"cluster":"use1","partition":3,"topic":"orders"}]"#,
            "MirrorSourceConnector",
        ),
        (
            r#"["use1->usw2.MirrorSourceConnector",{"topic":"orders","cluster":"use1","partition":3}]"#,
            "use1->usw2.MirrorSourceConnector",
        ),
    ] {
        let key = ConnectOffsetKey::decode(bytes.as_bytes())?;
        assert_eq!(key.connector, connector);
        let expected = ("use1".to_owned(), TopicPartition::new("orders", 3));
        assert_eq!(key.place, Some(expected));
        assert_eq!(ConnectOffsetKey::decode(&key.encode())?, key);
    }
    let other =
        r#"["MirrorHeartbeatConnector",{"sourceClusterAlias":"a","targetClusterAlias":"b"}]"#;
    assert_eq!(ConnectOffsetKey::decode(other.as_bytes())?.place, None);
    assert_eq!(
        decode_connect_offset(br#"{"offset":41}"#)?,
        SourceOffset::new(42)
    );
    assert_eq!(
        encode_connect_offset(42).as_deref(),
        Some(br#"{"offset":41}"#.as_slice())
    );
    assert_eq!(encode_connect_offset(0), None);
    for wrong in [
        "",
        "{}",
        r#"{"offset":-2}"#,
        r#"{"offset":9223372036854775807}"#,
    ] {
        assert!(decode_connect_offset(wrong.as_bytes()).is_err(), "{wrong}");
    }
    for wrong in [
        "",
        "[]",
        r#"["c"]"#,
        r#"["c",{"cluster":"a","topic":"t","partition":-1}]"#,
    ] {
        assert!(
            ConnectOffsetKey::decode(wrong.as_bytes()).is_err(),
            "{wrong}"
        );
    }
    Ok(())
}

#[test]
fn a_group_stands_behind_the_nearest_trace_that_is_not_beyond_it() {
    let (orders, copy) = (
        TopicPartition::new("orders", 0),
        TopicPartition::new("a.orders", 0),
    );
    let mut past = Mm2Past::default();
    for (source, target) in [(0, 0), (100, 90), (200, 180)] {
        let sync = OffsetSync {
            source: SourceOffset::new(source),
            target: TargetOffset::new(target),
        };
        past.add_sync(orders.clone(), sync);
    }
    let key = CheckpointKey {
        group: "g".to_owned(),
        partition: copy.clone(),
    };
    let checkpoint = Checkpoint {
        source: SourceOffset::new(150),
        target: TargetOffset::new(120),
        metadata: String::new(),
    };
    past.add_checkpoint(key, &checkpoint);
    let names = (&orders, &copy);
    let at = |group, offset| past.at_least(group, names, SourceOffset::new(offset));
    assert_eq!(at("g", 100), Some(TargetOffset::new(90)));
    assert_eq!(at("g", 149), Some(TargetOffset::new(91)));
    assert_eq!(at("g", 150), Some(TargetOffset::new(120)));
    assert_eq!(at("other", 150), Some(TargetOffset::new(91)));
    assert_eq!(at("g", 500), Some(TargetOffset::new(181)));
    let elsewhere = TopicPartition::new("payments", 0);
    assert_eq!(
        past.at_least("other", (&elsewhere, &copy), SourceOffset::new(5)),
        None
    );
}

/// What a mirror writes that stored `stored` records as copied, ran on to `overlaps` records beyond that before each of
/// its crashes, and began again at the stored place each time.
fn target_of(source: &[u64], stored: usize, overlaps: &[usize]) -> Vec<u64> {
    let mut target = source.get(..stored).unwrap_or_default().to_vec();
    for overlap in overlaps {
        target.extend(source.get(stored..stored + overlap).unwrap_or_default());
    }
    target
}

proptest! {
    #[test]
    fn whatever_crashes_came_before_the_seam_is_found_in_records_that_differ(
        stored in 1_usize..20,
        overlaps in prop::collection::vec(0_usize..20, 0..4),
        more in 0_usize..10,
        forgotten in 0_usize..40,
    ) {
        let longest = overlaps.iter().copied().max().unwrap_or(0);
        let source: Vec<u64> = (0..(stored + longest + more) as u64).map(|n| n * 7 + 1).collect();
        let tail = target_of(&source, stored, &overlaps);
        // Part of the target may lie outside of the window, but the stored record does not.
        let tail = tail.get(forgotten.min(stored - 1)..).unwrap_or_default();
        let look = SeamLook {
            anchor: source.get(stored - 1).copied(),
            after: source.get(stored..).unwrap_or_default(),
            after_is_whole: true,
            begins_there: false,
            tail,
        };
        // A run that ended before its first record leaves nothing of itself.
        let expected = overlaps.iter().copied().rfind(|overlap| *overlap > 0).unwrap_or(0);
        prop_assert_eq!(seam(&look), Ok(expected));
    }

    #[test]
    fn where_records_are_alike_it_is_right_or_says_that_it_cannot_tell(
        source in prop::collection::vec(0_u64..3, 1..16),
        stored in 1_usize..8,
        overlaps in prop::collection::vec(0_usize..8, 0..3),
    ) {
        let stored = stored.min(source.len());
        let most = source.len() - stored;
        let overlaps: Vec<usize> = overlaps.into_iter().map(|overlap| overlap.min(most)).collect();
        let tail = target_of(&source, stored, &overlaps);
        let look = SeamLook {
            anchor: source.get(stored - 1).copied(),
            after: source.get(stored..).unwrap_or_default(),
            after_is_whole: true,
            begins_there: false,
            tail: &tail,
        };
        let expected = overlaps.iter().copied().rfind(|overlap| *overlap > 0).unwrap_or(0);
        match seam(&look) {
            Ok(copied) => prop_assert_eq!(copied, expected),
            Err(doubt) => prop_assert_eq!(doubt, SeamDoubt::Several),
        }
    }

    #[test]
    fn what_was_compacted_away_on_the_source_is_never_taken_for_not_copied(
        stored in 1_usize..12,
        overlap in 1_usize..12,
        gone in prop::collection::vec(any::<bool>(), 24),
    ) {
        let source: Vec<u64> = (0..(stored + overlap + 4) as u64).map(|n| n * 7 + 1).collect();
        let tail = target_of(&source, stored, &[overlap]);
        let left: Vec<(usize, u64)> = source
            .iter()
            .copied()
            .enumerate()
            .filter(|(at, _)| !gone.get(*at).copied().unwrap_or_default())
            .collect();
        let of = |wanted: fn(usize, usize) -> bool| -> Vec<u64> {
            let kept = left.iter().filter(|(at, _)| wanted(*at, stored));
            kept.map(|(_, content)| *content).collect()
        };
        let (anchor, after) = (of(|at, stored| at + 1 == stored), of(|at, stored| at >= stored));
        let look = SeamLook {
            anchor: anchor.first().copied(),
            after: &after,
            after_is_whole: true,
            begins_there: false,
            tail: &tail,
        };
        // As many of those that are left as were copied; or that it cannot be told.
        let copied = left.iter().filter(|(at, _)| *at >= stored && *at < stored + overlap);
        if let Ok(found) = seam(&look) {
            prop_assert!(found <= copied.clone().count(), "a record would be skipped");
            prop_assert_eq!(found, copied.count());
        }
    }

    #[test]
    fn any_bytes_are_a_place_or_a_named_error(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _key = ConnectOffsetKey::decode(&bytes);
        let _value = decode_connect_offset(&bytes);
    }

    #[test]
    fn a_place_in_its_copies_never_skips(
        syncs in prop::collection::btree_map(0_i64..500, 0_i64..5, 0..20),
        offset in 0_i64..600,
    ) {
        // The copy of offset n lies at n plus everything that was doubled before it.
        let (orders, copy) = (TopicPartition::new("t", 0), TopicPartition::new("t", 0));
        let mut past = Mm2Past::default();
        let mut doubled = 0;
        let mut places = Vec::new();
        for (source, more) in &syncs {
            doubled += more;
            places.push((*source, source + doubled));
            let sync = OffsetSync {
                source: SourceOffset::new(*source),
                target: TargetOffset::new(source + doubled),
            };
            past.add_sync(orders.clone(), sync);
        }
        let found = past.at_least("g", (&orders, &copy), SourceOffset::new(offset));
        let behind = places.iter().rfind(|(source, _)| *source <= offset);
        match (found, behind) {
            (None, None) => {}
            // The copy of `offset` lies at least so far behind the last sync's as `offset` behind that.
            (Some(found), Some((source, target))) => {
                prop_assert!(found.get() <= target + (offset - source));
            }
            (found, behind) => prop_assert!(false, "{found:?} {behind:?}"),
        }
    }
}
