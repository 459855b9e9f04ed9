//! What the demo has proved, as a table and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::groups::Standing;
use crate::home::Home;
use crate::loss::Loss;
use crate::voice::{grouped, seconds};

/// Above this load per core, times mean little.
const BUSY: f64 = 3.0;

/// The result.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Committed records on the source.
    pub produced: u64,
    /// Committed records on the target.
    pub copied: u64,
    /// On the source only.
    pub lost: u64,
    /// On the target twice.
    pub doubled: u64,
    /// Not in the source's order.
    pub out_of_order: u64,
    /// Key, value, headers or timestamp differ.
    pub altered: u64,
    /// On the target only.
    pub foreign: u64,
    /// Acknowledged to the producers as committed; must be what was produced.
    pub acknowledged: u64,
    /// Of aborted transactions on the source; never copied.
    pub aborted_on_source: u64,
    /// Visible to `read_uncommitted` readers of the target only.
    pub aborted_copies: u64,
    /// Producer's timestamp to the reader on the target, undisturbed.
    pub lag_p50_ms: u64,
    /// The same, 99 % of the records.
    pub lag_p99_ms: u64,
    /// The oldest record while something was dead.
    pub lag_worst_ms: u64,
    /// From a worker's SIGKILL until every partition of its slots flowed again.
    pub worker_take_over_ms: u64,
    /// From a broker's SIGKILL until every partition flowed again.
    pub broker_take_over_ms: u64,
    /// Whether `understudy verify --deep` holds.
    pub verify_holds: bool,
    /// How many records it compared.
    pub verify_compared: u64,
    /// Where groups would go on reading on the target.
    pub groups: Vec<Standing>,
    /// What came of the loss of the Region; nothing if that was left out.
    pub loss: Option<Loss>,
    /// What came of the way home; nothing if that was left out.
    pub home: Option<Home>,
    /// The whole run.
    pub duration_ms: u64,
    /// How many threads wanted each core during the last minute; where it is high, times are too.
    pub load_per_core: Option<f64>,
    /// Whatever else is wrong.
    pub complaints: Vec<String>,
}

impl Report {
    /// Whether everything is as promised.
    pub fn holds(&self) -> bool {
        let wrong = self.lost + self.doubled + self.out_of_order + self.altered + self.foreign;
        wrong == 0
            && self.produced > 0
            && self.produced == self.copied
            && self.produced == self.acknowledged
            && self.verify_holds
            && !self.groups.is_empty()
            && self
                .groups
                .iter()
                .all(|group| group.re_read + group.skipped == 0)
            && self.loss.as_ref().is_none_or(Loss::holds)
            && self.home.as_ref().is_none_or(Home::holds)
            && self.complaints.is_empty()
    }

    fn lines(&self) -> Vec<(String, String, &'static str)> {
        let line = |what: &str, value: String, note| (what.to_owned(), value, note);
        let time = |ms| seconds(Duration::from_millis(ms));
        let verify = match self.verify_holds {
            true => format!("{} equal", grouped(self.verify_compared)),
            false => "DOES NOT HOLD".to_owned(),
        };
        let mut lines = vec![
            line(
                "produced on use1",
                grouped(self.produced),
                "committed records, as the judge read them there",
            ),
            line(
                "copied to usw2",
                grouped(self.copied),
                "as a read_committed reader sees them",
            ),
            line("lost", grouped(self.lost), ""),
            line("doubled", grouped(self.doubled), ""),
            line(
                "out of order",
                grouped(self.out_of_order),
                "within a partition",
            ),
            line(
                "altered",
                grouped(self.altered),
                "key, value, headers or timestamp",
            ),
            line(
                "foreign",
                grouped(self.foreign),
                "on usw2, but never on use1",
            ),
            line(
                "aborted on use1",
                grouped(self.aborted_on_source),
                "not copied, as it should be",
            ),
            line(
                "aborted copies",
                grouped(self.aborted_copies),
                "of killed transactions; read_uncommitted readers only",
            ),
            line(
                "verify --deep",
                verify,
                "the product's own check, record by record",
            ),
            line(
                "lag p50 / p99",
                format!("{} / {} ms", self.lag_p50_ms, self.lag_p99_ms),
                "producer to reader on usw2, nothing being dead",
            ),
            line(
                "lag, worst",
                time(self.lag_worst_ms),
                "while something was dead",
            ),
            line(
                "take-over, worker",
                time(self.worker_take_over_ms),
                "SIGKILL until all its partitions flowed again",
            ),
            line(
                "take-over, broker",
                time(self.broker_take_over_ms),
                "SIGKILL until all partitions flowed again",
            ),
        ];
        if let Some(loss) = &self.loss {
            let most = loss.at_most.map_or_else(|| "?".to_owned(), grouped);
            lines.extend([
                line(
                    "decided",
                    time(loss.alarm_to_decision_ms),
                    "alarm until the failover was decided",
                ),
                line(
                    "Region lost",
                    time(loss.alarm_to_clients_ms),
                    "alarm until clients may start on usw2",
                ),
                line(
                    "lost with it",
                    grouped(loss.lost),
                    "acknowledged sales, by the shop's own log",
                ),
                line(
                    "said to be lost",
                    format!("{} to {most}", grouped(loss.at_least)),
                    "records, by the evidence of the recovery",
                ),
                line(
                    "before the cut",
                    grouped(loss.before_cut),
                    "sales, each on usw2 once and in order",
                ),
            ]);
        }
        if let Some(home) = &self.home {
            let standby = &home.standby;
            let (mut re_read, mut skipped) = (0, 0);
            for went in home.groups.values() {
                re_read += went.re_read;
                skipped += went.skipped;
            }
            lines.extend([
                line(
                    "failback",
                    time(home.failback_ms),
                    "command until all were at work at home again",
                ),
                line(
                    "nobody could write",
                    time(home.pause_ms),
                    "of these, from the fence until clients may start",
                ),
                line(
                    "sales acknowledged",
                    grouped(standby.acknowledged),
                    "by the shop's own logs, on both sides, in all its lives",
                ),
                line(
                    "  in the topic",
                    grouped(standby.in_topic),
                    "on usw2, in order",
                ),
                line(
                    "  put aside",
                    grouped(standby.in_tail),
                    "what use1 alone had acknowledged, in a topic of its own",
                ),
                line("  in neither", grouped(standby.missing), ""),
                line("  in both, or twice", grouped(standby.twice), ""),
                line(
                    "back at home",
                    grouped(home.home.in_topic),
                    "of these sales, each once and in order",
                ),
                line(
                    "groups at home",
                    format!("{re_read} / {skipped}"),
                    "read again / skipped, three groups",
                ),
                line(
                    "re-armed",
                    grouped(home.rearmed),
                    "sales written at home since, on usw2 again",
                ),
            ]);
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "-".repeat(90);
        writeln!(f, "\n{rule}")?;
        for (what, value, note) in self.lines() {
            writeln!(
                f,
                "{}",
                format!("{what:<18}  {value:>14}   {note}").trim_end()
            )?;
        }
        for found in &self.groups {
            let Standing {
                group,
                behind,
                re_read,
                skipped,
                re_read_mm2,
                skipped_mm2,
            } = found;
            let mm2 = match (re_read_mm2, skipped_mm2.unwrap_or_default()) {
                (None, _) => String::new(),
                (Some(again), 0) => format!("; MirrorMaker 2 re-reads {}", grouped(*again)),
                (Some(again), skipped) => format!(
                    "; MirrorMaker 2 re-reads {} and skips {}",
                    grouped(*again),
                    grouped(skipped)
                ),
            };
            writeln!(
                f,
                "{:<18}  {:>14}   group {} behind, skipped {}{mm2}",
                format!("re-read, {group}"),
                grouped(*re_read),
                grouped(*behind),
                grouped(*skipped)
            )?;
        }
        writeln!(f, "{rule}")?;
        if let Some(load) = self.load_per_core.filter(|load| *load > BUSY) {
            writeln!(
                f,
                "Both clusters, workers and applications share this machine, and {load:.0} threads wanted each core: \
                 the times say more of it than of the product."
            )?;
        }
        for page in [
            self.loss.as_ref().map(|it| &it.page),
            self.home.as_ref().map(|it| &it.page),
        ]
        .into_iter()
        .flatten()
        {
            writeln!(f, "evidence  {}", page.display())?;
        }
        for complaint in &self.complaints {
            writeln!(f, "WRONG: {complaint}")?;
        }
        let time = seconds(Duration::from_millis(self.duration_ms));
        match self.holds() {
            true => write!(
                f,
                "Exactly once, in {time}: every record is there, once, in order, byte for byte."
            ),
            false => write!(
                f,
                "NOT EXACT. Please report this; run again with UNDERSTUDY_KEEP=1 to keep all logs and data."
            ),
        }
    }
}
