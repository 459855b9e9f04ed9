use std::time::Instant;

use understudy_domain::{Slot, SourceOffset, TargetOffset, TopicPartition};

use crate::board::{Board, CopiedTo, Inner, Partition, PartitionState};

const AT: CopiedTo = CopiedTo {
    offset: SourceOffset::new(300),
    incarnation: 1,
};

/// A partition that was copied to its end, as that was seen.
fn copied() -> (Board, TopicPartition) {
    let (board, name) = (Board::default(), TopicPartition::new("orders", 0));
    let partition = Partition {
        slot: Slot::new(0),
        copies: name.clone(),
        incarnation: AT.incarnation,
        source_offset: AT.offset,
        target_offset: TargetOffset::new(300),
        source_end_offset: None,
        end_seen_at: None,
        caught_up_at: None,
        last_timestamp_ms: None,
        last_copy: None,
        state: PartitionState::Copying,
        reason: None,
    };
    let mut inner = board.hold();
    inner.partitions.insert(name.clone(), partition);
    inner.saw_end(&name, AT, 300, 300, Instant::now());
    drop(inner);
    (board, name)
}

/// Its end, and whether and when that was seen.
fn told(inner: &Inner, name: &TopicPartition) -> Option<(Option<i64>, bool)> {
    let partition = inner.partitions.get(name)?;
    let end = partition.source_end_offset.map(SourceOffset::get);
    Some((end, partition.end_seen_at.is_some()))
}

#[test]
fn what_was_seen_of_a_former_life_is_not_the_end_of_the_next() {
    // The next one is as long as the former by the time that an answer comes, or shorter.
    for next_offset in [0, 400] {
        let (board, name) = copied();
        let mut inner = board.hold();
        let next = CopiedTo {
            offset: SourceOffset::new(next_offset),
            incarnation: AT.incarnation + 1,
        };
        inner.moved(&name, next);
        // Asked of the former life, answered in the next.
        inner.saw_end(&name, AT, 900, 900, Instant::now());
        assert_eq!(told(&inner, &name), Some((None, false)), "{next_offset}");
        inner.saw_end(&name, next, 450, 450, Instant::now());
        assert_eq!(
            told(&inner, &name),
            Some((Some(450), true)),
            "{next_offset}"
        );
    }
}

#[test]
fn past_a_gap_the_end_that_was_seen_is_the_end_still() {
    let (board, name) = copied();
    let mut inner = board.hold();
    inner.saw_end(&name, AT, 350, 350, Instant::now());
    let behind = CopiedTo {
        offset: SourceOffset::new(320),
        ..AT
    };
    inner.moved(&name, behind);
    assert_eq!(told(&inner, &name), Some((Some(350), true)));
    let lag = inner.partitions.get(&name).map(Partition::lag_records);
    assert_eq!(lag, Some(30));
}

#[test]
fn an_end_that_was_cut_is_no_lag_and_tells_nothing_of_when_all_was_copied() {
    let (board, name) = copied();
    let mut inner = board.hold();
    let at = |inner: &Inner| inner.partitions.get(&name).and_then(|it| it.caught_up_at);
    let before = at(&inner);
    let mut lag_at = |end: i64| {
        inner.saw_end(&name, AT, end, end, Instant::now());
        inner.partitions.get(&name).map(Partition::lag_records)
    };
    assert_eq!(lag_at(340), Some(40));
    assert_eq!(lag_at(310), Some(10));
    assert_eq!(lag_at(290), Some(0));
    assert_eq!(at(&inner), before);
}

#[test]
fn of_partitions_that_left_nothing_is_kept() {
    let (board, name) = copied();
    let mut inner = board.hold();
    assert!(inner.stable_ends.contains_key(&name));
    inner.partitions.clear();
    inner.forget_ends_of_others();
    assert!(inner.stable_ends.is_empty());
}
