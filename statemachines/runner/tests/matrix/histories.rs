//! Random histories of a pair: life goes on, workers fall behind, clusters are lost and come back, recoveries move the
//! applications over and home again. At each moment every promise holds ([`witness`]); and in the end every record that
//! was acknowledged is in exactly one place: on the active cluster, in order, but for what was merged there late; put
//! aside; or, where no failback has looked yet, on the cluster that was left, within the loss that the evidence of its failover names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;
use understudy_domain::TopicPartition;
use understudy_fakes::{Happened, Scene, Stage};
use understudy_machines::shipped;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::tail::Handling;
use understudy_recovery::{Leash, Mode};
use understudy_shell::{keys, rate};

use crate::rig::{People, Rig};
use crate::scenario::{execution_of, from_start, start};
use crate::witness;

/// Everybody says yes: what is refused is refused by the machines.
const YES: People = People {
    plan: Some(true),
    loss: Some(true),
};
/// Longer than workers need for what a history leaves undone.
const LONG: u32 = 400;

/// One turn of a history.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Life goes on for so many moments.
    Life(u32),
    /// Workers copy nothing for so many moments of it.
    Stall(u32),
    /// The active cluster is lost.
    Loss,
    /// The standby is lost.
    StandbyLoss,
    /// Whatever was lost is back, with all it held.
    Return,
    /// A recovery.
    Recovery(Mode),
    /// A failback that leaves applications where they are.
    StandBy,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (1_u32..60).prop_map(Turn::Life),
        2 => (1_u32..40).prop_map(Turn::Stall),
        3 => Just(Turn::Loss),
        1 => Just(Turn::StandbyLoss),
        3 => Just(Turn::Return),
        3 => Just(Turn::Recovery(Mode::Failover)),
        2 => Just(Turn::Recovery(Mode::Switchover)),
        3 => Just(Turn::Recovery(Mode::Failback)),
        1 => Just(Turn::StandBy),
    ]
}

/// A pair as it goes through its turns.
struct Pair {
    stage: Stage,
    /// How recoveries ended.
    ends: BTreeMap<String, u32>,
    /// Where in the history the applications were last moved, if that was on purpose: nothing is read again behind it.
    moved_at: Option<usize>,
}

impl Pair {
    fn new(handling: Handling, tail_turn: Option<usize>) -> Self {
        let mut stage = Stage::new().with_life();
        stage.pair.tails.otherwise = handling;
        stage.scene().tail_turn = tail_turn;
        Self {
            stage,
            ends: BTreeMap::new(),
            moved_at: None,
        }
    }

    fn active(&self) -> String {
        let scene = self.stage.scene();
        let ledger = scene.ledger.as_ref();
        ledger.map_or("use1".to_owned(), |it| it.active.to_string())
    }

    fn standby(&self) -> String {
        other(&self.active()).to_owned()
    }

    fn take(&mut self, turn: Turn) -> Result<(), TestCaseError> {
        match turn {
            Turn::Life(moments) => self.live(moments, false),
            Turn::Stall(moments) => self.live(moments, true),
            Turn::Loss => {
                self.look_at_rates();
                let active = self.active();
                self.stage.scene().cluster(&active).silent = true;
            }
            Turn::StandbyLoss => {
                let standby = self.standby();
                self.stage.scene().cluster(&standby).silent = true;
            }
            Turn::Return => {
                for cluster in self.stage.scene().clusters.values_mut() {
                    cluster.silent = false;
                }
            }
            Turn::Recovery(mode) => self.recover(mode, false)?,
            Turn::StandBy => self.recover(Mode::Failback, true)?,
        }
        let broken = witness::broken(&self.stage.scene().history);
        prop_assert!(broken.is_empty(), "{turn:?}: {broken:#?}");
        let again = self.read_again();
        prop_assert!(again.is_empty(), "{turn:?}: read again: {again:?}");
        Ok(())
    }

    /// Records that were read again since the applications were moved on purpose.
    fn read_again(&self) -> BTreeSet<u64> {
        let Some(moved_at) = self.moved_at else {
            return BTreeSet::new();
        };
        let scene = self.stage.scene();
        let read = |happened: &[Arc<Happened>]| -> BTreeSet<u64> {
            let of = |it: &Arc<Happened>| match &**it {
                Happened::Read { group, record, .. } if group == "billing" => *record,
                _ => None,
            };
            happened.iter().filter_map(of).collect()
        };
        let (before, since) = scene.history.split_at(moved_at.min(scene.history.len()));
        // What was merged comes late, also to those who had read it before its cluster was lost.
        let (before, since, merged) = (read(before), read(since), merged(&scene));
        let again = before.intersection(&since).copied();
        again.filter(|it| !merged.contains(it)).collect()
    }

    fn live(&self, moments: u32, stalled: bool) {
        let mut scene = self.stage.scene();
        if let Some(life) = &mut scene.life {
            life.stalled = stalled;
        }
        for _moment in 0..moments {
            scene.go_on();
        }
        if let Some(life) = &mut scene.life {
            life.stalled = false;
        }
    }

    /// As the lookers of a deployment do while both answer: how fast a flow's source is written to.
    fn look_at_rates(&self) {
        for (file, name) in [("forward.toml", "use1-usw2"), ("reverse.toml", "usw2-use1")] {
            for _look in 0..2 {
                let positions = {
                    let mut scene = self.stage.scene();
                    scene.pass(std::time::Duration::from_secs(5));
                    scene.flow(file).positions.clone()
                };
                rate::note(&self.stage.world(), name, &positions).expect("a store");
            }
        }
    }

    fn recover(&mut self, mode: Mode, standby_only: bool) -> Result<(), TestCaseError> {
        let before = self.active();
        let mut input = start(&self.stage, mode, Leash::Acting);
        if let Some(fields) = input.as_object_mut().filter(|_| standby_only) {
            fields.insert("standby_only".to_owned(), true.into());
        }
        let machine = shipped::machine(mode).expect("a machine");
        let rig = Rig::of(&machine, &self.stage, &input, YES);
        let played = rig.play(from_start(&machine, &input), None);
        let end = played.outcome.end_state;
        *self.ends.entry(format!("{mode} {end}")).or_default() += 1;
        let stand = played
            .outcome
            .variables
            .get("stand")
            .and_then(Value::as_str);
        let stand = stand.unwrap_or_default();
        let moved = self.active() != before;
        prop_assert!(
            moved == (end == "TargetActive") || end == "OperatorNeeded",
            "{mode} ends as {end}, and {} is active: {stand}",
            self.active()
        );
        if moved {
            let scene = self.stage.scene();
            let opened = scene.history.iter().rposition(|it| {
                matches!(&**it, Happened::Told { application, stop: false, .. } if application == "billing")
            });
            self.moved_at = opened.filter(|_| mode != Mode::Failover);
        }
        if mode == Mode::Failover && moved {
            let scene = self.stage.scene();
            let evidence = scene.store.get(&keys::evidence(&execution_of(&input)));
            let evidence = evidence.and_then(|it| serde_json::from_slice::<Evidence>(it).ok());
            let loss = evidence
                .and_then(|it| it.loss)
                .expect("the loss in the evidence");
            let lost = alone_on(&scene, &before, &end_of_flow(&scene, &before));
            let count = u64::try_from(lost.len()).unwrap_or(u64::MAX);
            // A source that is alive goes on taking records until it is fenced: they come on top.
            let silent = scene.clusters.get(&before).is_some_and(|it| it.silent);
            prop_assert!(
                !silent
                    || (loss.records_at_least..=loss.records_at_most.unwrap_or(u64::MAX))
                        .contains(&count),
                "{count} records are lost, and the evidence says {loss:?}"
            );
        }
        Ok(())
    }

    /// Both answer, and whatever was left behind stands by again.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.take(Turn::Return)?;
        self.take(Turn::Life(LONG))?;
        for _attempt in 0..4 {
            if self.copies_flow() {
                break;
            }
            self.take(Turn::StandBy)?;
            self.take(Turn::Life(LONG))?;
            if !self.copies_flow() {
                // What was cut off or stopped half-way is finished by a failover, as the docs have it.
                self.take(Turn::Recovery(Mode::Failover))?;
            }
        }
        prop_assert!(self.copies_flow(), "nothing stands by: {:?}", self.ends);
        self.take(Turn::Life(LONG))
    }

    /// Whether the standby is copied to.
    fn copies_flow(&self) -> bool {
        let file = flow_from(&self.active());
        self.stage.scene().flow(file).holds
    }

    /// Each record that was acknowledged, once: on the active cluster in order, or put aside; the standby holds nothing
    /// that is nowhere else.
    fn is_complete(&self) -> Result<(), TestCaseError> {
        let scene = self.stage.scene();
        let active = scene.ledger.as_ref();
        let active = active.map_or("use1".to_owned(), |it| it.active.to_string());
        let mut aside = BTreeSet::new();
        let mut wrote: BTreeMap<u64, (&TopicPartition, &String)> = BTreeMap::new();
        for happened in &scene.history {
            match &**happened {
                Happened::PutAside { records } => aside.extend(records.iter().copied()),
                Happened::Wrote {
                    record,
                    partition,
                    cluster,
                } => {
                    wrote.insert(*record, (partition, cluster));
                }
                _ => {}
            }
        }
        let merged = merged(&scene);
        let mut there = BTreeSet::new();
        let active_logs = scene.clusters.get(&active).map(|it| &it.log);
        for (partition, log) in active_logs.into_iter().flatten() {
            // What was put aside stays where it was written as well: behind the cut, where no group goes on.
            let records = log.iter().flatten().copied();
            let records: Vec<u64> = records.filter(|it| !aside.contains(it)).collect();
            let (late, in_time): (Vec<u64>, Vec<u64>) =
                records.iter().partition(|it| merged.contains(it));
            prop_assert!(
                in_time.is_sorted_by(|one, two| one < two),
                "{partition} of {active} is out of order: {records:?}"
            );
            for record in late {
                let times = records.iter().filter(|it| **it == record).count();
                let here = wrote.get(&record).is_some_and(|it| *it.1 == active);
                prop_assert!(
                    times <= 1 + usize::from(here),
                    "{record} is in {partition} {times} times"
                );
            }
            for record in records {
                prop_assert_eq!(wrote.get(&record).map(|it| it.0), Some(partition));
                there.insert(record);
            }
        }
        // What was put aside lies where it was written, and nobody has copied it.
        for (cluster, held) in &scene.clusters {
            let records = held.log.values().flatten().flatten();
            for record in records.filter(|it| aside.contains(it) && !merged.contains(it)) {
                prop_assert_eq!(wrote.get(record).map(|it| it.1), Some(cluster));
            }
        }
        for record in wrote.keys() {
            prop_assert!(
                there.contains(record) != aside.contains(record),
                "record {record} is nowhere: {:?}",
                self.ends
            );
        }
        Ok(())
    }
}

/// Records that were written to topics of the active cluster late.
fn merged(scene: &Scene) -> BTreeSet<u64> {
    let of = |it: &Arc<Happened>| match &**it {
        Happened::Merged { record, .. } => Some(*record),
        _ => None,
    };
    scene.history.iter().filter_map(of).collect()
}

fn other(alias: &str) -> &'static str {
    if alias == "use1" { "usw2" } else { "use1" }
}

fn flow_from(alias: &str) -> &'static str {
    if alias == "use1" {
        "forward.toml"
    } else {
        "reverse.toml"
    }
}

/// Where the flow from a cluster ended, by partition.
fn end_of_flow(scene: &Scene, source: &str) -> BTreeMap<TopicPartition, usize> {
    let flow = scene.flows.get(flow_from(source));
    let positions = flow.iter().flat_map(|it| &it.positions);
    positions
        .map(|it| {
            let offset = it.position.source_offset.get();
            (it.source.clone(), usize::try_from(offset).unwrap_or(0))
        })
        .collect()
}

/// Records that a cluster holds beyond where the flow from it ended.
fn alone_on(scene: &Scene, cluster: &str, ends: &BTreeMap<TopicPartition, usize>) -> Vec<u64> {
    let Some(cluster) = scene.clusters.get(cluster) else {
        return Vec::new();
    };
    let beyond = |(partition, log): (&TopicPartition, &Vec<Option<u64>>)| {
        let end = ends.get(partition).copied().unwrap_or(0);
        log.iter().skip(end).flatten().copied().collect::<Vec<_>>()
    };
    cluster.log.iter().flat_map(beyond).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_acknowledged_record_is_in_one_place_through_any_history(
        turns in prop::collection::vec(turn(), 1..14),
        handling in prop_oneof![Just(Handling::Quarantine), Just(Handling::Merge)],
        // How much of a tail is carried at once: little, and enough for an execution's turns.
        tail_turn in prop_oneof![Just(None), (10_usize..40).prop_map(Some)],
    ) {
        let mut pair = Pair::new(handling, tail_turn);
        for turn in turns {
            pair.take(turn)?;
        }
        pair.settle()?;
        pair.is_complete()?;
    }
}
