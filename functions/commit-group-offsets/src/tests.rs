//! Where groups end, with and without the source's word.

use understudy_domain::{SourceOffset, TargetOffset, TopicPartition, Translation};
use understudy_fakes::{Stage, position};
use understudy_recovery::contract::{Order, Placed, PlacesRequest};
use understudy_recovery::cut::{Cut, PartitionCut};
use understudy_recovery::places::{PlaceIs, Places};
use understudy_recovery::{Epoch, ErrorName, Leash, Mode, StepError};
use understudy_shell::PortErrorKind;
use understudy_shell::step::{must_load, save};
use understudy_shell::world::{Ends, Mirrored, Presence};

use super::handle;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const CUT: &str = "recoveries/x/cut.json";

fn place(group: &str) -> (String, TopicPartition) {
    (group.to_owned(), TopicPartition::new("orders", 0))
}

/// The cut of `orders-0` lies at 100 on the source and 110 on the target.
fn stage() -> Result<Stage, StepError> {
    let stage = Stage::new();
    let cut = Cut {
        flow: "use1-usw2".to_owned(),
        epoch: Epoch::new(1),
        at_ms: 0,
        partitions: vec![PartitionCut {
            topic: "orders".to_owned(),
            partition: 0,
            target_topic: "orders".to_owned(),
            source_offset: 100,
            target_offset: 110,
            incarnation: 0,
            source_end_offset: None,
            source_end_seen_at_ms: None,
        }],
    };
    save(&stage.world(), CUT, &cut)?;
    let map = [(40, Translation::Exact(44)), (70, Translation::AtLeast(72))];
    for (source, target) in map {
        let key = (TopicPartition::new("orders", 0), SourceOffset::new(source));
        let flow = &mut stage.scene();
        let map = &mut flow.flow("forward.toml").map;
        map.insert(key, target.map(TargetOffset::new));
    }
    Ok(stage)
}

fn stands(stage: &Stage, cluster: &str, group: &str, presence: Presence, offset: i64) {
    let mut scene = stage.scene();
    let cluster = scene.cluster(cluster);
    cluster.groups.insert(group.to_owned(), presence);
    cluster.places.insert(place(group), offset);
}

fn run(stage: &Stage, order: Order) -> Result<(Placed, Places), StepError> {
    let world = stage.world();
    let request = PlacesRequest {
        order,
        cut: CUT.to_owned(),
        places: None,
    };
    let placed = handle(&world, request)?;
    let places = must_load(&world, &placed.places)?;
    Ok((placed, places))
}

fn state(places: &Places, group: &str) -> Option<(PlaceIs, Option<i64>)> {
    let place = places.places.iter().find(|it| it.group == group)?;
    Some((place.state, place.target_offset))
}

#[test]
fn groups_go_where_the_source_says_and_never_beyond_the_cut() -> Outcome {
    let stage = stage()?;
    stands(&stage, "use1", "slow", Presence::Empty, 40);
    stands(&stage, "use1", "patchy", Presence::Empty, 70);
    stands(&stage, "use1", "fast", Presence::Empty, 105);
    // A worker had brought it further; the source's word, a rewind, counts.
    stands(&stage, "usw2", "slow", Presence::Empty, 60);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let (placed, places) = run(&stage, order)?;
    assert_eq!(state(&places, "slow"), Some((PlaceIs::Exact, Some(44))));
    assert_eq!(state(&places, "patchy"), Some((PlaceIs::AtLeast, Some(72))));
    assert_eq!(state(&places, "fast"), Some((PlaceIs::AtCut, Some(110))));
    assert_eq!((placed.summary.exact, placed.summary.at_least), (2, 1));
    let mut scene = stage.scene();
    let committed = &scene.cluster("usw2").places;
    let at = |group| committed.get(&place(group)).copied();
    assert_eq!(
        [at("slow"), at("patchy"), at("fast")],
        [Some(44), Some(72), Some(110)]
    );
    assert_eq!(
        scene.log,
        ["usw2 commit 3 as understudy-use1-usw2-recovery"]
    );
    Ok(())
}

#[test]
fn a_place_that_the_map_does_not_tell_stays_where_a_worker_brought_it() -> Outcome {
    let stage = stage()?;
    stands(&stage, "use1", "early", Presence::Empty, 5);
    stands(&stage, "use1", "never", Presence::Empty, 5);
    stands(&stage, "usw2", "early", Presence::Empty, 7);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let (_, places) = run(&stage, order)?;
    assert_eq!(state(&places, "early"), Some((PlaceIs::LastKnown, Some(7))));
    assert_eq!(state(&places, "never"), Some((PlaceIs::Unknown, None)));
    assert!(stage.scene().log.is_empty());
    Ok(())
}

#[test]
fn a_place_from_before_the_cut_is_told_by_the_flow_the_other_way_where_the_source_is_there()
-> Outcome {
    for (mode, is) in [
        (Mode::Failback, (PlaceIs::Exact, Some(9))),
        (Mode::Failover, (PlaceIs::LastKnown, Some(7))),
    ] {
        let stage = stage()?;
        stands(&stage, "use1", "early", Presence::Empty, 5);
        stands(&stage, "usw2", "early", Presence::Empty, 7);
        let key = (TopicPartition::new("orders", 0), SourceOffset::new(5));
        let told = Translation::Exact(TargetOffset::new(9));
        stage.scene().flow("forward.toml").before.insert(key, told);
        let order = stage.order(mode, Leash::Acting);
        let (_, places) = run(&stage, order)?;
        assert_eq!(state(&places, "early"), Some(is), "{mode}");
    }
    Ok(())
}

#[test]
fn a_live_group_on_the_target_is_never_touched() -> Outcome {
    let stage = stage()?;
    stands(&stage, "use1", "early", Presence::Empty, 40);
    stands(&stage, "usw2", "early", Presence::Live, 90);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let (_, places) = run(&stage, order)?;
    assert_eq!(state(&places, "early"), Some((PlaceIs::Live, Some(90))));
    assert!(stage.scene().log.is_empty());
    Ok(())
}

#[test]
fn without_the_source_places_stay_and_what_lies_outside_of_the_log_is_named() -> Outcome {
    let stage = stage()?;
    let kind = PortErrorKind::Unreachable;
    stage.scene().failing.insert("use1.groups".to_owned(), kind);
    stands(&stage, "usw2", "known", Presence::Empty, 80);
    stands(&stage, "usw2", "marked", Presence::Empty, 112);
    stands(&stage, "usw2", "lost", Presence::Empty, 500);
    let ends = Ends {
        last_stable: 113,
        high_watermark: 113,
    };
    let orders = TopicPartition::new("orders", 0);
    stage.scene().cluster("usw2").ends.insert(orders, ends);
    let order = stage.order(Mode::Failover, Leash::Acting);
    let (placed, places) = run(&stage, order)?;
    assert_eq!(
        state(&places, "known"),
        Some((PlaceIs::LastKnown, Some(80)))
    );
    assert_eq!(state(&places, "marked"), Some((PlaceIs::AtCut, Some(112))));
    assert_eq!(state(&places, "lost"), Some((PlaceIs::Beyond, Some(500))));
    assert_eq!(placed.summary.beyond, 1);
    assert!(stage.scene().log.is_empty());
    Ok(())
}

#[test]
fn a_switchover_needs_the_sources_word() -> Outcome {
    let stage = stage()?;
    let kind = PortErrorKind::TimedOut;
    stage.scene().failing.insert("use1.places".to_owned(), kind);
    let order = stage.order(Mode::Switchover, Leash::Acting);
    let refused = run(&stage, order).err().map(|error| error.name);
    assert_eq!(refused, Some(ErrorName::SourceUnreachable));
    Ok(())
}

#[test]
fn repeated_it_commits_nothing_more_and_leashed_nothing_at_all() -> Outcome {
    let stage = stage()?;
    stands(&stage, "use1", "slow", Presence::Empty, 40);
    let drill = stage.order(Mode::Failover, Leash::Leashed);
    let (_, would) = run(&stage, drill)?;
    assert!(stage.scene().log.is_empty());
    let order = stage.order(Mode::Failover, Leash::Acting);
    let (_, first) = run(&stage, order.clone())?;
    let (_, again) = run(&stage, order)?;
    assert_eq!(would, first);
    assert_eq!(first, again);
    assert_eq!(stage.scene().log.len(), 1);
    Ok(())
}

#[test]
fn who_goes_home_from_copies_of_their_own_names_reads_nothing_again_there() -> Outcome {
    let stage = stage()?;
    let (orders, copies) = (
        TopicPartition::new("orders", 0),
        TopicPartition::new("usw2.orders", 0),
    );
    {
        let mut scene = stage.scene();
        let record = scene.flow("forward.toml").record.clone();
        let back = scene.flow("reverse.toml");
        back.record = record;
        back.positions.push(Mirrored {
            source: orders.clone(),
            target: copies.clone(),
            position: position(100, 110, 0),
        });
        back.back.insert(
            (orders.clone(), TargetOffset::new(66)),
            Translation::Exact(SourceOffset::new(61)),
        );
        let left = scene.cluster("use1");
        for (group, offset) in [("billing", 66), ("audit", 66), ("lost", 3)] {
            left.groups.insert(group.to_owned(), Presence::Empty);
            left.places
                .insert((group.to_owned(), copies.clone()), offset);
        }
        let home = scene.cluster("usw2");
        home.groups.insert("audit".to_owned(), Presence::Live);
    }
    stands(&stage, "usw2", "billing", Presence::Empty, 40);
    stands(&stage, "usw2", "lost", Presence::Empty, 9);
    let (_, places) = run(&stage, stage.order(Mode::Switchover, Leash::Acting))?;
    assert_eq!(state(&places, "billing"), Some((PlaceIs::Exact, Some(61))));
    let of_live = state(&places, "audit").map(|(state, _)| state);
    assert_eq!(
        of_live,
        Some(PlaceIs::Live),
        "who is at home already is left alone"
    );
    let at_home = |group: &str| {
        let mut scene = stage.scene();
        scene.cluster("usw2").places.get(&place(group)).copied()
    };
    assert_eq!(at_home("billing"), Some(61));
    assert_eq!(at_home("audit"), None);
    assert_eq!(at_home("lost"), Some(9), "what is not known stays");
    Ok(())
}
