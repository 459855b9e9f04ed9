//! Whether a recovery has held its pair for longer than it can: then nobody is at work on it any more.

use crate::pair::Approval;
use crate::{Ledger, Mode, Phase};

/// How long a look at a tail takes, at most and in earnest: it ends by itself, far below its state's limit.
pub const SURVEY_SECONDS: u32 = 150;
/// How long a turn of putting a tail aside takes, which ends by itself as well.
pub const TURN_SECONDS: u32 = 240;
/// What comes when the target is open: some waves of applications, the flow back, the evidence.
const AFTERWARDS_SECONDS: u32 = 600;

impl Mode {
    /// What a recovery of this kind takes at most until the target is open, in seconds, with every limit and retry used up,
    /// each state entered once and nobody asked: the RTO that its state machine names.
    pub const fn bound_seconds(self) -> u32 {
        match self {
            Self::Failover => 900,
            Self::Switchover => 1_200,
            Self::Failback => 20_000,
        }
    }

    /// What the loops of its state machine add at most, in seconds: looks, with the pause before each, and turns.
    ///
    /// Failover: 120 looks at clients (20 s, and 1 s). Switchover: as well 60 looks at the drain (15 s, and 1 s), twice, and
    /// 60 at consumers that stop (30 s, and 1 s). Failback: as well 36 looks at the tail ([`SURVEY_SECONDS`], and 5 s), 120
    /// turns of putting it aside ([`TURN_SECONDS`]), and 1080 looks at the copies (15 s, and 10 s).
    pub const fn looped_seconds(self) -> u32 {
        let clients = 120 * (20 + 1);
        let stops = 2 * 60 * (15 + 1) + 60 * (30 + 1);
        let tail = 36 * (SURVEY_SECONDS + 5) + 120 * TURN_SECONDS + 1_080 * (15 + 10);
        match self {
            Self::Failover => clients,
            Self::Switchover => clients + stops,
            Self::Failback => clients + stops + tail,
        }
    }

    /// For how long a recovery of this kind may hold its pair, in seconds, with nobody asked.
    pub const fn held_seconds(self) -> u32 {
        self.bound_seconds() + self.looped_seconds() + AFTERWARDS_SECONDS
    }

    /// How often a person may be asked.
    pub const fn questions(self) -> u32 {
        match self {
            Self::Failover => 2,
            Self::Switchover | Self::Failback => 1,
        }
    }
}

impl Ledger {
    /// By how many seconds the recovery that holds the pair is overdue, 0 while it is not: one that ended in the middle from
    /// its claim on, any other once every limit, every loop and every person's time to answer are used up.
    pub fn overdue_seconds(&self, approval: &Approval, now_ms: i64) -> i64 {
        let (running, may_take) = match &self.phase {
            Phase::Steady => return 0,
            Phase::Stuck(running) => (running, 0),
            Phase::Recovering(running) => {
                let mode = running.mode;
                let asked = mode.questions().saturating_mul(approval.deadline_seconds);
                (running, mode.held_seconds().saturating_add(asked))
            }
        };
        let held = now_ms.saturating_sub(running.since_ms).max(0) / 1_000;
        held.saturating_sub(i64::from(may_take)).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Alias, Epoch, ExecutionName, Leash, PairName, Running};

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn held_for(seconds: i64, mode: Mode, stuck: bool) -> Result<i64, Box<dyn std::error::Error>> {
        let (pair, target) = (PairName::new("orders")?, Alias::new("usw2")?);
        let mut ledger = Ledger::new(pair.clone(), Alias::new("use1")?);
        let running = Running {
            execution: ExecutionName::new(pair, Epoch::new(1), mode, Leash::Acting, 1),
            mode,
            target,
            sealed: false,
            since_ms: 5_000,
        };
        ledger.phase = match stuck {
            true => Phase::Stuck(running),
            false => Phase::Recovering(running),
        };
        Ok(ledger.overdue_seconds(&Approval::default(), 5_000 + seconds * 1_000))
    }

    #[test]
    fn a_recovery_is_overdue_once_its_limits_and_its_people_have_had_their_time() -> Outcome {
        let half_an_hour = 1_800;
        for (mode, held) in [
            (Mode::Failover, 4_020 + 2 * half_an_hour),
            (Mode::Switchover, 8_100 + half_an_hour),
            (Mode::Failback, 88_280 + half_an_hour),
        ] {
            assert_eq!(held_for(held, mode, false)?, 0, "{mode}");
            assert_eq!(held_for(held + 60, mode, false)?, 60, "{mode}");
        }
        // A clock that is behind makes nothing overdue.
        assert_eq!(held_for(-1, Mode::Failover, false)?, 0);
        Ok(())
    }

    #[test]
    fn one_that_ended_in_the_middle_waits_for_a_person_from_then_on() -> Outcome {
        assert_eq!(held_for(60, Mode::Failover, true)?, 60);
        let steady = Ledger::new(PairName::new("orders")?, Alias::new("use1")?);
        assert_eq!(steady.overdue_seconds(&Approval::default(), 1_000_000), 0);
        Ok(())
    }
}
