//! Reads what was put aside back, compares it with what was read from the source, and writes it to files.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use understudy_domain::tail::{NO_TIMESTAMP, ReadMark, TailOrigin, TailProgress, TailRecord};
use understudy_domain::{TargetOffset, TopicPartition};
use understudy_kafka::Fault;
use understudy_kafka::ffi::admin::Edge;
use understudy_kafka::ffi::reader::Record;

use crate::SalvageError;
use crate::ground::{Ground, WITHIN};
use crate::turn::Turn;
use understudy_kafka::log_range::LogRange;

/// How many faults are named.
const NAMED: usize = 3;
/// How many records are read between two looks at the clock.
const RECORDS_A_LOOK: u64 = 1_000;

/// What was read back of one partition.
#[derive(Default)]
pub struct ReadBack {
    /// What is wrong, in words.
    pub faults: Vec<String>,
    /// The file that holds the records, if one was wanted and there are any.
    pub file: Option<PathBuf>,
    /// The turn was over before the end, and nothing is wrong so far: its marks say where to go on.
    pub is_cut_off: bool,
}

/// Reads the tail of `name` back from the topic that took it, and compares it with `progress`. Goes on where an earlier turn
/// was over; a file is written from the beginning.
///
/// # Errors
/// The target does not answer, or a file cannot be written.
pub fn read_back(
    ground: &Ground<'_>,
    name: &TopicPartition,
    progress: &TailProgress,
    folder: Option<&Path>,
    turn: &mut Turn<'_>,
) -> Result<ReadBack, SalvageError> {
    let flow = ground.flow;
    let at_target = |fault: Fault| SalvageError::target(flow, &fault);
    let place = TopicPartition::new(progress.tail_topic.as_str(), name.partition);
    let mut back = ReadBack::default();
    let edge = |edge| {
        let edges = ground.target.edges([&place], edge, WITHIN);
        Ok::<_, SalvageError>(edges.map_err(at_target)?.remove(&place))
    };
    // Brokers answer a commit before they have marked it in each partition: a reader waits for that on its way there.
    let (start, end) = match (edge(Edge::Earliest)?, edge(Edge::HighWatermark)?) {
        (Some(Ok(start)), Some(Ok(end))) => (start, end),
        (Some(Err(code)), _) | (_, Some(Err(code))) => {
            let reason = format!("{place} on {} cannot be read: {code}", flow.target.alias);
            back.faults.push(reason);
            return Ok(back);
        }
        (None, _) | (_, None) => {
            back.faults
                .push(format!("{} does not tell of {place}", flow.target.alias));
            return Ok(back);
        }
    };
    let mut file = match folder {
        Some(folder) if progress.records > 0 => Some(TailFile::begin(folder, &place)?),
        Some(_) | None => None,
    };
    let known = turn.marks.read_back.get(&place.to_string()).copied();
    // A mark behind the end is one of a log that is no more.
    let known = known.filter(|it| file.is_none() && it.next.get() <= end);
    let mut read = Reading::of(known.unwrap_or_default());
    let from = read.mark.next.get().max(start);
    if from < end {
        // What is marked up to its end takes no client.
        if !turn.may_begin() {
            back.is_cut_off = true;
            return Ok(back);
        }
        let config = flow.target.reader_to_end();
        let range = LogRange::open(config, &flow.target, &place, from, end);
        let mut range = range.map_err(at_target)?;
        let mut met = 0_u64;
        while let Some(record) = range.next_record().map_err(at_target)? {
            if let Some(line) = read.take(name, &record)
                && let Some(file) = &mut file
            {
                file.line(&line)?;
            }
            met += 1;
            if !met.is_multiple_of(RECORDS_A_LOOK) || !turn.is_over() {
                continue;
            }
            if read.faults.is_empty() {
                turn.marks.read_back.insert(place.to_string(), read.mark);
                back.is_cut_off = true;
            } else {
                // What is wrong is not right again behind the next turn.
                back.faults = read.faults;
            }
            return Ok(back);
        }
    }
    read.mark.next = TargetOffset::new(end);
    let mark = read.mark;
    back.faults = read.compare(&place, start, progress);
    if back.faults.is_empty() && turn.marks.read_back.insert(place.to_string(), mark) != Some(mark)
    {
        turn.go_on()?;
    }
    if let Some(file) = file
        && back.faults.is_empty()
    {
        back.file = Some(file.finish()?);
    }
    Ok(back)
}

/// What came so far.
#[derive(Default)]
struct Reading {
    mark: ReadMark,
    faults: Vec<String>,
}

impl Reading {
    const fn of(mark: ReadMark) -> Self {
        Self {
            mark,
            faults: Vec::new(),
        }
    }

    /// Takes the next record in; what it is on a line of a file.
    fn take(&mut self, name: &TopicPartition, record: &Record) -> Option<Vec<u8>> {
        let headers = record.headers();
        let stored_ms = record.timestamp_ms().unwrap_or(NO_TIMESTAMP);
        self.mark.next = TargetOffset::new(record.offset()).next();
        let Some((origin, own)) = TailOrigin::split(&headers) else {
            self.fault(format!(
                "offset {} is no record of a tail: somebody else wrote it",
                record.offset()
            ));
            return None;
        };
        if origin.partition != *name {
            self.fault(format!(
                "offset {} is a record of {}",
                record.offset(),
                origin.partition
            ));
        }
        // librdkafka takes 0 for "now"; the header keeps it.
        if origin.timestamp_ms != stored_ms && origin.timestamp_ms != 0 {
            self.fault(format!(
                "offset {} has timestamp {stored_ms}, the record had {}",
                record.offset(),
                origin.timestamp_ms
            ));
        }
        let as_it_was = TailRecord {
            offset: origin.offset,
            timestamp_ms: origin.timestamp_ms,
            key: record.key(),
            value: record.payload(),
            headers: own,
        };
        self.mark.records += 1;
        self.mark.digest.add(&as_it_was);
        Some(as_it_was.line(name))
    }

    /// What is wrong with it.
    fn compare(
        mut self,
        place: &TopicPartition,
        start: i64,
        progress: &TailProgress,
    ) -> Vec<String> {
        if start > 0 {
            self.fault(format!(
                "{place} begins at {start}: something deleted records of it"
            ));
        }
        if self.mark.records != progress.records {
            self.fault(format!(
                "{place} holds {} records, {} were put aside",
                self.mark.records, progress.records
            ));
        } else if self.mark.digest != progress.digest {
            self.fault(format!(
                "what {place} holds comes to {}, what was read from the source to {}",
                self.mark.digest, progress.digest
            ));
        }
        self.faults
    }

    fn fault(&mut self, text: String) {
        if self.faults.len() < NAMED {
            self.faults.push(text);
        }
    }
}

/// A file of JSON Lines that is there whole or not at all under its name.
struct TailFile {
    unfinished: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
}

impl TailFile {
    fn begin(folder: &Path, place: &TopicPartition) -> Result<Self, SalvageError> {
        let path = folder.join(format!("{place}.jsonl"));
        let unfinished = folder.join(format!("{place}.jsonl.unfinished"));
        let file = fs::create_dir_all(folder).and_then(|()| File::create(&unfinished));
        let file = BufWriter::new(file.map_err(at(&unfinished))?);
        Ok(Self {
            unfinished,
            path,
            file,
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), SalvageError> {
        let written = self.file.write_all(line);
        let written = written.and_then(|()| self.file.write_all(b"\n"));
        written.map_err(at(&self.unfinished))
    }

    /// On the disk, and then under its name.
    fn finish(self) -> Result<PathBuf, SalvageError> {
        let Self {
            unfinished,
            path,
            file,
        } = self;
        let on_disk = || {
            let file = file
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            // The name itself is on the disk once its folder is.
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        on_disk().map_err(at(&path))?;
        Ok(path)
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SalvageError {
    let path = path.to_owned();
    |source| SalvageError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use understudy_domain::tail::TailDigest;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() -> Result<(), Box<dyn std::error::Error>> {
        let folder = std::env::temp_dir().join(format!("understudy-tail-{}", std::process::id()));
        let place = TopicPartition::new("orders.tail.e7", 3);
        let path = folder.join("orders.tail.e7-3.jsonl");
        let mut file = TailFile::begin(&folder, &place)?;
        file.line(b"{}")?;
        drop(file);
        assert!(!path.exists(), "it was not finished");
        for _again in 0..2 {
            let mut file = TailFile::begin(&folder, &place)?;
            file.line(b"{\"offset\":1}")?;
            file.line(b"{\"offset\":2}")?;
            assert_eq!(file.finish()?, path);
            assert_eq!(
                fs::read_to_string(&path)?,
                "{\"offset\":1}\n{\"offset\":2}\n"
            );
        }
        let below_a_file = TailFile::begin(&path, &place).map(|_file| ());
        assert!(matches!(below_a_file, Err(SalvageError::File { .. })));
        fs::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn what_does_not_come_to_the_same_is_named() {
        let place = TopicPartition::new("orders.tail.e7", 3);
        let progress = TailProgress::new(
            "orders.tail.e7".to_owned(),
            None,
            understudy_domain::SourceOffset::ZERO,
        );
        let compare = |start, progress: &TailProgress| {
            Reading::default().compare(&place, start, progress).concat()
        };
        assert_eq!(compare(0, &progress), "");
        assert!(compare(4, &progress).contains("begins at 4"));
        let more = TailProgress {
            records: 2,
            ..progress.clone()
        };
        assert!(compare(0, &more).contains("holds 0 records, 2 were put aside"));
        let other = TailProgress {
            digest: TailDigest::of(b"other"),
            ..progress
        };
        assert!(compare(0, &other).contains("comes to"));
    }
}
