//! What is done to the system, drawn from a seed alone.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::change::{Change, Changes};

/// A worker session on the target ends after 6 s without a sign of life.
const PAST_SESSION_MS: [u64; 2] = [7_000, 10_000];
/// A transaction that nobody touches is aborted by the brokers after 15 s.
const PAST_TRANSACTION_MS: [u64; 2] = [17_000, 20_000];
/// Before and after a session's end, so that a dead one returns to its own slots or to others.
const DOWN_MS: [u64; 2] = [0, 9_000];
const CUT_MS: [u64; 2] = [1_000, 10_000];

/// A way to disturb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SIGKILL to a worker.
    KillWorker,
    /// SIGTERM to a worker.
    TerminateWorker,
    /// SIGSTOP to a worker until its slots have moved, then SIGCONT: a zombie.
    PauseWorker,
    /// The same beyond the timeout of its open transaction.
    PauseWorkerLong,
    /// SIGKILL to a broker of the target.
    KillTargetBroker,
    /// SIGKILL to a broker of the source.
    KillSourceBroker,
    /// The link refuses and closes connections.
    CutLink,
    /// The link swallows everything and closes nothing.
    BlackholeLink,
}

impl Kind {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::KillWorker,
        Self::TerminateWorker,
        Self::PauseWorker,
        Self::PauseWorkerLong,
        Self::KillTargetBroker,
        Self::KillSourceBroker,
        Self::CutLink,
        Self::BlackholeLink,
    ];

    fn lasts_ms(self) -> [u64; 2] {
        match self {
            Self::KillWorker
            | Self::TerminateWorker
            | Self::KillTargetBroker
            | Self::KillSourceBroker => DOWN_MS,
            Self::PauseWorker => PAST_SESSION_MS,
            Self::PauseWorkerLong => PAST_TRANSACTION_MS,
            Self::CutLink | Self::BlackholeLink => CUT_MS,
        }
    }

    fn candidates(self, members: Members) -> usize {
        match self {
            Self::KillWorker
            | Self::TerminateWorker
            | Self::PauseWorker
            | Self::PauseWorkerLong => members.workers,
            Self::KillTargetBroker => members.target_brokers,
            Self::KillSourceBroker => members.source_brokers,
            Self::CutLink | Self::BlackholeLink => 1,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillWorker => "worker killed",
            Self::TerminateWorker => "worker terminated",
            Self::PauseWorker => "worker paused past its session",
            Self::PauseWorkerLong => "worker paused past its transaction",
            Self::KillTargetBroker => "target broker killed",
            Self::KillSourceBroker => "source broker killed",
            Self::CutLink => "link cut",
            Self::BlackholeLink => "link blackholed",
        })
    }
}

/// How many there are to choose from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Members {
    pub(super) workers: usize,
    pub(super) target_brokers: usize,
    pub(super) source_brokers: usize,
}

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disturbance {
    /// Which way.
    pub kind: Kind,
    /// To which worker or broker, counted from 0.
    pub victim: usize,
    /// How long it lasts: until the restart, the SIGCONT, the healing.
    pub lasts: Duration,
    /// How long everything runs undisturbed before it.
    pub after: Duration,
    /// What is changed on the source meanwhile.
    pub change: Change,
    /// What the change's details are drawn from.
    pub draw: u64,
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victim = match self.kind {
            Kind::CutLink | Kind::BlackholeLink => String::new(),
            _ => format!(" {}", self.victim + 1),
        };
        let seconds = self.lasts.as_secs_f64();
        write!(
            f,
            "{}{victim}, for {seconds:.1} s; {}",
            self.kind, self.change
        )
    }
}

/// An endless sequence: every kind once in a random order, then again in another.
#[derive(Debug)]
pub(super) struct Disturbances {
    random: SplitMix,
    members: Members,
    bag: Vec<Kind>,
    changes: Changes,
}

impl Disturbances {
    pub(super) fn new(seed: u64, members: Members) -> Self {
        Self {
            random: SplitMix(seed),
            members,
            bag: Vec::new(),
            changes: Changes::new(seed),
        }
    }
}

impl Iterator for Disturbances {
    type Item = Disturbance;

    fn next(&mut self) -> Option<Disturbance> {
        if self.bag.is_empty() {
            self.bag = Kind::ALL.to_vec();
        }
        let drawn = self.random.between([0, self.bag.len() as u64 - 1]) as usize;
        let kind = self.bag.swap_remove(drawn);
        let last = kind.candidates(self.members).saturating_sub(1) as u64;
        let (change, draw) = self.changes.next();
        Some(Disturbance {
            kind,
            victim: self.random.between([0, last]) as usize,
            lasts: Duration::from_millis(self.random.between(kind.lasts_ms())),
            after: Duration::from_millis(self.random.between([200, 1_500])),
            change,
            draw,
        })
    }
}

/// Steele, Lea and Flood's generator: the same numbers for the same seed, on every machine and with
/// every version of every library.
#[derive(Debug)]
pub(super) struct SplitMix(u64);

impl SplitMix {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn between(&mut self, [least, most]: [u64; 2]) -> u64 {
        least + self.next() % (most - least + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const MEMBERS: Members = Members {
        workers: 3,
        target_brokers: 3,
        source_brokers: 1,
    };

    fn draw(seed: u64, count: usize) -> Vec<Disturbance> {
        Disturbances::new(seed, MEMBERS).take(count).collect()
    }

    #[test]
    fn the_sequence_comes_from_the_seed_alone() {
        assert_eq!(draw(7, 100), draw(7, 100));
        assert_ne!(draw(7, 100), draw(8, 100));
    }

    #[test]
    fn every_kind_comes_in_each_round_of_the_bag_and_within_its_bounds() {
        for seed in 0..50 {
            let drawn = draw(seed, 40);
            for bag in drawn.chunks(5) {
                let changes: BTreeSet<Change> = bag.iter().map(|drawn| drawn.change).collect();
                assert_eq!(changes.len(), Change::ALL.len());
            }
            for bag in drawn.chunks(8) {
                let kinds: BTreeSet<Kind> = bag.iter().map(|drawn| drawn.kind).collect();
                assert_eq!(kinds.len(), Kind::ALL.len());
            }
            for one in drawn {
                let [least, most] = one.kind.lasts_ms().map(Duration::from_millis);
                assert!(
                    one.lasts >= least && one.lasts <= most && one.victim < 3,
                    "{one:?}"
                );
            }
        }
    }
}
