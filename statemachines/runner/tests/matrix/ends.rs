//! What each end claims, held against the world: who is active, what is fenced and sealed, where groups stand, what the
//! evidence and the sentence for people say.

use std::collections::BTreeSet;

use serde_json::Value;
use understudy_domain::FlowState;
use understudy_fakes::{Happened, Scene};
use understudy_machines::Status;
use understudy_recovery::cut::Cut;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::fence::FenceState;
use understudy_recovery::{Alias, Leash, Mode, Phase};
use understudy_shell::keys;
use understudy_shell::world::Presence;

use crate::rig::Played;
use crate::sentences;

/// Ends that a machine may have.
pub const ENDS: [&str; 6] = [
    "TargetActive",
    "StandbyReady",
    "SourceStillActive",
    "OperatorNeeded",
    "Superseded",
    "DrillDone",
];

/// How long life goes on behind an end before it is looked at, in moments.
const AFTERWARDS: usize = 60;

/// A run and the world that it left, to be held against each other. All runs here lead from `use1` to `usw2`.
pub struct Left<'a> {
    pub played: &'a Played,
    pub scene: Scene,
    pub execution: String,
    pub mode: Mode,
    pub leash: Leash,
    /// ACLs of the source before.
    pub acls_before: usize,
    /// Where in the history the run began.
    pub since: usize,
}

impl Left<'_> {
    /// Every claim that is not true.
    pub fn untrue(mut self) -> Vec<String> {
        let mut untrue = Vec::new();
        let end = self.played.outcome.end_state.clone();
        let ended_in_it = match &self.played.outcome.status {
            Status::Succeeded => end != "OperatorNeeded",
            Status::Failed(error) => end == "OperatorNeeded" && error.name == "OperatorNeeded",
            Status::Stopped => false,
        };
        if !ended_in_it || !ENDS.contains(&end.as_str()) {
            let status = &self.played.outcome.status;
            return vec![format!("{end} is no end: {status:?}")];
        }
        // A sentence is about the moment in which it is said.
        let stand = self.stand();
        if end != "Superseded" {
            untrue.extend(sentences::untrue(&self, &stand));
        }
        let now = self.history_len();
        for _moment in 0..AFTERWARDS {
            self.scene.go_on();
        }
        match end.as_str() {
            "TargetActive" => self.target_active(&mut untrue),
            "StandbyReady" => {
                self.source_active(now, &mut untrue);
                self.stands_by(&mut untrue);
            }
            "SourceStillActive" => self.source_active(now, &mut untrue),
            "OperatorNeeded" => self.operator_needed(&mut untrue),
            "DrillDone" => untrue.extend(self.changed_anything().err()),
            _ => {}
        }
        self.evidence_fits(&end, &mut untrue);
        untrue
    }

    /// What people are told.
    pub fn stand(&self) -> String {
        let stand = self.played.outcome.variables.get("stand");
        stand.and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    fn history_len(&self) -> usize {
        self.scene.history.len()
    }

    /// What steps did in this run.
    pub fn did(&self) -> impl Iterator<Item = &Happened> {
        let since = self.scene.history.iter().skip(self.since);
        since.map(|it| &**it).filter(|it| !it.is_life())
    }

    /// An error if the run changed anything but what it keeps of itself.
    pub fn changed_anything(&self) -> Result<(), String> {
        let own = format!("recoveries/{}/", self.execution);
        let other = self.did().find(|it| match it {
            Happened::Stored(key) => !key.starts_with(&own),
            Happened::Notice(_) | Happened::Answered(_) => false,
            _ => true,
        });
        other.map_or(Ok(()), |it| Err(format!("it changed something: {it:?}")))
    }

    /// Who is active.
    pub fn active(&self) -> &str {
        let ledger = self.scene.ledger.as_ref();
        ledger.map_or("use1", |it| it.active.as_str())
    }

    /// Whether a flow may write: its record lets it, or brokers do not refuse its workers yet.
    pub fn may_copy(&self, file: &str) -> bool {
        self.scene.flows.get(file).is_some_and(|flow| {
            let record = flow.record.as_ref();
            flow.holds || record.is_some_and(|it| it.state == FlowState::Running)
        })
    }

    /// The fence on a cluster, as the ledger has it.
    pub fn fence(&self, cluster: &str) -> Option<FenceState> {
        let alias = Alias::new(cluster).ok()?;
        let ledger = self.scene.ledger.as_ref()?;
        ledger.fences.get(&alias).map(|it| it.state)
    }

    /// The evidence, if it was kept.
    pub fn evidence(&self) -> Option<Evidence> {
        let bytes = self.scene.store.get(&keys::evidence(&self.execution))?;
        serde_json::from_slice(bytes).ok()
    }

    /// Whether an application was told to use a cluster, by this run.
    pub fn told(&self, application: &str, cluster: &str) -> bool {
        self.did().any(|it| {
            matches!(it, Happened::Told { application: name, stop: false, active }
                if name == application && active == cluster)
        })
    }

    /// Whether the evidence tells people to do something about an application.
    pub fn is_named(&self, application: &str) -> bool {
        let next = self.evidence().map(|it| it.next).unwrap_or_default();
        next.iter().any(|it| it.contains(application))
    }

    /// Groups that nobody is in and that do not stand, on the target, on the copy of what they read next.
    pub fn misplaced(&self) -> Vec<String> {
        let mut misplaced = Vec::new();
        let (Some(source), Some(target)) = (
            self.scene.clusters.get("use1"),
            self.scene.clusters.get("usw2"),
        ) else {
            return misplaced;
        };
        for ((group, partition), here) in &source.places {
            let live = target.groups.get(group) == Some(&Presence::Live);
            // Who still reads on the source moves on behind what was brought over.
            let moves = group == "billing" && self.mode == Mode::Failover;
            let there = target.places.get(&(group.clone(), partition.clone()));
            let place = |offset: i64| usize::try_from(offset).unwrap_or(0);
            let copies: BTreeSet<u64> =
                target.log_of(partition).iter().flatten().copied().collect();
            let next = source.log_of(partition).iter().skip(place(*here));
            let next = next.flatten().find(|it| copies.contains(it));
            let stands = there.and_then(|there| {
                let log = target.log_of(partition).iter().skip(place(*there));
                log.flatten().next()
            });
            // Behind the last copy both have nothing more of the source's to read.
            let ends = next.is_none() && there.is_some();
            if !live && !moves && !ends && next != stands {
                misplaced.push(format!(
                    "{group} stands at {there:?} of {partition}, before {stands:?} and not {next:?}"
                ));
            }
        }
        misplaced
    }

    fn target_active(&self, untrue: &mut Vec<String>) {
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                untrue.push(format!("TargetActive, but not: {what}"));
            }
        };
        claim(self.active() == "usw2", "the ledger says so");
        claim(self.is_steady(), "nothing is under way");
        claim(!self.may_copy("forward.toml"), "the flow is sealed");
        let next = self.evidence().map(|it| it.next).unwrap_or_default();
        let named = |what: &str| next.iter().any(|it| it.contains(what));
        claim(self.misplaced().is_empty(), "groups stand at their places");
        let open = self.scene.takes_writes("usw2");
        claim(
            open || named("Let writers in"),
            "writers are let in, or that is named",
        );
        for application in ["billing", "shop"] {
            let moved = self.told(application, "usw2") || named(&format!("Move {application}"));
            claim(moved, "applications were told, or are named");
        }
        let runs = named("The flow from usw2 to use1 runs");
        claim(
            !runs || self.may_copy("reverse.toml"),
            "the flow back runs, as the evidence says",
        );
        if self.mode == Mode::Failback {
            untrue.extend(self.destroyed());
        }
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                untrue.push(format!("TargetActive, but not: {what}"));
            }
        };
        if self.mode != Mode::Failover {
            let open = self.scene.takes_writes("use1");
            let idle = self
                .scene
                .clusters
                .get("use1")
                .is_some_and(|it| it.acls.is_none());
            claim(!open || idle, "the source takes no writes");
            let says = runs || named("does not run");
            claim(says, "the evidence says whether the flow back runs");
        } else {
            let open = self.scene.takes_writes("use1");
            let says = named("use1 is not fenced") || named("no refused write has proved");
            let proven = self.fence("use1") == Some(FenceState::Proven);
            claim(
                (proven && !open) || says,
                "the source is fenced, or the evidence says that it is not",
            );
        }
    }

    fn source_active(&self, now: usize, untrue: &mut Vec<String>) {
        let mut claim = |holds: bool, what: &str| {
            if !holds {
                untrue.push(format!("SourceStillActive, but not: {what}"));
            }
        };
        claim(self.active() == "use1", "the ledger says so");
        claim(self.is_steady(), "nothing is under way");
        claim(self.scene.takes_writes("use1"), "it takes writes");
        let returned =
            self.mode == Mode::Failback && self.fence("usw2") != Some(FenceState::Proven);
        claim(
            returned || !self.scene.takes_writes("usw2"),
            "the other takes none",
        );
        claim(self.fence("use1").is_none(), "its fence is lifted");
        // A cluster that came back has a sealed flow until it is made the standby.
        let sealed = self.did().any(|it| matches!(it, Happened::Sealed { .. }));
        claim(
            self.may_copy("forward.toml") || (self.mode == Mode::Failback && !sealed),
            "nothing was sealed",
        );
        let source = self.scene.clusters.get("use1");
        let acls = source.and_then(|it| it.acls.as_ref()).map(BTreeSet::len);
        claim(
            acls.unwrap_or(0) == self.acls_before,
            "its ACLs are what they were",
        );
        let reads = self.scene.history.iter().skip(now).any(|it| {
            matches!(&**it, Happened::Read { group, cluster, .. }
                if group == "billing" && cluster == "use1")
        });
        let lost = self.scene.life.as_ref().is_some_and(|it| it.lost);
        claim(
            reads || lost || source.is_some_and(|it| it.silent),
            "consumers are at work on it",
        );
    }

    fn stands_by(&self, untrue: &mut Vec<String>) {
        if !self.may_copy("forward.toml") {
            untrue.push("StandbyReady, but nothing is copied to it".to_owned());
        }
        if self.scene.takes_writes("usw2") {
            untrue.push("StandbyReady, but somebody may write to it".to_owned());
        }
        untrue.extend(self.destroyed());
    }

    /// Records that only the cluster that came back holds and that nobody put aside.
    fn destroyed(&self) -> Option<String> {
        let records = |cluster: &str| -> BTreeSet<u64> {
            let cluster = self.scene.clusters.get(cluster);
            let logs = cluster.iter().flat_map(|it| it.log.values());
            logs.flatten().flatten().copied().collect()
        };
        let put_aside: BTreeSet<u64> = (self.scene.history.iter())
            .filter_map(|it| match &**it {
                Happened::PutAside { records } => Some(records),
                _ => None,
            })
            .flatten()
            .copied()
            .collect();
        let active = records("use1");
        // What is written behind the move is copied back in its time.
        let written: BTreeSet<u64> = (self.scene.history.iter().skip(self.since))
            .filter_map(|it| match &**it {
                Happened::Wrote { record, .. } => Some(*record),
                _ => None,
            })
            .collect();
        let mut alone = records("usw2").into_iter();
        let is_safe = |it: &u64| active.contains(it) || put_aside.contains(it);
        let nowhere = alone.find(|it| !is_safe(it) && !written.contains(it))?;
        Some(format!(
            "record {nowhere} lies on usw2 alone, and was not put aside"
        ))
    }

    fn is_steady(&self) -> bool {
        let ledger = self.scene.ledger.as_ref();
        ledger.is_none_or(|it| it.phase == Phase::Steady)
    }

    /// A person is needed; the next recovery may take over, unless it is named that it may not.
    fn operator_needed(&self, untrue: &mut Vec<String>) {
        if self.leash.is_leashed() {
            untrue.extend(self.changed_anything().err());
            return;
        }
        let ledger = self.scene.ledger.as_ref();
        let held = ledger.is_some_and(|it| {
            matches!(&it.phase, Phase::Recovering(running)
                if running.execution.to_string() == self.execution)
        });
        let stand = self.stand();
        let said = [
            "the ledger may still name this execution",
            "perhaps the ledger",
        ];
        if held && !said.iter().any(|it| stand.contains(it)) {
            untrue.push("OperatorNeeded, but the ledger has it under way".to_owned());
        }
    }

    fn evidence_fits(&self, end: &str, untrue: &mut Vec<String>) {
        let unwritten = self.stand().contains("evidence") || end == "Superseded";
        let Some(evidence) = self.evidence() else {
            if !unwritten {
                untrue.push("there is no evidence".to_owned());
            }
            return;
        };
        if evidence.ended != end && !unwritten {
            untrue.push(format!("the evidence says {}, not {end}", evidence.ended));
        }
        if self.leash.is_leashed() {
            return;
        }
        let opened = self
            .did()
            .any(|it| matches!(it, Happened::Ledger(ledger) if ledger.active.as_str() == "usw2"));
        if evidence.opened_after_ms.is_some() && !opened {
            untrue.push("the evidence says that the target was opened".to_owned());
        }
        if let Some(cut) = evidence.cut.as_ref().filter(|_| end != "Superseded") {
            self.cut_is_exact(cut, untrue);
        }
    }

    /// Nothing was copied behind the cut, and everything before it.
    fn cut_is_exact(&self, cut: &Cut, untrue: &mut Vec<String>) {
        let flow = self.scene.flows.get("forward.toml");
        let positions = flow.map(|it| it.positions.as_slice()).unwrap_or_default();
        for mirrored in positions {
            let at = mirrored.position.source_offset.get();
            let there = mirrored.position.target_offset.get();
            let mut cuts = cut.partitions.iter();
            let cut = cuts.find(|it| it.partition == mirrored.source.partition);
            let cut = cut.map(|it| (it.source_offset, it.target_offset));
            if cut != Some((at, there)) {
                untrue.push(format!(
                    "the cut of {} is {cut:?}, and copies end at {at}, {there}",
                    mirrored.source
                ));
            }
        }
    }
}
