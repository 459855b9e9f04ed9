//! The tail of a cluster that came back: what it is held to be, its formats, and that putting it aside may be cut off
//! anywhere.

use std::error::Error;

use proptest::prelude::*;
use understudy_domain::tail::{
    HeldLog, KeyCensus, KeyCount, Loss, Merged, Missing, NO_TIMESTAMP, ReturnedLog, Tail,
    TailDigest, TailHeader, TailKey, TailOrigin, TailProgress, TailRecord, is_renewed,
    renewed_note, tail_topic,
};
use understudy_domain::{
    DecodeError, MapCursor, Origin, Position, SourceOffset, TargetOffset, TopicPartition,
};

type TestResult = Result<(), Box<dyn Error>>;

const ID: &str = "Ct1PbEKbR0OzYXKbVHpbgw";

fn at(offset: i64) -> SourceOffset {
    SourceOffset::new(offset)
}

/// A partition that was copied up to `cut`.
fn cut_at(cut: i64) -> Position {
    Position {
        source_offset: at(cut),
        source_leader_epoch: Some(4),
        source_topic_id: Some(ID.to_owned()),
        target_offset: TargetOffset::new(cut),
        source_end_offset: None,
        source_end_seen_at_ms: None,
        started_at: Origin {
            source: SourceOffset::ZERO,
            target: TargetOffset::ZERO,
        },
        incarnation: 0,
        target_topic: None,
        flow_epoch: 0,
        map: MapCursor::default(),
        records: 0,
        former: Vec::new(),
    }
}

fn held(start: i64, last_stable: i64, high_watermark: i64) -> HeldLog {
    HeldLog {
        topic_id: Some(ID.to_owned()),
        start: at(start),
        last_stable: at(last_stable),
        high_watermark: at(high_watermark),
        forked_at: None,
    }
}

fn tail(cut: i64, log: HeldLog) -> (i64, i64, u64, Option<Loss>) {
    let tail = Tail::of(&cut_at(cut), &ReturnedLog::Held(log));
    (
        tail.first.get(),
        tail.end.get(),
        tail.held_back,
        tail.loss.clone(),
    )
}

#[test]
fn a_tail_is_what_lies_beyond_the_cut() {
    assert_eq!(tail(100, held(0, 100, 100)), (100, 100, 0, None));
    assert_eq!(tail(100, held(0, 130, 130)), (100, 130, 0, None));
    assert_eq!(
        tail(100, held(0, 110, 130)),
        (100, 110, 20, None),
        "an open transaction holds back the rest"
    );
    assert_eq!(
        tail(100, held(0, 90, 130)),
        (100, 100, 30, None),
        "what was copied is none of it"
    );
}

#[test]
fn what_the_cluster_lost_is_named() {
    let none = |log: &ReturnedLog| {
        let tail = Tail::of(&cut_at(100), log);
        (tail.is_empty(), tail.loss)
    };
    assert_eq!(none(&ReturnedLog::NoTopic), (true, Some(Loss::TopicGone)));
    assert_eq!(
        none(&ReturnedLog::NoPartition),
        (true, Some(Loss::PartitionGone))
    );
    assert_eq!(
        tail(100, held(0, 80, 80)),
        (100, 100, 0, Some(Loss::Shortened { end: at(80) }))
    );
    assert_eq!(
        tail(100, held(110, 130, 130)),
        (110, 130, 0, Some(Loss::Deleted { until: at(110) }))
    );
    let forked = |at_offset, log: HeldLog| HeldLog {
        forked_at: Some(at(at_offset)),
        ..log
    };
    for end in [90, 130] {
        assert_eq!(
            tail(100, forked(80, held(0, end, end))),
            (80, end, 0, Some(Loss::Forked { at: at(80) }))
        );
    }
    assert_eq!(
        tail(100, forked(100, held(0, 130, 130))),
        (100, 130, 0, None),
        "a new leader's records beyond the cut are no other log"
    );
    let other = || HeldLog {
        topic_id: Some("other".to_owned()),
        ..held(3, 40, 40)
    };
    let recreated = Some(Loss::Recreated {
        topic_id: "other".to_owned(),
    });
    assert_eq!(tail(100, other()), (3, 40, 0, recreated));
    let tail = Tail::of(&cut_at(100), &ReturnedLog::Held(other()));
    assert_eq!(tail.deleted(), at(0)..at(3));
    let untold = HeldLog {
        topic_id: None,
        ..held(0, 130, 130)
    };
    assert!(
        Tail::of(&cut_at(100), &ReturnedLog::Held(untold))
            .loss
            .is_none()
    );
}

#[test]
fn of_a_partition_that_was_never_copied_everything_is_tail() {
    let tail = |from, log: HeldLog| {
        let tail = Tail::never_copied(at(from), &log);
        assert!(tail.loss.is_none() && tail.deleted().is_empty());
        (tail.first.get(), tail.end.get(), tail.held_back)
    };
    assert_eq!(tail(0, held(0, 0, 0)), (0, 0, 0));
    assert_eq!(tail(0, held(30, 40, 45)), (30, 40, 5));
    assert_eq!(tail(35, held(30, 40, 40)), (35, 40, 0));
    assert_eq!(tail(50, held(30, 40, 45)), (50, 50, 0));
}

#[test]
fn losses_have_names_for_machines() -> TestResult {
    let text = |loss: &Loss| serde_json::to_string(loss);
    assert_eq!(text(&Loss::TopicGone)?, r#"{"kind":"topic-gone"}"#);
    assert_eq!(
        text(&Loss::Shortened { end: at(80) })?,
        r#"{"kind":"shortened","end":80}"#
    );
    assert_eq!(
        text(&Loss::Recreated {
            topic_id: ID.to_owned()
        })?,
        format!(r#"{{"kind":"recreated","topic_id":"{ID}"}}"#)
    );
    Ok(())
}

#[test]
fn keys_on_both_sides_are_counted_once_and_by_partition() {
    let mut census = KeyCensus::new(100);
    for (partition, key) in [(0, "a"), (0, "a"), (0, "b"), (1, "a"), (1, "c")] {
        census.note(partition, key.as_bytes());
    }
    for key in ["a", "a", "c", "nobody's"] {
        census.meet(key.as_bytes());
    }
    let counts = census.counts();
    let of = |partition| counts.get(&partition).copied().unwrap_or_default();
    let count = |distinct, on_both| KeyCount { distinct, on_both };
    assert_eq!((of(0), of(1)), (count(2, 1), count(2, 2)));
    assert!(census.is_exact() && !census.is_empty());
    census.leave_off();
    assert!(!census.is_exact());
}

#[test]
fn beyond_its_bound_a_census_says_at_least() {
    let mut census = KeyCensus::new(2);
    for key in ["a", "b", "a"] {
        census.note(0, key.as_bytes());
    }
    assert!(census.is_exact(), "it knows all of them");
    census.note(0, b"c");
    assert!(!census.is_exact());
    for key in ["a", "b", "c"] {
        census.meet(key.as_bytes());
    }
    let counts = census.counts();
    assert_eq!(counts.get(&0).map(|count| count.on_both), Some(2));
}

#[test]
fn the_digest_is_fixed() -> TestResult {
    for (bytes, digest) in [
        (&b""[..], "6c62272e07bb014262b821756295c58d"),
        (b"a", "d228cb696f1a8caf78912b704e4a8964"),
        (b"foobar", "343e1662793c64bf6f0d3597ba446f18"),
    ] {
        assert_eq!(TailDigest::of(bytes).to_string(), digest);
    }
    let headers = [(b"h".to_vec(), None)];
    let mut digest = TailDigest::default();
    digest.add(&TailRecord {
        offset: at(1_200),
        timestamp_ms: 1_767_225_600_000,
        key: Some(b"k"),
        value: Some(b"v"),
        headers: &headers,
    });
    assert_eq!(digest.to_string(), "6edcff4f0c7a086584904eaaa2de1c33");
    digest.add(&TailRecord {
        offset: at(1_203),
        timestamp_ms: NO_TIMESTAMP,
        key: None,
        value: Some(b""),
        headers: &[],
    });
    assert_eq!(digest.to_string(), "7469bee5c0102f73ea28f6afe956f065");
    for wrong in [
        "\"\"",
        "\"7469\"",
        "\"+469bee5c0102f73ea28f6afe956f065\"",
        "7",
    ] {
        assert!(
            serde_json::from_str::<TailDigest>(wrong).is_err(),
            "{wrong}"
        );
    }
    Ok(())
}

#[test]
fn the_formats_of_a_tail_are_fixed() -> TestResult {
    assert_eq!(tail_topic("use1.orders", 7), "use1.orders.tail.e7");
    let key = TailKey {
        epoch: 7,
        partition: TopicPartition::new("orders", 3),
    };
    let golden = r#"{"epoch":7,"topic":"orders","partition":3}"#;
    assert_eq!(std::str::from_utf8(&key.encode())?, golden);
    assert_eq!(TailKey::decode(golden.as_bytes())?, key);
    let digest: TailDigest = serde_json::from_str("\"7469bee5c0102f73ea28f6afe956f065\"")?;
    let mut progress = TailProgress {
        source_offset: at(1_204),
        records: 2,
        digest,
        ..TailProgress::new("orders.tail.e7".to_owned(), Some(ID.to_owned()), at(1_200))
    };
    let golden = concat!(
        r#"{"version":1,"tail_topic":"orders.tail.e7","source_topic_id":"Ct1PbEKbR0OzYXKbVHpbgw","#,
        r#""begins_at":1200,"source_offset":1204,"records":2,"#,
        r#""digest":"7469bee5c0102f73ea28f6afe956f065"}"#,
    );
    assert_eq!(std::str::from_utf8(&progress.encode())?, golden);
    assert_eq!(TailProgress::decode(golden.as_bytes())?, progress);
    progress.meet_start(at(1_210));
    let golden = golden
        .replace("\"source_offset\":1204", "\"source_offset\":1210")
        .replace(
            "f065\"}",
            "f065\",\"missing\":[{\"start\":1204,\"end\":1210}]}",
        );
    assert_eq!(std::str::from_utf8(&progress.encode())?, golden);
    assert_eq!(TailProgress::decode(golden.as_bytes())?, progress);
    progress.merge(at(1_212));
    let record = TailRecord {
        offset: at(1_214),
        timestamp_ms: NO_TIMESTAMP,
        key: Some(b"k"),
        value: None,
        headers: &[],
    };
    assert!(progress.leave_out(&record));
    progress.pass_merged(at(1_220));
    let merged = r#","merged":{"source_offset":1220,"records":1,"left_out":1}}"#;
    let text = String::from_utf8(progress.encode())?;
    assert!(text.ends_with(merged), "{text}");
    assert_eq!((progress.records, progress.source_offset), (3, at(1_220)));
    assert_eq!(TailProgress::decode(text.as_bytes())?, progress);
    let newer = golden.replace("\"version\":1", "\"version\":2");
    assert!(matches!(
        TailProgress::decode(newer.as_bytes()),
        Err(DecodeError::NewerVersion { .. })
    ));
    Ok(())
}

#[test]
fn what_is_merged_behind_an_export_is_not_put_aside_again() {
    let record = |offset| TailRecord {
        offset: at(offset),
        timestamp_ms: NO_TIMESTAMP,
        key: Some(b"k"),
        value: None,
        headers: &[],
    };
    let mut progress = TailProgress::new("t".to_owned(), None, at(10));
    progress.add(&record(10));
    progress.add(&record(11));
    assert!(!progress.leave_out(&record(10)), "it is put aside already");
    progress.merge(at(11));
    assert!(progress.leave_out(&record(12)));
    progress.merge(at(13));
    let merged = progress.merged();
    assert_eq!((merged.records, merged.left_out), (2, 2));
    assert_eq!((progress.records, progress.source_offset), (3, at(14)));
}

#[test]
fn what_puts_a_key_right_is_told_by_its_last_header() {
    let own = (b"trace".to_vec(), None);
    let is_renewed = |headers: &[TailHeader]| is_renewed(headers, 5, 8);
    for epoch in [6, 7, 8] {
        assert!(is_renewed(&[own.clone(), renewed_note(epoch)]), "{epoch}");
    }
    assert!(!is_renewed(&[renewed_note(7), own]) && !is_renewed(&[]));
    // An application forwarded the headers of what an earlier recovery wrote, or has some of its own.
    for epoch in [0, 4, 5, 9] {
        assert!(!is_renewed(&[renewed_note(epoch)]), "{epoch}");
    }
    let (name, _) = renewed_note(7);
    for value in [None, Some(Vec::new()), Some(b"soon".to_vec())] {
        assert!(!is_renewed(&[(name.clone(), value)]));
    }
}

#[test]
fn progress_that_nothing_can_have_come_to_is_refused() -> TestResult {
    let fine = TailProgress {
        source_offset: at(20),
        records: 6,
        missing: vec![Missing {
            start: at(12),
            end: at(16),
        }],
        ..TailProgress::new("t".to_owned(), None, at(10))
    };
    assert_eq!(TailProgress::decode(&fine.encode())?, fine);
    let with = |change: &dyn Fn(&mut TailProgress)| {
        let mut other = fine.clone();
        change(&mut other);
        TailProgress::decode(&other.encode()).is_err()
    };
    assert!(with(&|it| it.records = 7));
    assert!(with(&|it| it.source_offset = at(9)));
    assert!(with(&|it| it.begins_at = at(-1)));
    assert!(with(&|it| it.tail_topic.clear()));
    assert!(with(&|it| it.missing.extend_from_within(..)));
    let merged = |source_offset, records| {
        with(&|it| {
            it.merged = Some(Merged {
                source_offset: at(source_offset),
                records,
                left_out: 0,
            });
        })
    };
    assert!(merged(21, 1) && merged(9, 0) && merged(12, 3) && !merged(20, 4));
    assert!(with(&|it| it
        .missing
        .iter_mut()
        .for_each(|range| range.end = at(21))));
    Ok(())
}

#[test]
fn a_copy_says_where_it_came_from_and_keeps_its_own_headers() {
    let origin = TailOrigin {
        partition: TopicPartition::new("orders", 3),
        offset: at(1_200),
        timestamp_ms: 1_767_225_600_000,
    };
    let said: Vec<_> = origin
        .headers()
        .into_iter()
        .map(|(name, value)| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            format!("{}={}", text(&name), text(&value.unwrap_or_default()))
        })
        .collect();
    assert_eq!(
        said,
        [
            "understudy.source.topic=orders",
            "understudy.source.partition=3",
            "understudy.source.offset=1200",
            "understudy.source.timestamp=1767225600000",
        ]
    );
    let own: Vec<TailHeader> = vec![(b"trace".to_vec(), None), (Vec::new(), Some(Vec::new()))];
    let all = [own.clone(), origin.headers().to_vec()].concat();
    assert_eq!(TailOrigin::split(&all), Some((origin, own.as_slice())));
    assert_eq!(TailOrigin::split(&own), None);
}

#[test]
fn a_line_of_a_file_holds_every_byte() -> TestResult {
    let headers = [(b"trace".to_vec(), None), (vec![0, 255], Some(vec![10]))];
    let record = TailRecord {
        offset: at(1_200),
        timestamp_ms: 1_767_225_600_000,
        key: Some(b"customer-1"),
        value: None,
        headers: &headers,
    };
    assert_eq!(
        std::str::from_utf8(&record.line(&TopicPartition::new("orders", 3)))?,
        concat!(
            r#"{"topic":"orders","partition":3,"offset":1200,"timestamp_ms":1767225600000,"#,
            r#""key":"Y3VzdG9tZXItMQ==","value":null,"headers":[["dHJhY2U=",null],["AP8=","Cg=="]]}"#,
        )
    );
    Ok(())
}

/// A record of a made-up source: its offset and what it holds.
#[derive(Clone, Debug)]
struct Made {
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<TailHeader>,
}

impl Made {
    fn as_record(&self) -> TailRecord<'_> {
        TailRecord {
            offset: at(self.offset),
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Some)
    ]
}

/// Records with holes between them, as control records and compaction leave.
fn made() -> impl Strategy<Value = Vec<Made>> {
    let headers = prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3), bytes()), 0..3);
    let record = (1..4_i64, any::<i64>(), bytes(), bytes(), headers);
    (0..1_000_i64, prop::collection::vec(record, 0..40)).prop_map(|(begin, records)| {
        let mut next = begin;
        let made = records
            .into_iter()
            .map(|(step, timestamp_ms, key, value, headers)| {
                next += step;
                Made {
                    offset: next - 1,
                    timestamp_ms,
                    key,
                    value,
                    headers,
                }
            });
        made.collect()
    })
}

/// What a broker holds: the copies and the progress of what was committed.
#[derive(Default)]
struct Broker {
    copies: Vec<i64>,
    progress: Option<Vec<u8>>,
}

proptest! {
    #[test]
    fn a_tail_lies_within_its_log_and_takes_nothing_that_was_copied_of_it(
        cut in 0..200_i64,
        edges in prop::array::uniform3(0..300_i64),
        forked_at in prop::option::of(0..300_i64),
        topic_id in prop::option::of(prop_oneof![Just(ID.to_owned()), Just("other".to_owned())]),
    ) {
        let mut edges = edges;
        edges.sort_unstable();
        let [start, last_stable, high_watermark] = edges;
        let log = HeldLog { topic_id: topic_id.clone(), forked_at: forked_at.map(at), ..held(start, last_stable, high_watermark) };
        let tail = Tail::of(&cut_at(cut), &ReturnedLog::Held(log));
        prop_assert!(tail.begins <= tail.first && tail.first <= tail.end);
        prop_assert!(tail.is_empty() || (tail.first >= at(start) && tail.end <= at(last_stable)));
        let is_other = topic_id.as_deref() == Some("other");
        let forks = forked_at.is_some_and(|fork| fork < cut);
        prop_assert!(tail.begins >= at(cut) || is_other || forks);
        prop_assert_eq!(tail.begins > at(cut), false, "nothing beyond the cut is left out");
        if high_watermark < cut {
            prop_assert!(tail.loss.is_some());
        }
    }

    #[test]
    fn any_look_at_a_log_is_a_tail(cut in any::<i64>(), edges in prop::array::uniform4(any::<i64>())) {
        let [start, last_stable, high_watermark, fork] = edges;
        let log = HeldLog { forked_at: Some(at(fork)), ..held(start, last_stable, high_watermark) };
        let tail = Tail::of(&cut_at(cut), &ReturnedLog::Held(log));
        prop_assert!(tail.first <= tail.end);
    }

    #[test]
    fn a_tail_that_is_put_aside_with_any_interruptions_is_whole_and_once(
        records in made(),
        turns in prop::collection::vec((1..8_usize, any::<bool>(), any::<bool>()), 0..80),
    ) {
        let begins = records.first().map_or(0, |first| first.offset);
        let mut broker = Broker::default();
        // Each turn is a run of the tool: some transactions, then it dies; of the last one it may not have heard that it
        // was committed. A last run is not killed.
        let last = (usize::MAX, true, false);
        for (batch, commits, dies) in turns.into_iter().chain([last]) {
            let mut progress = match &broker.progress {
                Some(stored) => TailProgress::decode(stored)?,
                None => TailProgress::new("t".to_owned(), None, at(begins)),
            };
            let left = records.iter().filter(|made| at(made.offset) >= progress.source_offset);
            let left: Vec<_> = left.collect();
            for some in left.chunks(batch.min(left.len().max(1))) {
                some.iter().for_each(|made| progress.add(&made.as_record()));
                if commits {
                    broker.copies.extend(some.iter().map(|made| made.offset));
                    broker.progress = Some(progress.encode());
                }
                if dies {
                    break;
                }
            }
        }
        let all: Vec<i64> = records.iter().map(|made| made.offset).collect();
        prop_assert_eq!(&broker.copies, &all);
        let mut whole = TailProgress::new("t".to_owned(), None, at(begins));
        records.iter().for_each(|made| whole.add(&made.as_record()));
        if let Some(stored) = broker.progress {
            prop_assert_eq!(TailProgress::decode(&stored)?, whole);
        }
    }

    #[test]
    fn records_in_another_order_or_changed_have_another_digest(records in made(), pick in any::<prop::sample::Index>()) {
        prop_assume!(records.len() > 1);
        let digest = |records: &[Made]| {
            let mut digest = TailDigest::default();
            records.iter().for_each(|made| digest.add(&made.as_record()));
            digest
        };
        let whole = digest(&records);
        let place = pick.index(records.len() - 1);
        let mut swapped = records.clone();
        swapped.swap(place, place + 1);
        prop_assert_ne!(digest(&swapped), whole);
        let mut fewer = records.clone();
        fewer.remove(place);
        prop_assert_ne!(digest(&fewer), whole);
        let mut nulled = records.clone();
        if let Some(made) = nulled.get_mut(place) {
            made.value = match made.value.take() {
                None => Some(Vec::new()),
                Some(_) => None,
            };
        }
        prop_assert_ne!(digest(&nulled), whole);
    }

    #[test]
    fn a_record_comes_back_from_its_headers(
        topic in "[a-zA-Z0-9._-]{1,20}",
        place in (0..i32::MAX, any::<i64>(), any::<i64>()),
        own in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..8), bytes()), 0..6),
    ) {
        let (partition, offset, timestamp_ms) = place;
        let origin = TailOrigin { partition: TopicPartition::new(topic, partition), offset: at(offset), timestamp_ms };
        let all = [own.clone(), origin.headers().to_vec()].concat();
        prop_assert_eq!(TailOrigin::split(&all), Some((origin, own.as_slice())));
    }

    #[test]
    fn any_headers_and_bytes_are_read_or_refused(
        headers in prop::collection::vec((prop_oneof![
            Just(b"understudy.source.topic".to_vec()),
            Just(b"understudy.source.partition".to_vec()),
            Just(b"understudy.source.offset".to_vec()),
            Just(b"understudy.source.timestamp".to_vec()),
        ], bytes()), 0..6),
        any_bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let _either = TailOrigin::split(&headers);
        let _either = TailKey::decode(&any_bytes);
        let _either = TailProgress::decode(&any_bytes);
    }

    #[test]
    fn progress_cut_short_or_changed_is_refused_or_read(
        records in made(),
        start in 0..2_000_i64,
        cut in any::<prop::sample::Index>(),
        changed in any::<u8>(),
    ) {
        let mut progress = TailProgress::new("t".to_owned(), Some(ID.to_owned()), at(0));
        progress.meet_start(at(start.min(500)));
        let behind = records.iter().filter(|made| made.offset >= 500);
        behind.for_each(|made| progress.add(&made.as_record()));
        let whole = progress.encode();
        prop_assert_eq!(TailProgress::decode(&whole)?, progress);
        let place = cut.index(whole.len());
        let (short, _) = whole.split_at(place);
        prop_assert!(TailProgress::decode(short).is_err());
        let mut bytes = whole.clone();
        if let Some(byte) = bytes.get_mut(place) {
            *byte = changed;
        }
        let _either = TailProgress::decode(&bytes);
    }
}
