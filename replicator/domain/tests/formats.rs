//! Every format: golden bytes, round trips, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::num::NonZeroU32;

use proptest::prelude::*;
use understudy_domain::{
    DELTA_RING, DecodeError, EndLook, FlowName, FlowRecord, FlowState, Format, FormerHome,
    GapCause, GapKey, GapRecord, GapState, MapCursor, MapKey, MapRecord, Origin, Position,
    Resolution, Run, Runs, SourceOffset, TargetOffset, TopicPartition,
};

type TestResult = Result<(), Box<dyn Error>>;

fn run(source: i64, target: i64, length: u64) -> Run {
    Run {
        source: SourceOffset::new(source),
        target: TargetOffset::new(target),
        length,
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

fn text(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    std::str::from_utf8(bytes)
}

fn full_position() -> Position {
    Position {
        source_offset: SourceOffset::new(18),
        source_leader_epoch: Some(4),
        source_topic_id: Some("Ct1PbEKbR0OzYXKbVHpbgw".to_owned()),
        target_offset: TargetOffset::new(11),
        source_end_offset: Some(SourceOffset::new(20)),
        source_end_seen_at_ms: Some(1_767_225_600_000),
        started_at: Origin {
            source: SourceOffset::new(10),
            target: TargetOffset::new(4),
        },
        incarnation: 1,
        target_topic: Some("orders.1".to_owned()),
        flow_epoch: 7,
        map: MapCursor {
            first: 11,
            chunk: 12,
            delta: 8,
            from: 340,
        },
        records: 6,
        former: Vec::new(),
    }
}

fn flow_record() -> Result<FlowRecord, Box<dyn Error>> {
    Ok(FlowRecord {
        generation: 1,
        slots: NonZeroU32::new(8).ok_or("zero")?,
        epoch: 0,
        state: FlowState::Running,
        source_cluster_id: "Some-Source-Cluster-ID".to_owned(),
        target_cluster_id: "Some-Target-Cluster-ID".to_owned(),
        created_at_ms: Some(1_767_225_600_000),
        paused_topics: BTreeSet::from(["audit".to_owned()]),
        changing_to: None,
    })
}

#[test]
fn the_position_format_is_fixed() -> TestResult {
    let orders = TopicPartition::new("orders", 3);
    assert_eq!(
        text(&Position::key(&orders))?,
        r#"{"topic":"orders","partition":3}"#
    );
    let golden = concat!(
        r#"{"version":1,"source_offset":18,"source_leader_epoch":4,"#,
        r#""source_topic_id":"Ct1PbEKbR0OzYXKbVHpbgw","target_offset":11,"#,
        r#""source_end_offset":20,"source_end_seen_at_ms":1767225600000,"#,
        r#""started_at":{"source":10,"target":4},"incarnation":1,"target_topic":"orders.1","#,
        r#""flow_epoch":7,"map":{"first":11,"chunk":12,"delta":8,"from":340},"records":6}"#,
    );
    assert_eq!(text(&full_position().encode())?, golden);
    assert_eq!(Position::decode(golden.as_bytes())?, full_position());
    Ok(())
}

#[test]
fn a_position_with_former_homes_is_of_version_2_and_older_readers_refuse_it() -> TestResult {
    let mut position = full_position();
    position.former = vec![FormerHome {
        slot: 6,
        chunk: 12,
        page: 0,
    }];
    let golden = concat!(
        r#"{"version":2,"source_offset":18,"source_leader_epoch":4,"#,
        r#""source_topic_id":"Ct1PbEKbR0OzYXKbVHpbgw","target_offset":11,"#,
        r#""source_end_offset":20,"source_end_seen_at_ms":1767225600000,"#,
        r#""started_at":{"source":10,"target":4},"incarnation":1,"target_topic":"orders.1","#,
        r#""flow_epoch":7,"map":{"first":11,"chunk":12,"delta":8,"from":340},"records":6,"#,
        r#""former":[{"slot":6,"chunk":12,"page":0}]}"#,
    );
    assert_eq!(text(&position.encode())?, golden);
    assert_eq!(Position::decode(golden.as_bytes())?, position);
    position.former.push(FormerHome {
        slot: 2,
        chunk: 12,
        page: 0,
    });
    assert!(matches!(
        Position::decode(&position.encode()),
        Err(DecodeError::Malformed { .. })
    ));
    Ok(())
}

#[test]
fn a_flow_whose_slots_are_being_changed_is_of_version_2_and_ends_as_the_next_generation()
-> TestResult {
    let mut record = flow_record()?;
    record.changing_to = NonZeroU32::new(3);
    let golden = concat!(
        r#"{"version":2,"generation":1,"slots":8,"epoch":0,"state":"running","#,
        r#""source_cluster_id":"Some-Source-Cluster-ID","#,
        r#""target_cluster_id":"Some-Target-Cluster-ID","created_at_ms":1767225600000,"#,
        r#""paused_topics":["audit"],"changing_to":3}"#,
    );
    assert_eq!(text(&record.encode())?, golden);
    assert_eq!(FlowRecord::decode(golden.as_bytes())?, record);
    assert!(!record.is_of(1) && !record.is_of(2));
    assert_eq!(record.homes().count(), 8);
    let done = record.changed();
    assert!(done.is_of(2) && text(&done.encode())?.starts_with(r#"{"version":1,"#));
    assert_eq!(done.homes().count(), 3);
    Ok(())
}

#[test]
fn a_look_lies_beside_the_positions_and_brings_older_ones_up_to_date() -> TestResult {
    let end = |partition, end| (partition, SourceOffset::new(end));
    let look = EndLook {
        seen_at_ms: 1_767_225_600_500,
        ends: BTreeMap::from([
            ("audit".into(), BTreeMap::from([end(0, 7)])),
            ("orders".into(), BTreeMap::from([end(3, 20), end(11, 0)])),
        ]),
    };
    assert_eq!(text(&EndLook::key())?, r#"{"look":"ends"}"#);
    assert!(EndLook::is_key(&EndLook::key()));
    let orders = TopicPartition::new("orders", 3);
    assert!(!EndLook::is_key(&Position::key(&orders)));
    assert!(Position::decode_key(&EndLook::key()).is_err());
    let golden = concat!(
        r#"{"version":1,"seen_at_ms":1767225600500,"#,
        r#""ends":{"audit":{"0":7},"orders":{"3":20,"11":0}}}"#,
    );
    assert_eq!(text(&look.encode())?, golden);
    assert_eq!(EndLook::decode(golden.as_bytes())?, look);

    let seen = |position: &Position| {
        let end = position.source_end_offset.map(SourceOffset::get);
        (end, position.source_end_seen_at_ms)
    };
    let applied = |mut position: Position, name: &str, partition| {
        look.apply(&TopicPartition::new(name, partition), &mut position);
        seen(&position)
    };
    let older = full_position();
    assert_eq!(
        applied(older.clone(), "orders", 3),
        (Some(20), Some(1_767_225_600_500))
    );
    // Another partition, and another topic.
    assert_eq!(applied(older.clone(), "orders", 4), seen(&older));
    assert_eq!(applied(older.clone(), "order", 3), seen(&older));
    // What was copied since was there.
    assert_eq!(applied(older.clone(), "audit", 0).0, Some(18));
    let mut newer = full_position();
    newer.source_end_seen_at_ms = Some(1_767_225_600_500);
    newer.source_end_offset = Some(SourceOffset::new(31));
    assert_eq!(applied(newer.clone(), "orders", 3), seen(&newer));
    let mut never = full_position();
    never.source_end_seen_at_ms = None;
    never.source_end_offset = None;
    assert_eq!(
        applied(never, "orders", 3),
        (Some(20), Some(1_767_225_600_500))
    );
    Ok(())
}

#[test]
fn a_position_that_ends_too_soon_says_so() {
    let error = DecodeError::Truncated {
        format: Format::Position,
    };
    assert_eq!(Position::decode(b""), Err(error.clone()));
    assert_eq!(
        Position::decode(br#"{"version":1,"source_offset":18"#),
        Err(error)
    );
}

#[test]
fn a_position_before_its_start_is_refused() {
    let mut position = full_position();
    position.source_offset = SourceOffset::new(9);
    assert!(matches!(
        Position::decode(&position.encode()),
        Err(DecodeError::Malformed { .. })
    ));
    let mut position = full_position();
    position.map.first = 13;
    assert!(matches!(
        Position::decode(&position.encode()),
        Err(DecodeError::Malformed { .. })
    ));
    let mut position = full_position();
    position.target_offset = TargetOffset::new(3);
    assert!(matches!(
        Position::decode(&position.encode()),
        Err(DecodeError::Malformed { .. })
    ));
}

#[test]
fn an_unknown_field_is_ignored_and_an_optional_one_may_be_absent() -> TestResult {
    let sparse = concat!(
        r#"{"version":1,"source_offset":0,"target_offset":0,"#,
        r#""started_at":{"source":0,"target":0},"flow_epoch":0,"#,
        r#""map":{"chunk":0,"delta":0,"from":0},"records":0,"new_field":[1]}"#,
    );
    let position = Position::decode(sparse.as_bytes())?;
    assert_eq!(position.source_topic_id, None);
    assert_eq!(position.source_end_offset, None);
    Ok(())
}

#[test]
fn the_offset_map_keys_are_fixed() -> TestResult {
    let orders = TopicPartition::new("orders", 3);
    let chunk = MapRecord::Chunk {
        chunk: 12,
        runs: Vec::new(),
    }
    .key(&orders)
    .encode();
    assert_eq!(
        text(&chunk)?,
        r#"{"topic":"orders","partition":3,"chunk":12}"#
    );
    let delta = MapRecord::Delta {
        chunk: 12,
        delta: 7,
        runs: Vec::new(),
    }
    .key(&orders)
    .encode();
    assert_eq!(
        text(&delta)?,
        r#"{"topic":"orders","partition":3,"delta":7}"#
    );
    Ok(())
}

#[test]
fn the_offset_map_records_are_fixed() -> TestResult {
    let delta = MapRecord::Delta {
        chunk: 12,
        delta: 7,
        runs: vec![run(10, 4, 4), run(16, 9, 2)],
    };
    assert_eq!(hex(&delta.encode()), "01 01 0c 07 02 0a 04 04 02 01 02");
    let chunk = MapRecord::Chunk {
        chunk: 300,
        runs: vec![run(1_000_000, 0, 128), run(i64::MAX - 1, 129, 1)],
    };
    let golden = "01 00 ac 02 02 c0 84 3d 00 80 01 be fa c2 ff ff ff ff ff 7f 01 01";
    assert_eq!(hex(&chunk.encode()), golden);
    let empty = MapRecord::Chunk {
        chunk: 0,
        runs: Vec::new(),
    };
    assert_eq!(hex(&empty.encode()), "01 00 00 00");
    Ok(())
}

#[test]
fn the_flow_format_is_fixed() -> TestResult {
    let flow = FlowName::new("use1-usw2")?;
    assert_eq!(text(&FlowRecord::key(&flow))?, "use1-usw2");
    let golden = concat!(
        r#"{"version":1,"generation":1,"slots":8,"epoch":0,"state":"running","#,
        r#""source_cluster_id":"Some-Source-Cluster-ID","target_cluster_id":"Some-Target-Cluster-ID","#,
        r#""created_at_ms":1767225600000,"paused_topics":["audit"]}"#,
    );
    assert_eq!(text(&flow_record()?.encode())?, golden);
    assert_eq!(FlowRecord::decode(golden.as_bytes())?, flow_record()?);
    Ok(())
}

#[test]
fn the_gap_format_is_fixed() -> TestResult {
    let key = GapKey {
        partition: TopicPartition::new("orders", 3),
        incarnation: 1,
        start: SourceOffset::new(40),
    };
    let golden = r#"{"topic":"orders","partition":3,"incarnation":1,"start":40}"#;
    assert_eq!(text(&key.encode())?, golden);
    let record = GapRecord {
        end: Some(SourceOffset::new(95)),
        cause: GapCause::Deleted,
        reason: "the source's log begins at 95".to_owned(),
        found_at_ms: 1_767_225_600_000,
        state: GapState::Halted,
        resolution: Some(Resolution::ContinueInSame),
    };
    let golden = concat!(
        r#"{"version":1,"end":95,"cause":"deleted","reason":"the source's log begins at 95","#,
        r#""found_at_ms":1767225600000,"state":"halted","resolution":"continue-in-same"}"#,
    );
    assert_eq!(text(&record.encode())?, golden);
    assert_eq!(GapRecord::decode(golden.as_bytes())?, record);
    // A reader that does not know the cause must not take it for another one.
    let lost = GapRecord {
        cause: GapCause::CopiesLost,
        reason: "the target's log ends at 7".to_owned(),
        resolution: None,
        ..record
    };
    let golden = concat!(
        r#"{"version":2,"end":95,"cause":"copies-lost","reason":"the target's log ends at 7","#,
        r#""found_at_ms":1767225600000,"state":"halted","resolution":null}"#,
    );
    assert_eq!(text(&lost.encode())?, golden);
    assert_eq!(GapRecord::decode(golden.as_bytes())?, lost);
    Ok(())
}

#[test]
fn a_newer_version_is_refused_and_says_what_to_do() -> TestResult {
    let newer = |format, version| DecodeError::NewerVersion {
        format,
        version,
        supported: version - 1,
    };
    // A newer version may have changed any field, so only the version is looked at.
    assert_eq!(
        Position::decode(br#"{"version":3}"#),
        Err(newer(Format::Position, 3))
    );
    assert_eq!(
        FlowRecord::decode(br#"{"version":3}"#),
        Err(newer(Format::Flow, 3))
    );
    assert_eq!(MapRecord::decode(&[3]), Err(newer(Format::MapRecord, 3)));
    assert_eq!(
        GapRecord::decode(br#"{"version":3}"#),
        Err(newer(Format::Gap, 3))
    );
    let message = newer(Format::Position, 3).to_string();
    assert!(message.ends_with("the state was written by a newer Understudy; upgrade this worker"));
    Ok(())
}

#[test]
fn an_offset_map_record_that_is_wrong_is_refused() {
    let truncated: [&[u8]; 5] = [
        &[],
        &[1],
        &[1, 0],
        &[1, 0, 0],
        // One run is claimed, and then very many: both run out of bytes.
        &[1, 0, 0, 1, 0, 0],
    ];
    for bytes in truncated {
        assert_eq!(
            MapRecord::decode(bytes),
            Err(DecodeError::Truncated {
                format: Format::MapRecord
            })
        );
    }
    let many = [
        1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 1,
    ];
    assert_eq!(
        MapRecord::decode(&many),
        Err(DecodeError::Truncated {
            format: Format::MapRecord
        })
    );

    let malformed: [(&[u8], &str); 8] = [
        (&[0, 0, 0, 0], "version 0 does not exist"),
        (
            &[1, 3, 0, 0],
            "its kind is none of chunk, delta and directory",
        ),
        (&[1, 0, 0, 0, 0], "bytes follow its end"),
        (&[1, 0, 0, 1, 0, 0, 0], "a run is empty"),
        (
            &[1, 0, 0x80, 0, 0],
            "a number is longer than it needs to be",
        ),
        (
            &[
                1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,
            ],
            "a number does not fit 64 bits",
        ),
        (
            &[
                1, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 1,
            ],
            "an offset does not fit 63 bits",
        ),
        (&[1, 1, 0, 0x80, 8, 0], "its delta is larger than a chunk"),
    ];
    for (bytes, reason) in malformed {
        let reason = reason.to_owned();
        let error = DecodeError::Malformed {
            format: Format::MapRecord,
            reason,
        };
        assert_eq!(MapRecord::decode(bytes), Err(error), "{}", hex(bytes));
    }
}

#[test]
fn a_key_names_one_thing() {
    let wrong: [&[u8]; 5] = [
        br#"{"topic":"orders","partition":3}"#,
        br#"{"topic":"orders","partition":3,"chunk":1,"delta":2}"#,
        br#"{"topic":"","partition":3,"chunk":1}"#,
        br#"{"topic":"orders","partition":-1,"chunk":1}"#,
        br#"["orders",3]"#,
    ];
    for bytes in wrong {
        assert!(MapKey::decode(bytes).is_err());
    }
}

fn optional<T: std::fmt::Debug + Clone>(
    some: impl Strategy<Value = T>,
) -> impl Strategy<Value = Option<T>> {
    prop::option::of(some)
}

fn position() -> impl Strategy<Value = Position> {
    let began = (0..1000_i64, 0..1000_i64);
    let copied = (0..i64::MAX / 2, 0..i64::MAX / 2);
    let seen = (
        optional(any::<i32>()),
        optional(".*"),
        optional(any::<(i64, i64)>()),
    );
    let rest = (
        any::<u64>(),
        any::<u64>(),
        0..=DELTA_RING,
        any::<i64>(),
        (any::<u64>(), any::<u32>(), any::<bool>()),
    );
    (began, copied, seen, rest).prop_map(|(began, copied, seen, rest)| {
        let (source_leader_epoch, source_topic_id, source_end) = seen;
        let (flow_epoch, chunk, delta, from, (records, incarnation, former)) = rest;
        Position {
            source_offset: SourceOffset::new(began.0 + copied.0),
            source_leader_epoch,
            source_topic_id,
            target_offset: TargetOffset::new(began.1 + copied.1),
            source_end_offset: source_end.map(|(end, _)| SourceOffset::new(end)),
            source_end_seen_at_ms: source_end.map(|(_, at)| at),
            started_at: Origin {
                source: SourceOffset::new(began.0),
                target: TargetOffset::new(began.1),
            },
            incarnation,
            target_topic: (incarnation > 1).then(|| format!("orders.{incarnation}")),
            flow_epoch,
            map: MapCursor {
                first: chunk / 2,
                chunk,
                delta,
                from,
            },
            records,
            former: former
                .then_some(FormerHome {
                    slot: incarnation,
                    chunk: chunk / 2,
                    page: chunk / 3,
                })
                .into_iter()
                .collect(),
        }
    })
}

/// Runs that may be appended, of any size that fits.
fn runs() -> impl Strategy<Value = Vec<Run>> {
    let gap = || prop_oneof![0..200_u64, any::<u64>()];
    prop::collection::vec((gap(), gap(), gap()), 0..50).prop_map(|gaps| {
        let mut runs = Runs::new();
        let (mut source, mut target) = (SourceOffset::ZERO, TargetOffset::ZERO);
        for (source_gap, target_gap, length) in gaps {
            let run = Run {
                source: source.plus(source_gap),
                target: target.plus(target_gap),
                length,
            };
            if runs.push_run(run).is_ok() {
                (source, target) = (run.source_end(), run.target_end());
            }
        }
        runs.take()
    })
}

fn map_record() -> impl Strategy<Value = MapRecord> {
    (any::<u64>(), optional(0..DELTA_RING), runs()).prop_map(|(chunk, delta, runs)| match delta {
        Some(delta) => MapRecord::Delta { chunk, delta, runs },
        None => MapRecord::Chunk { chunk, runs },
    })
}

proptest! {
    #[test]
    fn positions_round_trip(position in position(), topic in ".+", partition in 0..i32::MAX) {
        prop_assert_eq!(Position::decode(&position.encode())?, position);
        let partition = TopicPartition::new(topic, partition);
        prop_assert_eq!(Position::decode_key(&Position::key(&partition))?, partition);
    }

    #[test]
    fn offset_map_records_round_trip(record in map_record(), topic in ".+", partition in 0..i32::MAX) {
        prop_assert_eq!(&MapRecord::decode(&record.encode())?, &record);
        let key = record.key(&TopicPartition::new(topic, partition));
        prop_assert_eq!(MapKey::decode(&key.encode())?, key);
    }

    #[test]
    fn flow_records_round_trip(
        generation in any::<u64>(),
        slots in 1..u32::MAX,
        changing_to in optional(1..u32::MAX),
        epoch in any::<u64>(),
        state in prop_oneof![Just(FlowState::Running), Just(FlowState::Paused), Just(FlowState::Sealed)],
        ids in (".*", ".*"),
        created_at_ms in optional(any::<i64>()),
        paused_topics in prop::collection::btree_set(".*", 0..4),
        name in "[a-zA-Z0-9._-]{1,200}",
    ) {
        let slots = NonZeroU32::new(slots).ok_or_else(|| TestCaseError::reject("zero"))?;
        let (source_cluster_id, target_cluster_id) = ids;
        let record = FlowRecord { generation, slots, epoch, state, source_cluster_id, target_cluster_id, created_at_ms, paused_topics, changing_to: changing_to.and_then(NonZeroU32::new) };
        prop_assert_eq!(FlowRecord::decode(&record.encode())?, record);
        let name = FlowName::new(&name)?;
        prop_assert_eq!(FlowRecord::decode_key(&FlowRecord::key(&name))?, name);
    }

    #[test]
    fn gaps_round_trip(
        place in (".+", 0..i32::MAX, any::<u32>(), 0..i64::MAX),
        end in optional(0..i64::MAX),
        cause in prop_oneof![
            Just(GapCause::Deleted),
            Just(GapCause::Truncated),
            Just(GapCause::Recreated),
            Just(GapCause::Refused),
            Just(GapCause::CopiesLost),
        ],
        reason in ".*",
        found_at_ms in any::<i64>(),
        asked in optional(0..5_usize),
    ) {
        let (topic, partition, incarnation, start) = place;
        let key = GapKey {
            partition: TopicPartition::new(topic, partition),
            incarnation,
            start: SourceOffset::new(start),
        };
        prop_assert_eq!(GapKey::decode(&key.encode())?, key);
        let resolution = asked.and_then(|at| {
            [
                Resolution::Skip,
                Resolution::Park,
                Resolution::Retry,
                Resolution::ContinueInSame,
                Resolution::NewTopic,
            ]
            .get(at)
            .copied()
        });
        let record = GapRecord {
            end: end.map(SourceOffset::new),
            cause,
            reason,
            found_at_ms,
            state: resolution.map_or(GapState::Halted, Resolution::outcome),
            resolution,
        };
        prop_assert_eq!(GapRecord::decode(&record.encode())?, record);
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Position::decode(&bytes);
        let _ = Position::decode_key(&bytes);
        let _ = EndLook::decode(&bytes);
        let _ = MapKey::decode(&bytes);
        let _ = FlowRecord::decode(&bytes);
        let _ = GapKey::decode(&bytes);
        let _ = GapRecord::decode(&bytes);
        let _ = FlowRecord::decode_key(&bytes);
        // One value has one spelling.
        if let Ok(record) = MapRecord::decode(&bytes) {
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn an_offset_map_record_cut_or_changed_is_a_value_or_an_error(
        record in map_record(),
        cut in any::<prop::sample::Index>(),
        changed in any::<u8>(),
    ) {
        let whole = record.encode();
        let at = cut.index(whole.len());
        let (cut, _) = whole.split_at(at);
        prop_assert!(MapRecord::decode(cut).is_err(), "a record cut short is not a record");
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = changed;
        }
        if let Ok(record) = MapRecord::decode(&bytes) {
            prop_assert!(record.runs().len() <= bytes.len() / 3, "it holds more than its bytes tell");
            prop_assert_eq!(record.encode(), bytes);
        }
    }

    #[test]
    fn a_position_cut_short_is_refused(position in position(), cut in any::<prop::sample::Index>()) {
        let whole = position.encode();
        let (cut, _) = whole.split_at(cut.index(whole.len()));
        prop_assert!(Position::decode(cut).is_err());
    }
}
