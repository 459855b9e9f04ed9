use std::time::{Duration, Instant};

use understudy_domain::{
    FlowState, GapCause, GapKey, GapRecord, GapState, Slot, SourceOffset, TargetOffset,
    TopicPartition,
};

use super::*;
use crate::board::{Board, CopiedTo, Inner, Part, Partition, SlotEntry};
use crate::config::Flow;
use crate::events::EventLine;
use crate::history::{EVERY, History, Totals};
use crate::places::Place;

/// A flow whose clusters nobody asks.
pub(crate) fn flow() -> Result<Flow, understudy_flow::config_error::ConfigError> {
    Flow::parse(
        "[source]\nalias = \"use1\"\n\"bootstrap.servers\" = \"a:1\"\n\
         [target]\nalias = \"usw2\"\n\"bootstrap.servers\" = \"b:1\"\n",
        std::path::Path::new("flow.toml"),
        &|_| None,
        understudy_flow::secrets::FirstRead::WithTheFile,
    )
}

fn partition(lag: i64, seen: Duration, state: PartitionState) -> Partition {
    let now = Instant::now();
    let seen = now.checked_sub(seen).unwrap_or(now);
    Partition {
        slot: Slot::new(0),
        copies: TopicPartition::new("copies", 0),
        incarnation: 0,
        source_offset: SourceOffset::new(84_200),
        target_offset: TargetOffset::new(84_913),
        source_end_offset: Some(SourceOffset::new(84_200 + lag)),
        end_seen_at: Some(seen),
        caught_up_at: Some(seen),
        last_timestamp_ms: None,
        last_copy: None,
        state,
        reason: None,
    }
}

fn put(inner: &mut Inner, topic: &str, number: i32, partition: Partition) {
    let name = TopicPartition::new(topic, number);
    inner.partitions.insert(name, partition);
}

/// Four partitions of two topics, caught up, in three slots of four.
pub(crate) fn fill(board: &Board) {
    let mut inner = board.hold();
    inner.flow_state = Some(FlowState::Running);
    for slot in [0, 1, 3] {
        inner.slots.insert(
            Slot::new(slot),
            SlotEntry {
                state: "copying",
                since: Instant::now(),
                take_over_seconds: Some(0.41),
            },
        );
    }
    for (topic, number) in [
        ("orders", 0),
        ("orders", 4),
        ("payments.card", 1),
        ("payments.card", 2),
    ] {
        let mut caught_up = partition(0, Duration::from_millis(800), PartitionState::Copying);
        caught_up.slot = Slot::new(3);
        put(&mut inner, topic, number, caught_up);
    }
    // As discovery would see an open transaction.
    let now = Instant::now();
    let orders = TopicPartition::new("orders", 0);
    let asked_at = CopiedTo {
        offset: SourceOffset::new(84_200),
        incarnation: 0,
    };
    inner.saw_end(&orders, asked_at, 84_200, 84_205, now);
}

fn view(board: &Board, history: &History, errors: Vec<EventLine>) -> View {
    // The flow is well formed; without it there is nothing to test.
    #[expect(clippy::unwrap_used, reason = "a fixture")]
    let flow = flow().unwrap();
    View::of(&flow, &board.snapshot(), history, errors, Instant::now())
}

/// Everything is as it should be.
pub(crate) fn caught_up() -> View {
    let board = Board::default();
    fill(&board);
    view(&board, &History::default(), Vec::new())
}

/// The source has not answered for 40 seconds.
pub(crate) fn silent() -> View {
    let board = Board::default();
    fill(&board);
    put(
        &mut board.hold(),
        "orders",
        0,
        partition(1_234, Duration::from_secs(40), PartitionState::Copying),
    );
    board.not_ready(
        Part::Source,
        "cluster use1: list offsets: no answer within 10s",
    );
    view(&board, &History::default(), Vec::new())
}

/// The source is seen, and copies are 72 seconds behind it.
pub(crate) fn lagging() -> View {
    let board = Board::default();
    fill(&board);
    let mut behind = partition(14_255, Duration::ZERO, PartitionState::Copying);
    behind.caught_up_at = Instant::now().checked_sub(Duration::from_secs(72));
    put(&mut board.hold(), "orders", 4, behind);
    view(&board, &History::default(), Vec::new())
}

fn gap(inner: &mut Inner, topic: &str, number: i32, state: GapState, reason: &str) {
    let key = GapKey {
        partition: TopicPartition::new(topic, number),
        incarnation: 0,
        start: SourceOffset::new(84_200),
    };
    let record = GapRecord {
        end: Some(SourceOffset::new(91_377)),
        cause: GapCause::Deleted,
        reason: reason.to_owned(),
        found_at_ms: 1_795_481_247_000,
        state,
        resolution: None,
    };
    inner.gaps.insert(key, (Slot::new(0), record));
}

/// A partition is halted at a gap, another gap was dealt with, groups have places of all kinds.
pub(crate) fn gapped() -> View {
    let board = Board::default();
    fill(&board);
    let mut history = History::default();
    for round in 0..80_u32 {
        let lag = 300 + u64::from(round) * 88;
        let totals = Totals {
            records: u64::from(round) * 9_140,
            bytes: u64::from(round) * 9_310_000,
        };
        let lags = BTreeMap::from([
            ("orders", lag),
            ("payments.card", u64::from(round * 37 % 11)),
        ]);
        history.sample(Instant::now() + EVERY * round, totals, &lags);
    }
    let mut inner = board.hold();
    let mut halted = partition(7_177, Duration::from_secs(1), PartitionState::Halted);
    halted.caught_up_at = Instant::now().checked_sub(Duration::from_secs(431));
    halted.reason = Some("offsets 84200 to 91376 are gone from the source; `understudy gaps flow.toml resolve` says how to go on".to_owned());
    put(&mut inner, "orders", 4, halted);
    let reason = "the source deleted these records before they were copied";
    gap(&mut inner, "orders", 4, GapState::Halted, reason);
    gap(&mut inner, "payments.card", 1, GapState::Skipped, reason);
    for (group, number, state, target) in [
        ("billing", 0, PlaceState::Exact, Some(84_913)),
        ("billing", 4, PlaceState::Unknown, None),
        ("fraud-check", 0, PlaceState::AtLeast, Some(84_700)),
        ("search-index", 0, PlaceState::Ahead, None),
    ] {
        stand(
            &mut inner,
            group,
            ("orders", number),
            (84_200, target, state),
        );
    }
    drop(inner);
    let errors = vec![EventLine {
        at_ms: 1_795_481_247_000,
        level: "ERROR",
        text: "partition not served slot=3 partition=orders-4 reason=offsets 84200 to 91376 are gone from the source".to_owned(),
    }];
    view(&board, &history, errors)
}

fn has(html: &str, all: &[&str]) {
    for text in all {
        assert!(html.contains(text), "{text:?} is not in\n{html}");
    }
}

#[test]
fn each_state_says_at_a_glance_whether_it_is_safe() {
    let html = render(&caught_up());
    has(
        &html,
        &[
            "<title>READY: use1-usw2</title>",
            "hero ready",
            "<b>nothing</b>",
            "3 of 4 held here",
        ],
    );
    assert!(!html.contains("In the way"), "{html}");
    let html = render(&lagging());
    has(
        &html,
        &[
            "<title>DEGRADED: use1-usw2</title>",
            "hero degraded",
            "14,255",
            "the oldest record not copied may be 72 s old; the objective is 60 s",
        ],
    );
    let html = render(&silent());
    has(
        &html,
        &[
            "<title>UNKNOWN: use1-usw2</title>",
            "<b>1,234 records or more</b>",
            "source not seen for 40 s",
            "no answer within 10s",
        ],
    );
    let html = render(&gapped());
    has(
        &html,
        &[
            "<strong>NOT READY</strong>",
            "1 partition halted",
            "1 gap that nobody has dealt with",
            "84200 to 91376",
            "resolve it as skip",
            "1 open, 1 settled",
            "7,177 already missing",
            "1 exact, 1 at-least, 1 ahead, 1 unknown",
            "<polyline",
            "<span class=\"bad\">1 halted</span>",
        ],
    );
}

#[test]
fn names_and_reasons_are_other_peoples_words() {
    let hostile = "<script>alert('x')</script>\" onload=\"y";
    let board = Board::default();
    fill(&board);
    let mut inner = board.hold();
    let mut halted = partition(5, Duration::ZERO, PartitionState::Halted);
    halted.reason = Some(hostile.to_owned());
    put(&mut inner, hostile, 0, halted);
    gap(&mut inner, hostile, 0, GapState::Halted, hostile);
    stand(
        &mut inner,
        hostile,
        (hostile, 0),
        (0, None, PlaceState::Unknown),
    );
    drop(inner);
    board.not_ready(Part::Topic(hostile.to_owned()), hostile);
    let errors = vec![EventLine {
        at_ms: 0,
        level: "WARN",
        text: hostile.to_owned(),
    }];
    let mut view = view(&board, &History::default(), errors);
    view.flow = hostile.to_owned();
    view.source.alias = hostile.to_owned();
    view.target.alias = hostile.to_owned();
    let html = render(&view);
    assert!(
        !html.contains("<script>alert") && !html.contains("\" onload"),
        "{html}"
    );
    assert_eq!(html.matches("<script").count(), 1, "our own");
    assert!(html.matches("&lt;script&gt;").count() >= 12, "{html}");
}

#[test]
fn a_thousand_partitions_are_listed_bounded() {
    let board = Board::default();
    fill(&board);
    for number in 0..2_000 {
        let topic = format!("topic-{:03}", number % 250);
        put(
            &mut board.hold(),
            &topic,
            number,
            partition(i64::from(number), Duration::ZERO, PartitionState::Copying),
        );
    }
    for number in 0..500 {
        put(
            &mut board.hold(),
            "wide",
            number,
            partition(9_999, Duration::ZERO, PartitionState::Copying),
        );
    }
    let html = render(&view(&board, &History::default(), Vec::new()));
    assert!(html.len() < 400_000, "{}", html.len());
    has(&html, &["and 470 partitions more", "and 153 topics more"]);
    let (wide, narrow) = (html.find("\"wide\""), html.find("\"topic-249\""));
    assert!(wide < narrow && narrow.is_some(), "worst first");
}

/// Writes the page in each state to a folder, with its style inside, for whoever wants to look at it:
/// `PAGE_FIXTURES=/tmp/page cargo test -p understudy a_fixture_of_each_state`.
#[test]
fn a_fixture_of_each_state_can_be_looked_at() -> std::io::Result<()> {
    let Some(folder) = std::env::var_os("PAGE_FIXTURES").map(std::path::PathBuf::from) else {
        return Ok(());
    };
    for (name, view) in [
        ("caught-up", caught_up()),
        ("lagging", lagging()),
        ("silent", silent()),
        ("gap", gapped()),
    ] {
        let style = format!("<style>{CSS}</style>");
        let html = render(&view).replace("<link rel=\"stylesheet\" href=\"/page.css\">", &style);
        std::fs::write(folder.join(format!("{name}.html")), html)?;
    }
    std::fs::write(
        folder.join("login.html"),
        login(true).replace(
            "<link rel=\"stylesheet\" href=\"/page.css\">",
            &format!("<style>{CSS}</style>"),
        ),
    )
}

/// A group's place: offsets on both sides.
fn stand(
    inner: &mut Inner,
    group: &str,
    (topic, number): (&str, i32),
    (source, target, state): (i64, Option<i64>, PlaceState),
) {
    let place = Place {
        source_offset: SourceOffset::new(source),
        target_offset: target.map(TargetOffset::new),
        copy: TopicPartition::new(topic, number),
        state,
        reason: None,
    };
    let key = (group.into(), TopicPartition::new(topic, number));
    let places = inner.places.entry(Slot::new(0)).or_default();
    std::sync::Arc::make_mut(places).insert(key, place);
}
