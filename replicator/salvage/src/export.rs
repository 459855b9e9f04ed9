//! `understudy salvage FLOW.toml export`: puts the tail aside, in topics of its own on the active cluster.
//!
//! Why a crash loses and doubles nothing:
//! a. *One exporter.* `init_transactions` under the flow's salvage id: whoever held it can write nothing any more, and
//!    its open transaction has ended.
//! b. *Progress next*, committed records only, to the high watermark. Nobody else writes it.
//! c. *One transaction* holds the copies and the progress behind them: the next offset to be read, how many records
//!    were put aside, and what they come to.
//! d. *Any doubt ends the run.* After an error the outcome of a commit may be unknown; the next run begins at (a).
//! e. *Said last.* That it holds is said only after everything was read back and came to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use understudy_domain::tail::{
    Loss, Missing, NO_TIMESTAMP, Tail, TailDigest, TailKey, TailOrigin, TailProgress, TailRecord,
    tail_topic,
};
use understudy_domain::{
    CLEANUP_POLICY, CREATE_TIME, SourceOffset, TIMESTAMP_TYPE, TopicPartition,
};
use understudy_kafka::Fault;
use understudy_kafka::ffi::reader::{Index, Record};
use understudy_kafka::ffi::writer::Writer;

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};
use crate::look::{Found, look, moved};
use crate::read_back::read_back;
use crate::survey::lost;
use understudy_flow::config::Flow;
use understudy_flow::replication::Replicas;
use understudy_flow::report::Report;
use understudy_flow::state_topics;
use understudy_flow::stored_state::read_salvage;
use understudy_flow::throttle::Throttle;
use understudy_flow::words;
use understudy_kafka::log_range::LogRange;

/// Time limit of a take-over: the brokers may first have to end the predecessor's transaction.
const TAKE_OVER_WITHIN: Duration = Duration::from_secs(20);
/// Time limit of flush and commit. Beyond it the brokers end the transaction by themselves.
const COMMIT_WITHIN: Duration = Duration::from_secs(15);
/// Time limit of an abort; the brokers do it themselves if we cannot.
const ABORT_WITHIN: Duration = Duration::from_secs(3);
/// What may wait for the target's acknowledgement.
const BYTES_IN_FLIGHT_MAX: usize = 4 * 1024 * 1024;
/// How much goes into one transaction.
const BYTES_MAX: u64 = 1024 * 1024;
const RECORDS_MAX: u64 = 2_000;
/// How long a transaction stays open while the source is slow.
const OPEN_MAX: Duration = Duration::from_secs(2);
/// Kafka's default of `max.message.bytes`.
const MESSAGE_BYTES: i64 = 1_048_588;

/// What was put aside.
#[derive(Serialize)]
pub struct Export {
    flow: String,
    /// The epoch at which the flow was sealed.
    epoch: u64,
    source: String,
    target: String,
    /// Everything that the source holds beyond the cut is put aside, and was read back.
    holds: bool,
    /// Records that are put aside, by this run and those before.
    records: u64,
    /// By this run.
    records_now: u64,
    partitions: Vec<Line>,
}

/// One partition.
#[derive(Serialize)]
struct Line {
    topic: String,
    partition: i32,
    /// The topic of the target that takes it, if there is anything.
    tail_topic: Option<String>,
    /// Where the tail begins on the source.
    begins: i64,
    /// The first source offset that is not put aside.
    source_offset: i64,
    /// Where readers of committed records end on the source.
    end: Option<i64>,
    records: u64,
    records_now: u64,
    /// What the records come to.
    digest: Option<TailDigest>,
    /// What the source deleted before it could be read.
    missing: Vec<Missing>,
    /// Offsets behind the end that open transactions hold back.
    held_back_offsets: u64,
    /// Its end moved meanwhile.
    moved: bool,
    /// What the cluster lost.
    loss: Option<Loss>,
    /// Why it does not hold.
    faults: Vec<String>,
    /// The file that holds the same records.
    file: Option<String>,
}

/// Puts aside what the cluster that came back holds beyond the cut, of these topics or of all; with a folder, writes it
/// to files as well.
///
/// # Errors
/// The flow is not sealed, a cluster does not answer, or the target does not take it.
pub fn export(
    flow: &Flow,
    topics: &[String],
    folder: Option<&Path>,
) -> Result<Export, SalvageError> {
    let mut ground = Ground::open(flow)?;
    if !ground.is_own_source() {
        return Err(SalvageError::OtherCluster {
            source_alias: flow.source.alias.clone(),
            expected: ground.record.source_cluster_id.clone(),
            found: ground.source_id.clone(),
        });
    }
    ground.keep(topics)?;
    let found = look(&ground)?;
    let mut stored = ground.put_aside()?;
    let before = stored.clone();
    if ground.cut.keys().any(|name| {
        let key = ground.tail_key(name);
        is_left(&found, name, stored.get(&key)).is_some()
    }) {
        let mut exporter = Exporter::take_over(&ground)?;
        stored = read_salvage(&ground.target, &flow.state)?;
        ground.still_stands()?;
        if let Err(error) = exporter.put_all_aside(&found, &mut stored) {
            // The brokers do it themselves in a while; until then readers wait.
            let _aborted = exporter.writer.abort(ABORT_WITHIN);
            return Err(error);
        }
    }
    let mut lines = Vec::new();
    for (name, position) in &ground.cut {
        let key = ground.tail_key(name);
        let (progress, known) = (stored.get(&key), before.get(&key));
        let cut = position.as_ref().map(|position| position.source_offset);
        let mut line = Line::of(name, cut, &found, progress, known);
        if let Some(progress) = progress {
            let back = read_back(&ground, name, progress, folder)?;
            line.faults.extend(back.faults);
            line.file = back.file.map(|file| file.display().to_string());
        }
        lines.push(line);
    }
    for name in moved(&ground, &found.tails)? {
        let mut own = lines.iter_mut();
        let line = own.find(|it| it.topic == *name.topic && it.partition == name.partition);
        if let Some(line) = line {
            line.moved = true;
        }
    }
    ground.still_stands()?;
    Ok(Export {
        flow: flow.name.to_string(),
        epoch: ground.record.epoch,
        source: flow.source.alias.clone(),
        target: flow.target.alias.clone(),
        holds: lines.iter().all(Line::holds),
        records: lines.iter().map(|line| line.records).sum(),
        records_now: lines.iter().map(|line| line.records_now).sum(),
        partitions: lines,
    })
}

/// The tail of a partition of which something is left to be read, with what stands of it.
fn is_left<'f>(
    found: &'f Found,
    name: &TopicPartition,
    stored: Option<&TailProgress>,
) -> Option<&'f Tail> {
    let tail = found.tails.get(name)?.as_ref().ok()?;
    let from = stored.map_or(tail.first, |progress| progress.source_offset);
    let is_same = stored.is_none_or(|progress| progress.is_of(found.topic_id(name)));
    (from < tail.end && is_same).then_some(tail)
}

/// Writes under the flow's salvage id.
struct Exporter<'a> {
    ground: &'a Ground<'a>,
    writer: Writer,
    throttle: Throttle,
    /// Progress behind the copies of the open transaction.
    pending: BTreeMap<TailKey, TailProgress>,
    /// What the open transaction holds, and since when.
    bytes: u64,
    records: u64,
    opened: Option<Instant>,
}

impl<'a> Exporter<'a> {
    /// Fences whoever exported before.
    fn take_over(ground: &'a Ground<'a>) -> Result<Self, SalvageError> {
        let flow = ground.flow;
        let own = flow.state.salvage();
        state_topics::make_salvage(flow, &ground.target)
            .map_err(|fault| SalvageError::unfinished(flow, &own, fault))?;
        let config = flow.target.writer(&flow.state.salvage_transactional_id());
        let writer = Writer::new(&config, flow.target.watch.clone(), BYTES_IN_FLIGHT_MAX)
            .and_then(|mut writer| writer.init(TAKE_OVER_WITHIN).map(|()| writer))
            .map_err(|fault| SalvageError::unfinished(flow, &own, fault))?;
        Ok(Self {
            ground,
            writer,
            throttle: Throttle::new(flow.max_bytes_per_second),
            pending: BTreeMap::new(),
            bytes: 0,
            records: 0,
            opened: None,
        })
    }

    /// Puts aside what is left, topic by topic.
    fn put_all_aside(
        &mut self,
        found: &Found,
        stored: &mut BTreeMap<TailKey, TailProgress>,
    ) -> Result<(), SalvageError> {
        let ground = self.ground;
        let topics: BTreeSet<String> = ground.topics().into_iter().map(str::to_owned).collect();
        let mut numbers = 0..;
        for topic in topics {
            let own = ground.cut.keys().filter(|name| *name.topic == *topic);
            let left: Vec<(&TopicPartition, &Tail)> = own
                .filter_map(|name| {
                    let progress = stored.get(&ground.tail_key(name));
                    Some((name, is_left(found, name, progress)?))
                })
                .collect();
            let Some((first, _)) = left.first() else {
                continue;
            };
            let taker = tail_topic(&ground.flow.target_of(first).topic, ground.record.epoch);
            let fail = |fault| SalvageError::unfinished(ground.flow, &taker, fault);
            make(ground, &topic, &taker).map_err(fail)?;
            for (name, tail) in left {
                let key = ground.tail_key(name);
                let progress = stored.remove(&key).unwrap_or_else(|| {
                    let id = found.topic_id(name).map(str::to_owned);
                    TailProgress::new(taker.clone(), id, tail.begins)
                });
                let number = Index(numbers.next().unwrap_or(u32::MAX));
                let progress = self.put_aside(number, name, tail, progress)?;
                stored.insert(key, progress);
            }
            self.commit().map_err(fail)?;
        }
        Ok(())
    }

    /// Puts aside what is left of one partition; what it comes to once the open transaction is committed.
    fn put_aside(
        &mut self,
        number: Index,
        name: &TopicPartition,
        tail: &Tail,
        mut progress: TailProgress,
    ) -> Result<TailProgress, SalvageError> {
        let flow = self.ground.flow;
        let key = self.ground.tail_key(name);
        let taker = progress.tail_topic.clone();
        let fail = |fault| SalvageError::unfinished(flow, &taker, fault);
        let place = TopicPartition::new(taker.as_str(), name.partition);
        self.writer.aim(number, name, &place).map_err(fail)?;
        progress.meet_start(tail.first);
        let from = progress.source_offset.get();
        let config = flow.source.reader_to_end();
        let at_source = |fault: Fault| SalvageError::source(flow, &fault);
        let mut range =
            LogRange::open(config, &flow.source, name, from, tail.end.get()).map_err(at_source)?;
        while let Some(record) = range.next_record().map_err(at_source)? {
            self.add(number, name, record, &mut progress)
                .map_err(fail)?;
            if self.is_full() {
                self.pending.insert(key.clone(), progress.clone());
                self.commit().map_err(fail)?;
            }
        }
        progress.pass(tail.end);
        self.pending.insert(key, progress.clone());
        Ok(progress)
    }

    /// Adds one record to the transaction, opening one if none is.
    fn add(
        &mut self,
        number: Index,
        name: &TopicPartition,
        record: Record,
        progress: &mut TailProgress,
    ) -> Result<(), Fault> {
        let offset = SourceOffset::new(record.offset());
        let timestamp_ms = record.timestamp_ms().unwrap_or(NO_TIMESTAMP);
        progress.add(&TailRecord {
            offset,
            timestamp_ms,
            key: record.key(),
            value: record.payload(),
            headers: &record.headers(),
        });
        let origin = TailOrigin {
            partition: name.clone(),
            offset,
            timestamp_ms,
        };
        self.writer.begin()?;
        self.opened.get_or_insert_with(Instant::now);
        self.bytes += record.weight() as u64;
        self.records += 1;
        self.writer.forward_noted(number, record, &origin.headers())
    }

    fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
            || self.records >= RECORDS_MAX
            || self.opened.is_some_and(|at| at.elapsed() >= OPEN_MAX)
            || self.throttle.is_turn_over(self.bytes, 1.0, 1)
    }

    /// Commits copies and the progress behind them, and pays for their bytes.
    fn commit(&mut self) -> Result<(), Fault> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let place = TopicPartition::new(self.ground.flow.state.salvage(), 0);
        self.writer.begin()?;
        for (key, progress) in std::mem::take(&mut self.pending) {
            let (key, value) = (key.encode(), progress.encode());
            self.writer.put(0, &place, &key, Some(&value))?;
        }
        self.writer.flush(COMMIT_WITHIN)?;
        self.writer.commit(COMMIT_WITHIN)?;
        let bytes = std::mem::take(&mut self.bytes);
        (self.records, self.opened) = (0, None);
        std::thread::sleep(self.throttle.spend(bytes, 1.0, Instant::now()));
        Ok(())
    }
}

/// Makes the topic that takes the tail of `topic`, or adds the partitions that it lacks. Nothing in it goes by itself.
fn make(ground: &Ground<'_>, topic: &str, taker: &str) -> Result<(), Fault> {
    let target = &ground.target;
    let own = ground.cut.keys().filter(|name| *name.topic == *topic);
    let partitions = own.map(|name| name.partition).max().unwrap_or_default() + 1;
    match target.topic(taker, WITHIN)? {
        Some(known) if known.partitions >= partitions => {}
        Some(_) => target.grow_topic(taker, partitions, WITHIN)?,
        None => {
            let replicas = Replicas::on(target, ground.flow.replication_factor)?;
            let bytes = message_bytes(ground, topic).to_string();
            let configs = [
                (CLEANUP_POLICY, "delete"),
                ("retention.ms", "-1"),
                ("retention.bytes", "-1"),
                (TIMESTAMP_TYPE, CREATE_TIME),
                ("max.message.bytes", &bytes),
            ];
            replicas.create_own(target, taker, partitions, &configs)?;
        }
    }
    state_topics::wait_led(target, taker, partitions)
}

/// How large a batch of the tail may be: records get headers, and may be compressed otherwise than on the source.
fn message_bytes(ground: &Ground<'_>, topic: &str) -> i64 {
    let told = ground
        .source
        .topic_config(topic, "max.message.bytes", WITHIN);
    let told = told
        .ok()
        .flatten()
        .and_then(|bytes| bytes.parse::<i64>().ok());
    let bytes = told.unwrap_or(MESSAGE_BYTES).max(MESSAGE_BYTES);
    bytes.saturating_mul(2).min(i64::from(i32::MAX))
}

impl Line {
    fn of(
        name: &TopicPartition,
        cut: Option<SourceOffset>,
        found: &Found,
        progress: Option<&TailProgress>,
        before: Option<&TailProgress>,
    ) -> Self {
        let tail = found.tails.get(name).and_then(|tail| tail.as_ref().ok());
        let cut = cut.or(tail.map(|tail| tail.begins)).unwrap_or_default();
        let mut line = Self {
            topic: name.topic.to_string(),
            partition: name.partition,
            tail_topic: progress.map(|it| it.tail_topic.clone()),
            begins: progress.map_or(cut, |it| it.begins_at).get(),
            source_offset: progress.map_or(cut, |it| it.source_offset).get(),
            end: None,
            records: progress.map_or(0, |it| it.records),
            records_now: 0,
            digest: progress.map(|it| it.digest),
            missing: progress.map(|it| it.missing.clone()).unwrap_or_default(),
            held_back_offsets: 0,
            moved: false,
            loss: None,
            faults: Vec::new(),
            file: None,
        };
        let known = before.map_or(0, |it| it.records);
        line.records_now = line.records.saturating_sub(known);
        match found.tails.get(name) {
            Some(Ok(tail)) => {
                line.end = (!tail.is_gone()).then(|| tail.end.get());
                line.held_back_offsets = tail.held_back;
                line.loss.clone_from(&tail.loss);
                if progress.is_none() && tail.first > tail.begins {
                    line.missing.push(Missing {
                        start: tail.begins,
                        end: tail.first,
                    });
                }
                if let Some(progress) = progress
                    && !progress.is_of(found.topic_id(name))
                {
                    line.faults.push(format!(
                        "the topic was made again on the source since; what it holds now is not mixed with what {} holds",
                        progress.tail_topic
                    ));
                }
            }
            Some(Err(reason)) => line.faults.push(format!("not known: {reason}")),
            None => line.faults.push("it was not looked at".to_owned()),
        }
        line
    }

    /// Whether all of it is put aside, and was read back.
    fn holds(&self) -> bool {
        self.faults.is_empty()
            && self.missing.is_empty()
            && self.held_back_offsets == 0
            && !self.moved
    }

    /// What of it is not put aside and could be; not what the source had deleted before.
    fn unsettled(&self) -> Option<String> {
        let name = format!("{}-{}", self.topic, self.partition);
        if let Some(fault) = self.faults.first() {
            return Some(format!("{name}: {fault}"));
        }
        if self.held_back_offsets > 0 {
            return Some(format!("{name}: an open transaction holds records back"));
        }
        let moved = || format!("{name}: somebody wrote to it meanwhile");
        self.moved.then(moved)
    }

    /// What else is to be said of it.
    fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> = Vec::new();
        let deleted = |loss: &&Loss| !matches!(loss, Loss::Deleted { .. });
        let cut = self.begins;
        notes.extend(
            self.loss
                .as_ref()
                .filter(deleted)
                .map(|loss| lost(loss, cut)),
        );
        notes.extend(self.missing.iter().map(|range| {
            format!(
                "MISSING: the source deleted offsets {} to {} before they could be read",
                range.start,
                range.end.get().saturating_sub(1)
            )
        }));
        notes.extend(
            self.faults
                .iter()
                .map(|fault| format!("DOES NOT HOLD: {fault}")),
        );
        if self.held_back_offsets > 0 {
            notes.push(format!(
                "{} more offsets are held back by an open transaction on the source: run it again once that has ended",
                words::count(self.held_back_offsets)
            ));
        }
        if self.moved {
            notes.push(
                "its end moved while this ran: fence the source's writers, and run it again"
                    .to_owned(),
            );
        }
        notes.extend(self.file.as_ref().map(|file| format!("also in {file}")));
        notes
    }
}

impl Export {
    /// How many records are put aside, once everything is that the source still holds.
    ///
    /// # Errors
    /// What is not, in words, partition by partition.
    pub fn settled(&self) -> Result<u64, Vec<String>> {
        let unsettled: Vec<String> = self.partitions.iter().filter_map(Line::unsettled).collect();
        if unsettled.is_empty() {
            Ok(self.records)
        } else {
            Err(unsettled)
        }
    }
}

impl Report for Export {
    fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "flow {}, sealed at e{}: what {} holds beyond the cut is put aside on {}\n",
            self.flow, self.epoch, self.source, self.target
        )?;
        let shown = || {
            let lines = self.partitions.iter();
            lines.filter(|line| line.tail_topic.is_some() || !line.notes().is_empty())
        };
        let wide = shown().map(|line| line.topic.chars().count()).max();
        let wide = wide.unwrap_or_default().max("topic".len());
        if shown().next().is_some() {
            writeln!(
                f,
                "{:wide$}  partition          from         up to      records   of this run  topic",
                "topic"
            )?;
        }
        for line in shown() {
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>12}  {:>12}  {:>11}  {:>12}  {}",
                line.topic,
                line.partition,
                line.begins,
                line.source_offset,
                words::count(line.records),
                words::count(line.records_now),
                line.tail_topic.as_deref().unwrap_or("-"),
            )?;
            for note in line.notes() {
                writeln!(f, "    {note}")?;
            }
        }
        let records = words::counted(self.records, "record");
        let now = words::count(self.records_now);
        if self.holds {
            writeln!(
                f,
                "\nit holds: {records} put aside, {now} of them by this run; all were read back and came to the same"
            )
        } else {
            writeln!(
                f,
                "\nIT DOES NOT HOLD: {records} put aside, {now} of them by this run; see above for what is not"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(tail: Tail) -> Found {
        let name = TopicPartition::new("orders", 3);
        Found {
            tails: BTreeMap::from([(name, Ok(tail))]),
            topic_ids: BTreeMap::from([("orders".to_owned(), "id".to_owned())]),
        }
    }

    fn tail(first: i64, end: i64) -> Tail {
        let at = SourceOffset::new;
        Tail {
            begins: at(100),
            first: at(first),
            end: at(end),
            held_back: 0,
            loss: (first > 100).then(|| Loss::Deleted { until: at(first) }),
        }
    }

    fn progress(up_to: i64) -> TailProgress {
        let at = SourceOffset::new;
        let mut progress =
            TailProgress::new("orders.tail.e7".to_owned(), Some("id".to_owned()), at(100));
        progress.pass(at(up_to));
        progress
    }

    #[test]
    fn what_is_put_aside_is_not_read_again() {
        let name = TopicPartition::new("orders", 3);
        let found = found(tail(100, 130));
        let is_left = |stored: Option<&TailProgress>| is_left(&found, &name, stored).is_some();
        assert!(is_left(None));
        assert!(is_left(Some(&progress(120))));
        assert!(!is_left(Some(&progress(130))));
        let mut of_another = progress(120);
        of_another.source_topic_id = Some("other".to_owned());
        assert!(!is_left(Some(&of_another)), "two topics are not mixed");
        let cut = Some(SourceOffset::new(100));
        let line = Line::of(&name, cut, &found, Some(&of_another), None);
        assert!(!line.holds() && line.notes().concat().contains("made again"));
    }

    #[test]
    fn what_the_source_deleted_is_missing_on_every_run() {
        let name = TopicPartition::new("orders", 3);
        let cut = Some(SourceOffset::new(100));
        let gone = Line::of(&name, cut, &found(tail(150, 150)), None, None);
        assert!(!gone.holds());
        assert!(
            gone.notes().concat().contains("100 to 149"),
            "{:?}",
            gone.notes()
        );
        let mut stored = progress(120);
        stored.meet_start(SourceOffset::new(150));
        let later = Line::of(
            &name,
            cut,
            &found(tail(150, 150)),
            Some(&stored),
            Some(&stored),
        );
        assert!(
            later.notes().concat().contains("120 to 149"),
            "{:?}",
            later.notes()
        );
        assert!(!later.holds());
    }

    #[test]
    fn a_partition_that_is_put_aside_whole_holds() {
        let name = TopicPartition::new("orders", 3);
        let cut = Some(SourceOffset::new(100));
        let found = found(tail(100, 130));
        let line = Line::of(&name, cut, &found, Some(&progress(130)), None);
        assert!(line.holds() && line.notes().is_empty());
        let nothing = Line::of(&name, cut, &self::found(tail(100, 100)), None, None);
        assert!(nothing.holds() && nothing.tail_topic.is_none());
    }
}
