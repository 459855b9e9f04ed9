use std::collections::BTreeMap;

use understudy_domain::SourceOffset;
use understudy_domain::tail::Loss;

use super::*;

fn found(tail: Tail) -> Found {
    let name = TopicPartition::new("orders", 3);
    Found {
        tails: BTreeMap::from([(name, Ok(tail))]),
        topic_ids: BTreeMap::from([("orders".to_owned(), "id".to_owned())]),
    }
}

fn tail(first: i64, end: i64) -> Tail {
    let at = SourceOffset::new;
    Tail {
        begins: at(100),
        first: at(first),
        end: at(end),
        held_back: 0,
        loss: (first > 100).then(|| Loss::Deleted { until: at(first) }),
    }
}

fn progress(up_to: i64) -> TailProgress {
    let at = SourceOffset::new;
    let mut progress =
        TailProgress::new("orders.tail.e7".to_owned(), Some("id".to_owned()), at(100));
    progress.pass(at(up_to));
    progress
}

#[test]
fn what_is_put_aside_is_not_read_again() {
    let name = TopicPartition::new("orders", 3);
    let found = found(tail(100, 130));
    let is_left =
        |stored: Option<&TailProgress>| is_left(&found, &name, stored, How::PutAside).is_some();
    assert!(is_left(None));
    assert!(is_left(Some(&progress(120))));
    assert!(!is_left(Some(&progress(130))));
    let mut of_another = progress(120);
    of_another.source_topic_id = Some("other".to_owned());
    assert!(!is_left(Some(&of_another)), "two topics are not mixed");
    let cut = Some(SourceOffset::new(100));
    let line = Line::of(&name, cut, &found, Some(&of_another), None);
    assert!(!line.holds() && line.notes().concat().contains("made again"));
}

#[test]
fn what_the_source_deleted_is_missing_on_every_run() {
    let name = TopicPartition::new("orders", 3);
    let cut = Some(SourceOffset::new(100));
    let gone = Line::of(&name, cut, &found(tail(150, 150)), None, None);
    assert!(!gone.holds());
    assert!(
        gone.notes().concat().contains("100 to 149"),
        "{:?}",
        gone.notes()
    );
    let mut stored = progress(120);
    stored.meet_start(SourceOffset::new(150));
    let later = Line::of(
        &name,
        cut,
        &found(tail(150, 150)),
        Some(&stored),
        Some(&stored),
    );
    assert!(
        later.notes().concat().contains("120 to 149"),
        "{:?}",
        later.notes()
    );
    assert!(!later.holds());
}

#[test]
fn a_partition_that_is_put_aside_whole_holds() {
    let name = TopicPartition::new("orders", 3);
    let cut = Some(SourceOffset::new(100));
    let found = found(tail(100, 130));
    let line = Line::of(&name, cut, &found, Some(&progress(130)), None);
    assert!(line.holds() && line.notes().is_empty());
    let nothing = Line::of(&name, cut, &self::found(tail(100, 100)), None, None);
    assert!(nothing.holds() && nothing.tail_topic.is_none());
}
