//! The Region is lost: its brokers and its AWS. An alarm fires, and the applications are at work on the other side.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};
use understudy_tests::aws::{EcsAgent, TwoRegions};
use understudy_tests::chaos::{ChaosError, Interrupt, Result};
use understudy_tests::{Cluster, FlowFile, Heard, LabError, LoggedProducer, deployed_pair};

use crate::stage::Clusters;
use crate::voice::{Voice, grouped, seconds};
use crate::warehouse::{WAREHOUSE, Warehouse};

/// What the shop writes and the checkout reads.
pub const SALES: &str = "sales";
/// How many partitions it has.
pub const PARTITIONS: i32 = 4;
/// Who reads it.
pub const CHECKOUT: &str = "checkout";
/// Where a group stands when the Region is lost: at this offset of each partition.
const STANDS: [(&str, i64); 2] = [(CHECKOUT, 100), (WAREHOUSE, 250)];
/// Sales of each partition that are written before; more than any group has read.
const WRITTEN: i64 = 400;
/// Where the shop's numbers go on at the other side: beyond all that it wrote before.
const MOVED: u64 = 1_000_000_000;
const ALARM: &str = "understudy-orders-use1-unhealthy";
const FAILOVER: &str = "understudy-orders-failover";
const EXECUTION: &str = "orders-e1-failover-1";
const POINTER: &str = "/apps/shop/kafka";
const SERVICE: &str = "understudy/use1-usw2";
const WORKERS: u32 = 2;
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(200);
/// Between two looks of a prober; its schedule's minute is not waited for.
const PROBE: Duration = Duration::from_millis(1_100);
/// How long the source is written to while nothing is copied any more.
const ALONE: Duration = Duration::from_millis(700);
/// Looks before the loss and after it.
const LOOKS: usize = 3;

/// What was lost, and what the recovery said of it.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Loss {
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

/// Loses the Region, and returns what came of it. `flow` is the one that mirrors.
pub fn lose_region(
    clusters: &Clusters,
    flow: FlowFile,
    interrupt: &Interrupt,
    voice: &mut Voice,
    keep: &Path,
) -> Result<Loss> {
    voice.title("\nThe day that it is for.\n");
    voice.say(
        "The control plane is deployed into two stand-ins for AWS (MiniStack), one a Region, and one for the ledger: real \
         templates by the real CDK CLI, real functions, real state machines.",
    );
    let mut aws = deploy(clusters, &flow, interrupt, voice)?;
    let workers = EcsAgent::start(&aws.usw2, SERVICE, WORKERS, flow)?;
    voice.relief(&format!(
        "Deployed. {WORKERS} workers run beside usw2, as many as its ECS service says."
    ));
    let (source, target) = (&clusters.source, &clusters.target);
    let shop = LoggedProducer::start(source.client(), SALES, PARTITIONS)?;
    voice.say(
        "The shop writes sales to use1 and keeps its own log of what was acknowledged to it. Groups checkout (librdkafka) and \
         warehouse (Java) read them.",
    );
    calm(&aws, source, target, &shop, interrupt, voice)?;

    aws.usw2.hold_alarm(ALARM)?;
    source.link().cut()?;
    voice.alarm(
        "The way from usw2 to use1 fails first: what the shop still writes stays on use1 alone.",
    );
    interrupt.sleep(ALONE)?;
    for broker in source.brokers() {
        broker.kill()?;
    }
    voice.alarm("LOST use1: every broker (SIGKILL). Its own prober still sees that.");
    for _look in 0..LOOKS {
        aws.probe("use1", &aws.use1)?;
        interrupt.sleep(PROBE)?;
    }
    aws.use1.kill()?;
    voice.alarm("LOST use1's whole AWS as well. The prober in usw2, which shares no path with it, sees use1 fail too: alarm.");
    let lost = Instant::now();
    aws.probe("use1", &aws.usw2)?;
    aws.usw2.fire_alarm(ALARM)?;
    follow(&aws, lost, interrupt, voice)?;
    let mut loss = Loss::default();
    // All are started only now: two find their pointer, one has a person who was told.
    let moved = LoggedProducer::start_from(MOVED, target.client(), SALES, PARTITIONS)?;
    let warehouse = Warehouse::start(target, SALES)?;
    // Whether applications are at work is seen by their groups.
    let stop = AtomicBool::new(false);
    let (ended, read) = thread::scope(|scope| {
        let checkout = scope.spawn(|| target.stay_in_group(CHECKOUT, SALES, &stop));
        let ended = interrupt.wait_for("the recovery to end", LIMIT, || {
            aws.usw2.ended(FAILOVER, EXECUTION)
        });
        stop.store(true, Ordering::Relaxed);
        let panicked = |_| LabError::Usage("the checkout panicked".to_owned());
        Ok::<_, ChaosError>((ended?, checkout.join().map_err(panicked)??))
    })?;
    if ended.status != "SUCCEEDED" {
        let states = aws.usw2.states(FAILOVER, EXECUTION)?;
        return Err(
            LabError::Usage(format!("{EXECUTION} ended as {ended:?} after {states:?}")).into(),
        );
    }
    let heard = shop.stop();
    moved.stop();
    drop(workers);
    let (evidence, page) = aws.evidence(&aws.usw2, EXECUTION)?;
    loss.page = keep.join("evidence.html");
    std::fs::write(&loss.page, page).map_err(|source| LabError::Io {
        action: format!("write {}", loss.page.display()),
        source,
    })?;
    loss.count(target, &evidence, &heard)?;
    let sale = |(partition, key): &(i32, Vec<u8>)| {
        LoggedProducer::number(Some(key)).map(|number| (*partition, number))
    };
    let read: Vec<_> = read.iter().filter_map(sale).collect();
    for (group, read) in [(CHECKOUT, read), (WAREHOUSE, warehouse.read())] {
        loss.went_on(group, &heard, &read);
    }
    tell(&loss, voice);
    Ok(loss)
}

/// When the last application was told where to go, in milliseconds since 1970.
fn told_at(evidence: &Value) -> Option<u64> {
    let steps = evidence.get("steps")?.as_array()?.iter();
    let moving =
        steps.filter(|it| it.get("step").and_then(Value::as_str) == Some("reconfigure-clients"));
    moving
        .filter_map(|it| it.get("ended_at_ms")?.as_u64())
        .max()
}

/// Deploys, and shows that it takes its time.
fn deploy(
    clusters: &Clusters,
    flow: &FlowFile,
    interrupt: &Interrupt,
    voice: &mut Voice,
) -> Result<TwoRegions> {
    let (source, target) = (&clusters.source, &clusters.target);
    let folder = target.dir().join("aws");
    std::fs::create_dir_all(&folder).map_err(|source| LabError::Io {
        action: format!("create {}", folder.display()),
        source,
    })?;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let reverse = FlowFile::new(target, source)
        .topics([SALES])
        .groups([CHECKOUT, WAREHOUSE]);
    let flows = BTreeMap::from([
        ("use1-usw2.toml".to_owned(), flow.render(nowhere)?),
        ("usw2-use1.toml".to_owned(), reverse.render(nowhere)?),
    ]);
    let pair = pair(source, target);
    thread::scope(|scope| {
        let deploying = scope.spawn(|| TwoRegions::deploy(&folder, &pair, &flows));
        while !deploying.is_finished() {
            voice.progress("deploying");
            interrupt.sleep(LOOK)?;
        }
        let panicked = |_| LabError::Usage("the thread that deploys panicked".to_owned());
        Ok(deploying.join().map_err(panicked)??)
    })
}

fn pair(source: &Cluster, target: &Cluster) -> Value {
    let pointer = json!([{ "kind": "ssm-parameter", "parameter": POINTER }]);
    let told = json!([{ "kind": "notify", "text": "start the warehouse with the address of the active cluster" }]);
    let more = json!({
        "consent": { "max_lost_records": 1_000_000, "max_age_seconds": 3_600 },
        "applications": [
            { "name": CHECKOUT, "role": "consumer", "groups": [CHECKOUT], "adapters": pointer },
            { "name": WAREHOUSE, "role": "consumer", "groups": [WAREHOUSE], "adapters": told },
            { "name": "shop", "role": "producer", "topics": [SALES], "adapters": pointer },
        ],
        "notify": ["arn:aws:sns:us-west-2:000000000000:understudy-orders-people"],
    });
    deployed_pair(
        (source, target),
        ["use1-usw2.toml", "usw2-use1.toml"],
        WORKERS,
        more,
    )
}

/// Until the shop's records flow, the checkout's place is on the other side, and both probers have seen use1 well.
fn calm(
    aws: &TwoRegions,
    source: &Cluster,
    target: &Cluster,
    shop: &LoggedProducer,
    interrupt: &Interrupt,
    voice: &mut Voice,
) -> Result<()> {
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
    for _look in 0..LOOKS {
        aws.probe("use1", &aws.use1)?;
        aws.probe("use1", &aws.usw2)?;
        interrupt.sleep(PROBE)?;
    }
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

/// Tells each state as it is entered; returns how long it took until clients are pointed to the other side.
fn follow(aws: &TwoRegions, lost: Instant, interrupt: &Interrupt, voice: &mut Voice) -> Result<()> {
    let (mut told, mut is_pointed) = (0, false);
    while !is_pointed {
        if lost.elapsed() >= LIMIT {
            return Err(ChaosError::Stuck {
                what: "clients to be pointed to usw2".to_owned(),
                waited: lost.elapsed(),
                seen: format!("{:?}", aws.usw2.states(FAILOVER, EXECUTION)),
            });
        }
        // Looked at first, so that what led there has been entered.
        let pointer = aws.pointer(POINTER)?;
        is_pointed = pointer.get("active").and_then(Value::as_str) == Some("usw2");
        // Nothing is listed before it starts.
        let states = aws.usw2.states(FAILOVER, EXECUTION).unwrap_or_default();
        for state in states.iter().skip(told) {
            voice.say(&format!("  {:>6}  {state}", seconds(lost.elapsed())));
        }
        told = told.max(states.len());
        interrupt.sleep(LOOK)?;
    }
    voice.relief(&format!(
        "Clients may start on usw2, {} after use1's AWS was lost. Shop and checkout do, at the pointer that they follow; the \
         warehouse by hand, for it needs nothing but the other address.",
        seconds(lost.elapsed())
    ));
    Ok(())
}

impl Loss {
    fn count(&mut self, target: &Cluster, evidence: &Value, heard: &Heard) -> Result<()> {
        let number = |pointer: &str| evidence.pointer(pointer).and_then(Value::as_u64);
        let missing = |what: &str| LabError::Usage(format!("the evidence has no {what}"));
        let wanted_at = number("/started_at_ms").ok_or_else(|| missing("start"))?;
        self.alarm_to_clients_ms = told_at(evidence)
            .ok_or_else(|| missing("step that moved clients"))?
            .saturating_sub(wanted_at);
        self.at_least = number("/loss/records_at_least").ok_or_else(|| missing("loss"))?;
        self.at_most = number("/loss/records_at_most");
        self.unheard = heard.unheard;
        let cut = evidence
            .pointer("/cut/partitions")
            .and_then(Value::as_array)
            .ok_or_else(|| missing("cut"))?;
        let copies = target.read_all(SALES)?;
        let mut lost = heard.acknowledged.len() as u64;
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
            lost -= before.len() as u64;
            self.before_cut += before.len() as u64;
            self.before_cut_wrong += wrong(&before, &copied, heard.unheard);
        }
        self.lost = lost;
        Ok(())
    }

    /// Adds what a group read a second time, or will never read: it went on with these sales.
    fn went_on(&mut self, group: &str, heard: &Heard, read: &[(i32, u64)]) {
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
