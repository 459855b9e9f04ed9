//! Looks at everything that happened, write by write, and says which promise was broken at which moment. Knows nothing of
//! how steps keep them: it follows the records themselves.
//!
//! a. One active cluster at a time: epochs rise by one, one execution holds the pair, and the target becomes active only
//!    behind the seal; what a switchover left or a fence closed takes no write any more.
//! b. A sealed flow writes nothing; no flow copies a record twice, or out of order.
//! c. No group stands behind a record that it has not read, but for those that were put aside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use understudy_domain::TopicPartition;
use understudy_fakes::Happened;
use understudy_recovery::fence::FenceState;
use understudy_recovery::{Alias, Ledger, Mode};

type At = (String, TopicPartition);

/// What is known so far.
#[derive(Default)]
struct Witness {
    logs: BTreeMap<At, Vec<Option<u64>>>,
    /// Records that each cluster holds.
    holds: BTreeMap<String, BTreeSet<u64>>,
    /// Records that each group has read.
    read: BTreeMap<String, BTreeSet<u64>>,
    /// Up to where it is known that a group has read all of a partition.
    has_read: BTreeMap<(String, At), usize>,
    /// Records that were put aside, so that nobody skips them who reads on behind them.
    put_aside: BTreeSet<u64>,
    /// Records that were merged into topics of the active cluster: where they were written they lie a second time once
    /// they are copied home, and there nobody skips the first who reads on behind it.
    merged: BTreeSet<u64>,
    /// How often flows copied one of them to a cluster.
    merged_copies: BTreeMap<(String, u64), u32>,
    /// Where each record was written.
    written_at: BTreeMap<u64, String>,
    /// What each flow copied last.
    last_copied: BTreeMap<(String, At), u64>,
    /// Flows whose record says that they are sealed; and whether their workers were fenced since.
    sealed: BTreeMap<String, bool>,
    ledger: Option<Ledger>,
    /// The kind of recovery that made the active cluster active.
    left_by: Option<Mode>,
    broken: Vec<String>,
}

/// Every broken promise, in order.
pub fn broken(history: &[Arc<Happened>]) -> Vec<String> {
    let mut witness = Witness::default();
    for happened in history {
        witness.see(happened);
    }
    witness.broken
}

impl Witness {
    fn see(&mut self, happened: &Happened) {
        match happened {
            Happened::Ledger(ledger) => self.ledger(ledger),
            Happened::Sealed { flow, .. } => {
                self.sealed.insert(flow.clone(), false);
            }
            Happened::Begun { flow } => {
                self.sealed.insert(flow.clone(), true);
            }
            Happened::PutAside { records } => self.put_aside.extend(records),
            Happened::Merged {
                cluster,
                partition,
                record,
            } => self.merged(cluster, partition, *record),
            Happened::Fenced { flow } => {
                if let Some(fenced) = self.sealed.get_mut(flow) {
                    *fenced = true;
                }
            }
            Happened::Reopened { flow } => {
                self.sealed.remove(flow);
            }
            Happened::Wrote {
                cluster,
                partition,
                record,
            } => self.wrote(cluster, partition, *record),
            Happened::Copied {
                flow,
                cluster,
                partition,
                record,
            } => self.copied(flow, cluster, partition, *record),
            Happened::Placed {
                cluster,
                by_worker,
                group,
                partition,
                offset,
            } => {
                let by = if *by_worker { "a worker" } else { "a step" };
                let what = format!("{by} brought {group} to {offset} of {partition} on {cluster}");
                self.skips_nothing(cluster, group, partition, *offset, &what);
            }
            Happened::Read {
                group,
                cluster,
                partition,
                offset,
                record,
            } => {
                let what = format!("{group} read {offset} of {partition} on {cluster}");
                self.skips_nothing(cluster, group, partition, *offset, &what);
                let read = self.read.entry(group.clone()).or_default();
                read.extend(record);
            }
            Happened::Told {
                application,
                stop: false,
                active,
            } => {
                if self.active() != active {
                    self.broken.push(format!(
                        "{application} was told to use {active} while {} is active",
                        self.active()
                    ));
                }
            }
            Happened::Told { stop: true, .. }
            | Happened::Stored(_)
            | Happened::Workers { .. }
            | Happened::Acls { .. }
            | Happened::Notice(_)
            | Happened::Started(_)
            | Happened::Answered(_) => {}
        }
    }

    fn active(&self) -> &str {
        let active = self.ledger.as_ref().map(|it| it.active.as_str());
        active.unwrap_or("use1")
    }

    fn ledger(&mut self, next: &Ledger) {
        let mut wrong = Vec::new();
        let (mut epoch, mut version) = (0, 0);
        let mut active = self.active().to_owned();
        if let Some(before) = &self.ledger {
            (epoch, version) = (before.epoch.get(), before.version);
            active = before.active.to_string();
            let other = |(one, two): (_, _)| one != two;
            let holders = before.running().zip(next.running());
            let holders = holders.map(|(one, two)| (&one.execution, &two.execution));
            if holders.is_some_and(other) && before.epoch == next.epoch {
                wrong.push("another execution holds the same epoch".to_owned());
            }
        }
        if next.version != version + 1 || !(epoch..=epoch + 1).contains(&next.epoch.get()) {
            wrong.push(format!(
                "the ledger jumped from version {version}, e{epoch}"
            ));
        }
        if next.active.as_str() != active {
            self.left_by = next.running().map(|it| it.mode);
            if !next.running().is_some_and(|it| it.sealed) {
                wrong.push(format!("{} became active before the seal", next.active));
            }
            let flow = if next.active.as_str() == "usw2" {
                "forward.toml"
            } else {
                "reverse.toml"
            };
            if self.sealed.get(flow) != Some(&true) {
                wrong.push(format!(
                    "{} became active while {flow} may write",
                    next.active
                ));
            }
            if matches!(self.left_by, Some(Mode::Switchover | Mode::Failback)) {
                for record in self.missing(&active, next.active.as_str()) {
                    wrong.push(format!("a planned recovery lost record {record}"));
                }
            }
        }
        self.broken.extend(wrong);
        self.ledger = Some(next.clone());
    }

    /// Records of one cluster that the other does not hold, but for those that were put aside.
    fn missing(&self, here: &str, there: &str) -> Vec<u64> {
        let none = BTreeSet::new();
        let of = |cluster: &str| self.holds.get(cluster).unwrap_or(&none);
        let missing = of(here).difference(of(there));
        let missing = missing.filter(|it| !self.put_aside.contains(it));
        missing.copied().collect()
    }

    fn wrote(&mut self, cluster: &str, partition: &TopicPartition, record: u64) {
        self.append(cluster, partition, Some(record));
        self.written_at.insert(record, cluster.to_owned());
        let Some(ledger) = &self.ledger else {
            if cluster != "use1" {
                let what = format!("{cluster} took record {record} before any recovery");
                self.broken.push(what);
            }
            return;
        };
        let fence = Alias::new(cluster).ok();
        let fence = fence.and_then(|alias| ledger.fences.get(&alias));
        if fence.is_some_and(|it| it.state == FenceState::Proven) {
            self.broken.push(format!(
                "{cluster} took record {record} behind a proven fence"
            ));
        } else if cluster != ledger.active.as_str() {
            let opening = ledger
                .running()
                .is_some_and(|it| it.sealed && it.target.as_str() == cluster);
            // What a failover leaves may be alive, and is fenced when it is reached.
            let left = self.left_by == Some(Mode::Failover);
            if !opening && !left {
                let active = &ledger.active;
                let what = format!("{cluster} took record {record} while {active} is active");
                self.broken.push(what);
            }
        }
    }

    fn merged(&mut self, cluster: &str, partition: &TopicPartition, record: u64) {
        let holds = |held: &BTreeSet<u64>| held.contains(&record);
        if self.holds.get(cluster).is_some_and(holds) {
            let what = format!("record {record} was merged into {cluster}, which holds it");
            self.broken.push(what);
        }
        if self.active() != cluster {
            let what = format!("record {record} was merged into {cluster}, which is not active");
            self.broken.push(what);
        }
        self.merged.insert(record);
        self.append(cluster, partition, Some(record));
    }

    fn copied(&mut self, flow: &str, cluster: &str, partition: &TopicPartition, it: Option<u64>) {
        if self.sealed.get(flow) == Some(&true) {
            let what = format!("{flow} is sealed, and copied {it:?} to {cluster}");
            self.broken.push(what);
        }
        if let Some(merged) = it.filter(|it| self.merged.contains(it)) {
            self.append(cluster, partition, it);
            let copies = self.merged_copies.entry((cluster.to_owned(), merged));
            let copies = copies.or_default();
            *copies += 1;
            if *copies > 1 {
                let what = format!("{flow} copied merged record {merged} to {cluster} twice");
                self.broken.push(what);
            }
            return;
        }
        let own = (flow.to_owned(), (cluster.to_owned(), partition.clone()));
        let last = self.last_copied.get(&own).copied();
        if let Some(it) = it {
            self.last_copied.insert(own, it);
        }
        let held = self.holds.get(cluster);
        let again = it.is_some_and(|it| held.is_some_and(|held| held.contains(&it)));
        self.append(cluster, partition, it);
        if again {
            self.broken
                .push(format!("{flow} copied record {it:?} to {cluster} twice"));
        } else if last.zip(it).is_some_and(|(last, it)| it < last) {
            self.broken
                .push(format!("{flow} copied record {it:?} behind {last:?}"));
        }
    }

    fn skips_nothing(
        &mut self,
        cluster: &str,
        group: &str,
        partition: &TopicPartition,
        offset: i64,
        what: &str,
    ) {
        let before = usize::try_from(offset).unwrap_or(0);
        let at = (cluster.to_owned(), partition.clone());
        let log = self.logs.get(&at).map(Vec::as_slice).unwrap_or_default();
        let none = BTreeSet::new();
        let read = self.read.get(group).unwrap_or(&none);
        let known = self.has_read.entry((group.to_owned(), at)).or_default();
        let behind = log.iter().enumerate().take(before).skip(*known);
        let comes_again = |at: usize, record: &u64| {
            self.merged.contains(record)
                && self.written_at.get(record).is_some_and(|it| it == cluster)
                && log.iter().position(|it| *it == Some(*record)) == Some(at)
        };
        let is_known = |at: usize, record: &u64| {
            read.contains(record) || self.put_aside.contains(record) || comes_again(at, record)
        };
        let mut records = behind.filter_map(|(at, record)| Some((at, (*record)?)));
        let skipped = records.find(|(at, record)| !is_known(*at, record));
        if let Some((_, record)) = skipped {
            self.broken
                .push(format!("{what}, and it has not read record {record}"));
        } else if before > log.len() {
            self.broken.push(format!("{what}, beyond its end"));
        } else {
            *known = before.max(*known);
        }
    }

    fn append(&mut self, cluster: &str, partition: &TopicPartition, entry: Option<u64>) {
        let at = (cluster.to_owned(), partition.clone());
        self.logs.entry(at).or_default().push(entry);
        let held = self.holds.entry(cluster.to_owned()).or_default();
        held.extend(entry);
    }
}
