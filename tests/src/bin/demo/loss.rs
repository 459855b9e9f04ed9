//! The Region is lost: its brokers and its AWS. An alarm fires, and the applications are at work on the other side.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;
use understudy_tests::chaos::{ChaosError, Interrupt, Result};
use understudy_tests::{Cluster, Heard, LabError, LoggedProducer};

use crate::control::{Control, Follower, LOOKS, PROBE};
use crate::pace::Pace;
use crate::sales::{Applications, CHECKOUT, Life, PARTITIONS, SALES, Sale, open_shop};
use crate::stage::Clusters;
use crate::voice::{Voice, grouped, seconds};
use crate::warehouse::WAREHOUSE;

/// Where a group stands when the Region is lost: at this offset of each partition.
const STANDS: [(&str, i64); 2] = [(CHECKOUT, 100), (WAREHOUSE, 250)];
/// Sales of each partition that are written before; more than any group has read.
const WRITTEN: i64 = 400;
const ALARM: &str = "understudy-orders-use1-unhealthy";
const FAILOVER: &str = "understudy-orders-failover";
const EXECUTION: &str = "orders-e1-failover-1";
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// How long the source is written to while nothing is copied any more.
const ALONE: Duration = Duration::from_millis(700);

/// What was lost, and what the recovery said of it.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Loss {
    /// From the alarm's action until it was decided what to do.
    pub alarm_to_decision_ms: u64,
    /// From the alarm's action until clients may start on the other side.
    pub alarm_to_clients_ms: u64,
    /// Acknowledged to the shop and not on the other side, counted from its own log.
    pub lost: u64,
    /// Sent by the shop, and nothing heard of them: the loss may hold these too.
    pub unheard: u64,
    /// What the evidence says.
    pub at_least: u64,
    /// What the evidence says; nothing where nothing bounds it.
    pub at_most: Option<u64>,
    /// Acknowledged to the shop before the cut.
    pub before_cut: u64,
    /// Of these: not there exactly once, in order.
    pub before_cut_wrong: u64,
    /// Records that checkout and warehouse read a second time.
    pub re_read: u64,
    /// Records that one of them never reads.
    pub skipped: u64,
    /// The page for people.
    pub page: PathBuf,
}

impl Loss {
    /// Whether the truth lies within what was said, and all before the cut is there.
    pub fn holds(&self) -> bool {
        self.at_least <= self.lost + self.unheard
            && self.at_most.is_none_or(|most| self.lost <= most)
            && self.before_cut > 0
            && self.before_cut_wrong + self.re_read + self.skipped == 0
    }
}

/// The applications at work on the other side, and what is known of how they came there.
pub struct Away {
    /// What came of the loss.
    pub loss: Loss,
    /// At work on usw2.
    pub applications: Applications,
    /// What the shop heard on use1 until it was lost.
    pub heard: Heard,
    /// Where the flow ended in each partition of usw2.
    pub cut: Vec<(i32, i64)>,
}

/// Loses the Region, and returns what came of it.
pub fn lose_region(
    clusters: &Clusters,
    control: &mut Control,
    pace: &Pace,
    voice: &mut Voice,
    keep: &Path,
) -> Result<Away> {
    let interrupt = &pace.interrupt;
    let (source, target) = (&clusters.source, &clusters.target);
    let shop = open_shop(source, Life::First)?;
    voice.say(
        "The shop writes sales to use1 and keeps its own log of what was acknowledged to it. Groups checkout (librdkafka) and \
         warehouse (Java) read them.",
    );
    calm(control, clusters, &shop, interrupt, voice)?;

    control.aws.usw2.hold_alarm(ALARM)?;
    source.link().cut()?;
    voice.alarm(
        "The way from usw2 to use1 fails first: what the shop still writes stays on use1 alone.",
    );
    interrupt.sleep(ALONE)?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    // It dies with its Region.
    let heard = shop.stop();
    voice.alarm("LOST use1: every broker (SIGKILL). Its own prober still sees that.");
    for _look in 0..LOOKS {
        control.aws.probe("use1", &control.aws.use1)?;
        interrupt.sleep(PROBE)?;
    }
    control.aws.use1.kill()?;
    voice.alarm("LOST use1's whole AWS as well. The prober in usw2, which shares no path with it, sees use1 fail too: alarm.");
    let mut follower = Follower::new(&control.aws.usw2, FAILOVER, EXECUTION);
    control.aws.probe("use1", &control.aws.usw2)?;
    let fired_at_ms = now_ms();
    control.aws.usw2.fire_alarm(ALARM)?;
    follow(&mut follower, interrupt, voice)?;
    // All are started only now: two find their pointer, one has a person who was told. That they are at work is seen by
    // their groups.
    let applications = Applications::start(target, Life::Away)?;
    let ended = interrupt.wait_for("the recovery to end", LIMIT, || {
        control.aws.usw2.ended(FAILOVER, EXECUTION)
    })?;
    if ended.status != "SUCCEEDED" {
        let states = control.aws.usw2.states(FAILOVER, EXECUTION)?;
        return Err(
            LabError::Usage(format!("{EXECUTION} ended as {ended:?} after {states:?}")).into(),
        );
    }
    let (evidence, page) = control.aws.evidence(&control.aws.usw2, EXECUTION)?;
    let mut loss = Loss {
        page: kept(keep, "evidence-failover.html", &page)?,
        ..Loss::default()
    };
    loss.time(&evidence, fired_at_ms)?;
    let cut = loss.count(target, &evidence, &heard)?;
    interrupt.wait_for("both groups to read on", LIMIT, || {
        applications.are_reading()
    })?;
    for (group, read) in applications.read() {
        loss.went_on(group, &heard, &read);
    }
    tell(&loss, voice);
    Ok(Away {
        loss,
        applications,
        heard,
        cut,
    })
}

/// Keeps a page for people.
pub fn kept(keep: &Path, name: &str, page: &str) -> Result<PathBuf> {
    let path = keep.join(name);
    std::fs::write(&path, page).map_err(|source| LabError::Io {
        action: format!("write {}", path.display()),
        source,
    })?;
    Ok(path)
}

/// When a step ended, in milliseconds since 1970; the last time, if it was done more than once.
fn ended_at(evidence: &Value, step: &str) -> Option<u64> {
    let steps = evidence.get("steps")?.as_array()?.iter();
    let these = steps.filter(|it| it.get("step").and_then(Value::as_str) == Some(step));
    these.filter_map(|it| it.get("ended_at_ms")?.as_u64()).max()
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// Until the shop's records flow, the groups' places are on the other side, and both probers have seen use1 well.
fn calm(
    control: &Control,
    clusters: &Clusters,
    shop: &LoggedProducer,
    interrupt: &Interrupt,
    voice: &mut Voice,
) -> Result<()> {
    let (source, target) = (&clusters.source, &clusters.target);
    let enough = WRITTEN as usize * PARTITIONS as usize;
    interrupt.wait_for("the shop to write", LIMIT, || match shop.acknowledged() {
        some if some >= enough => Ok(()),
        few => Err(format!("{few} were acknowledged")),
    })?;
    for (group, offset) in STANDS {
        let places: Vec<_> = (0..PARTITIONS)
            .map(|partition| (SALES, partition, offset))
            .collect();
        source.commit_group(group, &places)?;
    }
    for (group, _offset) in STANDS {
        interrupt.wait_for(
            &format!("the place of {group} on usw2"),
            LIMIT,
            || match target.group_places(group, SALES) {
                Ok(found) if found.len() == PARTITIONS as usize => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )?;
    }
    control.probe_use1(interrupt)?;
    voice.relief(&format!(
        "{} sales are written and mirrored as they come; {} has read {} of each partition, {} {}, and usw2 has their places as \
         well. Both Regions' probers see use1 well.",
        grouped(shop.acknowledged() as u64),
        STANDS[0].0,
        STANDS[0].1,
        STANDS[1].0,
        STANDS[1].1
    ));
    Ok(())
}

/// Tells each state as it is entered, until clients are pointed to the other side.
fn follow(follower: &mut Follower<'_>, interrupt: &Interrupt, voice: &mut Voice) -> Result<()> {
    let mut is_pointed = false;
    while !is_pointed {
        let waited = follower.begun.elapsed();
        if waited >= LIMIT {
            return Err(ChaosError::Stuck {
                what: "clients to be pointed to usw2".to_owned(),
                waited,
                seen: format!("{EXECUTION} has not come there"),
            });
        }
        // Looked at first, so that what led there has been entered.
        is_pointed = follower.is_pointed()?;
        follower.tell(voice);
        interrupt.sleep(LOOK)?;
    }
    voice.relief(&format!(
        "Clients may start on usw2, {} after use1's AWS was lost. Shop and checkout do, at the pointer that they follow; the \
         warehouse by hand, for it needs nothing but the other address.",
        seconds(follower.begun.elapsed())
    ));
    Ok(())
}

impl Loss {
    /// Notes how long it took from the alarm on.
    fn time(&mut self, evidence: &Value, fired_at_ms: u64) -> Result<()> {
        let after = |step: &str| {
            let ended = ended_at(evidence, step);
            let missing = || LabError::Usage(format!("the evidence has no step {step}"));
            ended
                .map(|at| at.saturating_sub(fired_at_ms))
                .ok_or_else(missing)
        };
        self.alarm_to_decision_ms = after("plan-recovery")?;
        self.alarm_to_clients_ms = after("reconfigure-clients")?;
        Ok(())
    }

    /// Counts what was lost; returns where the flow ended on the other side.
    fn count(
        &mut self,
        target: &Cluster,
        evidence: &Value,
        heard: &Heard,
    ) -> Result<Vec<(i32, i64)>> {
        let number = |pointer: &str| evidence.pointer(pointer).and_then(Value::as_u64);
        let missing = |what: &str| LabError::Usage(format!("the evidence has no {what}"));
        self.at_least = number("/loss/records_at_least").ok_or_else(|| missing("loss"))?;
        self.at_most = number("/loss/records_at_most");
        self.unheard = heard.unheard;
        let cut = evidence
            .pointer("/cut/partitions")
            .and_then(Value::as_array)
            .ok_or_else(|| missing("cut"))?;
        let copies = target.read_all(SALES)?;
        let (mut lost, mut ends) = (heard.acknowledged.len() as u64, Vec::new());
        for part in cut {
            let at = |field: &str| part.get(field).and_then(Value::as_i64).unwrap_or(-1);
            if part.get("topic").and_then(Value::as_str) != Some(SALES) {
                continue;
            }
            let (partition, here, there) =
                (at("partition"), at("source_offset"), at("target_offset"));
            let is_here = |it: i32| i64::from(it) == partition;
            let before = heard
                .acknowledged
                .iter()
                .filter(|((of, offset), _)| is_here(*of) && *offset < here);
            let before: Vec<u64> = before.map(|(_, number)| *number).collect();
            let copied = copies
                .iter()
                .filter(|it| is_here(it.partition) && it.offset < there);
            let copied: Vec<u64> = copied
                .filter_map(|it| LoggedProducer::number(Some(&it.key)))
                .collect();
            ends.push((i32::try_from(partition).unwrap_or(-1), there));
            lost -= before.len() as u64;
            self.before_cut += before.len() as u64;
            self.before_cut_wrong += wrong(&before, &copied, heard.unheard);
        }
        self.lost = lost;
        Ok(ends)
    }

    /// Adds what a group read a second time, or will never read: it went on with these sales.
    fn went_on(&mut self, group: &str, heard: &Heard, read: &[Sale]) {
        let stands = STANDS.iter().find(|(name, _)| *name == group);
        let stands = stands.map(|(_, offset)| *offset).unwrap_or_default();
        for partition in 0..PARTITIONS {
            let next = heard.acknowledged.get(&(partition, stands));
            let next = next.copied().unwrap_or_default();
            let here = read.iter().filter(|(of, _)| *of == partition);
            let numbers: Vec<u64> = here.map(|(_, number)| *number).collect();
            self.re_read += numbers.iter().filter(|it| **it < next).count() as u64;
            // Numbers follow each other by one. Who reads nothing skips what comes next.
            let first = numbers.iter().copied().min().unwrap_or(next + 1);
            self.skipped += first.saturating_sub(next);
        }
    }
}

/// How many of `written` are not among `copied` in their order, or how many of `copied` nobody can have written.
fn wrong(written: &[u64], copied: &[u64], unheard: u64) -> u64 {
    let (mut rest, mut lacking) = (copied, 0);
    for number in written {
        // What is not there takes nothing from those behind it.
        match rest.iter().position(|it| it == number) {
            Some(at) => rest = rest.get(at + 1..).unwrap_or_default(),
            None => lacking += 1,
        }
    }
    let more = (copied.len() as u64).saturating_sub(written.len() as u64);
    lacking + more.saturating_sub(unheard)
}

fn tell(loss: &Loss, voice: &mut Voice) {
    let most = loss
        .at_most
        .map_or_else(|| "no known number of".to_owned(), grouped);
    voice.say(&format!(
        "The evidence says that between {} and {most} records are lost with use1. The shop's own log: {} were acknowledged \
         and are not on usw2; of {} more it heard nothing.",
        grouped(loss.at_least),
        grouped(loss.lost),
        grouped(loss.unheard)
    ));
    voice.say(&format!(
        "Of {} sales before the cut {} are missing, doubled or out of order. Checkout and warehouse read {} again and skip {}.",
        grouped(loss.before_cut),
        loss.before_cut_wrong,
        loss.re_read,
        loss.skipped
    ));
    voice.relief(&format!("The page for people: {}", loss.page.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_wrong() {
        assert_eq!(wrong(&[1, 2, 3], &[1, 2, 3], 0), 0);
        assert_eq!(wrong(&[1, 2, 3], &[1, 3], 0), 1);
        assert_eq!(wrong(&[1, 2, 3], &[1, 2, 2, 3], 0), 1);
        assert_eq!(wrong(&[1, 2, 3], &[2, 1, 3], 0), 1);
        // Written, and the answer lost with the Region.
        assert_eq!(wrong(&[1, 2], &[1, 2, 3], 1), 0);
    }

    #[test]
    fn a_loss_holds_if_the_truth_lies_within() {
        let loss = Loss {
            lost: 10,
            at_least: 4,
            at_most: Some(10),
            before_cut: 100,
            ..Loss::default()
        };
        assert!(loss.holds());
        assert!(
            !Loss {
                at_least: 11,
                ..loss.clone()
            }
            .holds()
        );
        assert!(
            !Loss {
                at_most: Some(9),
                ..loss.clone()
            }
            .holds()
        );
        assert!(
            !Loss {
                skipped: 1,
                ..loss.clone()
            }
            .holds()
        );
        assert!(
            !Loss {
                before_cut: 0,
                ..loss.clone()
            }
            .holds()
        );
    }
}
