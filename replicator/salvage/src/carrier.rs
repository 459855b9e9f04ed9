//! Carries tails from the cluster that came back to the active one.
//!
//! Why a crash loses and doubles nothing:
//! a. *One carrier.* `init_transactions` under the flow's salvage id: whoever held it can write nothing any more, and
//!    its open transaction has ended.
//! b. *Progress next*, committed records only, to the high watermark. Nobody else writes it.
//! c. *One transaction* holds the copies and the progress behind them: the next offset to be read, how many records
//!    were put aside or merged, and what those that were put aside come to.
//! d. *Any doubt ends the run.* After an error the outcome of a commit may be unknown; the next run begins at (a).
//! e. *A turn ends between two transactions.* The next one goes on there, as the next run does.
//! f. *Who writes the same keys meanwhile cannot keep a merge from ending.* A transaction that came too late is half as
//!    long when it is made again, and each time at least one key less is in question ([`crate::guard`]).

use std::collections::{BTreeMap, BTreeSet};

use understudy_domain::tail::{
    NO_TIMESTAMP, Tail, TailKey, TailOrigin, TailProgress, TailRecord, tail_topic,
};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_flow::state_topics;
use understudy_flow::stored_state::read_salvage;
use understudy_kafka::Fault;
use understudy_kafka::ffi::reader::{Index, Record};
use understudy_kafka::log_range::LogRange;

use crate::SalvageError;
use crate::aside;
use crate::ground::Ground;
use crate::guard::Guard;
use crate::look::Found;
use crate::transactions::Transactions;
use crate::turn::Turn;

/// After so many records at the latest, how far it was read is committed.
const RECORDS_A_SETTLE: u64 = 20_000;

/// What becomes of the records of a partition's tail.
pub enum Rule {
    /// All are put aside.
    PutAside,
    /// All go into the topic of the copies.
    Merge(TopicPartition),
    /// Those go there that nothing newer is there of; the others are put aside.
    MergeGuarded(TopicPartition, Guard),
    /// It was to be merged, and cannot be: all are put aside.
    LeaveOut,
}

/// Writes under the flow's salvage id.
pub struct Carrier<'a> {
    ground: &'a Ground<'a>,
    transactions: Transactions,
    /// What is committed.
    pub stored: BTreeMap<TailKey, TailProgress>,
    /// Progress behind the copies of the open transaction.
    pending: BTreeMap<TailKey, TailProgress>,
    /// Topics of tails that are there.
    made: BTreeSet<String>,
    numbers: u32,
    /// How many transactions were aborted and made again, because somebody wrote keys of theirs before them.
    pub made_again: u64,
}

/// How far a partition was carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    /// To its end.
    Whole,
    /// To what is committed, where the turn was over.
    TurnOver,
    /// Not on: a transaction was aborted, and it begins again at what is committed.
    Anew,
}

impl<'a> Carrier<'a> {
    /// Fences whoever carried before, and reads how far they came.
    ///
    /// # Errors
    /// The target does not answer, or the flow is not what it was.
    pub fn take_over(ground: &'a Ground<'a>) -> Result<Self, SalvageError> {
        let flow = ground.flow;
        let own = flow.state.salvage();
        let fail = |fault| SalvageError::unfinished(flow, &own, fault);
        state_topics::make_salvage(flow, &ground.target).map_err(fail)?;
        let id = flow.state.salvage_transactional_id();
        let transactions = Transactions::take_over(&flow.target, &id, flow.max_bytes_per_second);
        let transactions = transactions.map_err(fail)?;
        let stored = read_salvage(&ground.target, &flow.state)?;
        ground.still_stands()?;
        Ok(Self {
            ground,
            transactions,
            stored,
            pending: BTreeMap::new(),
            made: BTreeSet::new(),
            numbers: 0,
            made_again: 0,
        })
    }

    /// Carries what is left of a partition's tail, for as long as the turn lasts; it is committed once [`Carrier::commit`] is
    /// called, if not before. Whether that was all.
    ///
    /// # Errors
    /// A cluster does not answer or refuses; what was committed stands.
    pub fn carry(
        &mut self,
        found: &Found,
        name: &TopicPartition,
        tail: &Tail,
        mut rule: Rule,
        turn: &Turn<'_>,
    ) -> Result<bool, SalvageError> {
        let carried = self.carry_by(found, name, tail, &mut rule, turn);
        if carried.is_err() {
            // The brokers do it themselves in a while; until then readers wait.
            let _aborted = self.transactions.abort();
        }
        carried
    }

    fn carry_by(
        &mut self,
        found: &Found,
        name: &TopicPartition,
        tail: &Tail,
        rule: &mut Rule,
        turn: &Turn<'_>,
    ) -> Result<bool, SalvageError> {
        let flow = self.ground.flow;
        if matches!(rule, Rule::MergeGuarded(..)) {
            // It may have to be aborted: nothing of others is in it.
            self.commit()?;
        }
        let taker = tail_topic(&flow.target_of(name).topic, self.ground.record.epoch);
        let (aside, topic) = (Index(self.numbers), Index(self.numbers + 1));
        self.numbers += 2;
        if let Rule::Merge(copies) | Rule::MergeGuarded(copies, _) = rule {
            let aimed = self.transactions.aim(topic, name, copies);
            aimed.map_err(|fault| self.unfinished(&copies.topic, fault))?;
        }
        let key = self.ground.tail_key(name);
        let place = TopicPartition::new(taker.as_str(), name.partition);
        let mut lane = Lane {
            name,
            aside,
            topic,
            place,
            is_aimed: false,
        };
        loop {
            let went = self.carry_once((found, &key, tail), rule, &mut lane, turn)?;
            match went {
                Went::Whole => return Ok(true),
                Went::TurnOver => return Ok(false),
                // What others wrote is met by the next turn as well.
                Went::Anew if turn.is_over() => return Ok(false),
                Went::Anew => {}
            }
        }
    }

    fn carry_once(
        &mut self,
        (found, key, tail): (&Found, &TailKey, &Tail),
        rule: &mut Rule,
        lane: &mut Lane<'_>,
        turn: &Turn<'_>,
    ) -> Result<Went, SalvageError> {
        let flow = self.ground.flow;
        if let Rule::MergeGuarded(_, guard) = rule {
            // What others have written by now is left out before a transaction is opened, not found in its way.
            guard.catch_up(self.ground)?;
        }
        let mut progress = self.stored.get(key).cloned().unwrap_or_else(|| {
            let id = found.topic_id(lane.name).map(str::to_owned);
            TailProgress::new(lane.place.topic.to_string(), id, tail.begins)
        });
        let merges = !matches!(rule, Rule::PutAside);
        progress.meet_start(tail.first);
        let from = if merges {
            progress.merged().source_offset.max(tail.first)
        } else {
            progress.source_offset
        };
        let at_source = |fault: Fault| SalvageError::source(flow, &fault);
        let range = LogRange::open(
            flow.source.reader_to_end(),
            &flow.source,
            lane.name,
            from.get(),
            tail.end.get(),
        );
        let mut range = range.map_err(at_source)?;
        let mut read = 0_u64;
        while let Some(record) = range.next_record().map_err(at_source)? {
            let next = SourceOffset::new(record.offset()).next();
            self.take(record, &mut progress, rule, lane)?;
            read += 1;
            // What writes nothing fills no transaction.
            if self.transactions.is_full() || read.is_multiple_of(RECORDS_A_SETTLE) {
                match merges {
                    true => progress.pass_merged(next),
                    false => progress.pass(next),
                }
                if !self.settle(key, &progress, rule, lane)? {
                    return Ok(Went::Anew);
                }
                if turn.is_over() {
                    return Ok(Went::TurnOver);
                }
            }
        }
        if merges {
            progress.pass_merged(tail.end);
        }
        progress.pass(tail.end);
        if matches!(rule, Rule::MergeGuarded(..)) {
            let settled = self.settle(key, &progress, rule, lane)?;
            return Ok(if settled { Went::Whole } else { Went::Anew });
        }
        self.pending.insert(key.clone(), progress);
        Ok(Went::Whole)
    }

    /// Adds one record to the transaction, for the topic that takes it.
    fn take(
        &mut self,
        record: Record,
        progress: &mut TailProgress,
        rule: &mut Rule,
        lane: &mut Lane<'_>,
    ) -> Result<(), SalvageError> {
        let offset = SourceOffset::new(record.offset());
        let headers = record.headers();
        if self.ground.is_renewed(lane.name, &headers) {
            return Ok(());
        }
        let timestamp_ms = record.timestamp_ms().unwrap_or(NO_TIMESTAMP);
        let origin = TailOrigin {
            partition: lane.name.clone(),
            offset,
            timestamp_ms,
        };
        // What was merged once came from the cluster that is active now, and lies there.
        let goes_in = match rule {
            Rule::PutAside | Rule::LeaveOut => false,
            Rule::Merge(_) => TailOrigin::split(&headers).is_none(),
            Rule::MergeGuarded(_, guard) => {
                TailOrigin::split(&headers).is_none() && guard.lets_in(record.key())
            }
        };
        if goes_in {
            progress.merge(offset);
            let copies = rule.copies().unwrap_or(&lane.place).topic.clone();
            let sent = self
                .transactions
                .forward(lane.topic, record, &origin.headers());
            return sent.map_err(|fault| self.unfinished(&copies, fault));
        }
        let it = TailRecord {
            offset,
            timestamp_ms,
            key: record.key(),
            value: record.payload(),
            headers: &headers,
        };
        let is_new = match rule {
            Rule::PutAside => {
                progress.add(&it);
                true
            }
            Rule::Merge(_) | Rule::MergeGuarded(..) | Rule::LeaveOut => progress.leave_out(&it),
        };
        if !is_new {
            return Ok(());
        }
        self.aim_aside(lane)?;
        let taker = lane.place.topic.clone();
        let sent = self
            .transactions
            .forward(lane.aside, record, &origin.headers());
        sent.map_err(|fault| self.unfinished(&taker, fault))
    }

    /// Makes the topic that takes the tail, when there is something for it.
    fn aim_aside(&mut self, lane: &mut Lane<'_>) -> Result<(), SalvageError> {
        if lane.is_aimed {
            return Ok(());
        }
        let taker = lane.place.topic.to_string();
        if !self.made.contains(&taker) {
            let stands = |it: &TailProgress| it.tail_topic == taker && it.records > 0;
            let is_ours = self.stored.values().any(stands);
            aside::make(self.ground, &lane.name.topic, &taker, is_ours)?;
            self.made.insert(taker.clone());
        }
        let aimed = self.transactions.aim(lane.aside, lane.name, &lane.place);
        aimed.map_err(|fault| self.unfinished(&taker, fault))?;
        lane.is_aimed = true;
        Ok(())
    }

    /// Commits what was carried of a partition so far. Not if somebody wrote one of its keys before the records that were to be
    /// newest: then nothing of it is.
    fn settle(
        &mut self,
        key: &TailKey,
        progress: &TailProgress,
        rule: &mut Rule,
        lane: &Lane<'_>,
    ) -> Result<bool, SalvageError> {
        if let Rule::MergeGuarded(copies, guard) = rule {
            let last = self.transactions.last_of(lane.topic);
            let last = last.map_err(|fault| self.unfinished(&copies.topic, fault))?;
            if let Some(last) = last
                && guard.look(self.ground, last)?
            {
                self.transactions.halve();
                let aborted = self.transactions.abort();
                aborted.map_err(|fault| self.unfinished(&copies.topic, fault))?;
                self.made_again += 1;
                tracing::info!(partition = %copies, made_again = self.made_again, "somebody wrote keys of a merge before it: made again");
                guard.begin_anew();
                return Ok(false);
            }
        }
        self.pending.insert(key.clone(), progress.clone());
        self.commit()?;
        if let Rule::MergeGuarded(_, guard) = rule {
            guard.begin_anew();
        }
        Ok(true)
    }

    /// Commits copies and the progress behind them.
    ///
    /// # Errors
    /// The target does not answer, or refuses: what is committed is read by the next run.
    pub fn commit(&mut self) -> Result<(), SalvageError> {
        let committed = self.commit_pending();
        if committed.is_err() {
            // The brokers do it themselves in a while; until then readers wait.
            let _aborted = self.transactions.abort();
        }
        committed
    }

    fn commit_pending(&mut self) -> Result<(), SalvageError> {
        let own = self.ground.flow.state.salvage();
        let place = TopicPartition::new(own.as_str(), 0);
        let pending = std::mem::take(&mut self.pending);
        for (key, progress) in &pending {
            let (key, value) = (key.encode(), progress.encode());
            let put = self.transactions.put(&place, &key, Some(&value), &[]);
            put.map_err(|fault| self.unfinished(&own, fault))?;
        }
        let committed = self.transactions.commit();
        committed.map_err(|fault| self.unfinished(&own, fault))?;
        self.stored.extend(pending);
        Ok(())
    }

    fn unfinished(&self, topic: &str, fault: Fault) -> SalvageError {
        SalvageError::unfinished(self.ground.flow, topic, fault)
    }
}

/// One partition under way.
struct Lane<'a> {
    name: &'a TopicPartition,
    /// Numbers what is put aside.
    aside: Index,
    /// Numbers what goes into the topic of the copies.
    topic: Index,
    /// Where the tail is put aside.
    place: TopicPartition,
    /// Whether that is there, and aimed at.
    is_aimed: bool,
}

impl Rule {
    /// Where the copies are, if something goes there.
    const fn copies(&self) -> Option<&TopicPartition> {
        match self {
            Self::Merge(copies) | Self::MergeGuarded(copies, _) => Some(copies),
            Self::PutAside | Self::LeaveOut => None,
        }
    }
}
