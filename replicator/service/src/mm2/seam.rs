//! Compares contents around the place where MirrorMaker 2 stopped: how far do its copies go?

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use understudy_domain::mm2::{SeamDoubt, SeamLook, seam};
use understudy_domain::{SourceOffset, TopicPartition};
use understudy_kafka::ffi::reader::{Fetched, Reader, Record};
use understudy_kafka::{Endpoint, Fault, Operation};

use crate::config::Flow;

/// How many records of the target's tail are compared; more, when these do not tell.
const WINDOWS: [i64; 3] = [4_096, 65_536, 1_048_576];
/// Time limit for reading one stretch.
const WITHIN: Duration = Duration::from_secs(60);
/// The longest wait for one fetch.
const POLL: Duration = Duration::from_millis(200);

/// What is known of the two partitions.
pub struct Ends {
    /// As it is called on the source.
    pub partition: TopicPartition,
    /// As it is called on the target.
    pub copy: TopicPartition,
    /// The next record to be copied, as MirrorMaker 2 stored it.
    pub stored: Option<SourceOffset>,
    /// The source's log start.
    pub source_start: i64,
    /// The source's high watermark and last stable offset.
    pub source_ends: (i64, i64),
    /// The target's log start.
    pub target_start: i64,
    /// The target's end; no transaction is open there.
    pub target_end: i64,
}

/// A record's offset and its content, as a hash.
type Content = (i64, u64);

/// The first record of the source that has no copy.
///
/// # Errors
/// A cluster does not answer; inside, that it cannot be told.
pub fn first_without_copy(
    flow: &Flow,
    ends: &Ends,
) -> Result<Result<SourceOffset, SeamDoubt>, Fault> {
    let next = ends
        .stored
        .unwrap_or(SourceOffset::new(ends.source_start))
        .get();
    let from = match ends.stored {
        Some(_) => (next - 1).max(ends.source_start),
        None => ends.source_start,
    };
    let mut doubt = SeamDoubt::NoMatch;
    for window in WINDOWS {
        let tail_from = (ends.target_end - window).max(ends.target_start);
        let tail = Stretch {
            endpoint: &flow.target,
            committed: true,
            partition: &ends.copy,
            from: tail_from,
            end: ends.target_end,
        };
        let tail: Vec<u64> = tail
            .read(usize::MAX)?
            .into_iter()
            .map(|(_, content)| content)
            .collect();
        let is_whole = tail_from <= ends.target_start;
        // MirrorMaker 2 reads what was aborted as well, unless it was told not to.
        for (committed, end) in [(false, ends.source_ends.0), (true, ends.source_ends.1)] {
            let stretch = Stretch {
                endpoint: &flow.source,
                committed,
                partition: &ends.partition,
                from,
                end,
            };
            let most = usize::try_from(window).unwrap_or(usize::MAX);
            let found = stretch.read(most)?;
            let after_is_whole = found.len() < most;
            let anchor = found
                .iter()
                .find(|(offset, _)| ends.stored.is_some() && *offset == next - 1)
                .map(|(_, content)| *content);
            let after: Vec<Content> = found
                .into_iter()
                .filter(|(offset, _)| *offset >= next)
                .collect();
            let contents: Vec<u64> = after.iter().map(|(_, content)| *content).collect();
            let look = SeamLook {
                anchor,
                after: &contents,
                after_is_whole,
                begins_there: ends.source_start >= next,
                tail: &tail,
            };
            match seam(&look) {
                // A record like the anchor may have been taken for it: look further back.
                Ok(_) if !is_whole && anchor.is_some_and(|anchor| contents.contains(&anchor)) => {
                    doubt = SeamDoubt::Several;
                }
                Ok(copied) => {
                    let last = copied.checked_sub(1).and_then(|last| after.get(last));
                    let first = last.map_or(next, |(offset, _)| offset + 1);
                    return Ok(Ok(SourceOffset::new(first)));
                }
                Err(reason) => doubt = reason,
            }
        }
        if is_whole {
            break;
        }
    }
    Ok(Err(doubt))
}

/// Records of one partition from `from` up to, not including, `end`.
struct Stretch<'a> {
    endpoint: &'a Endpoint,
    committed: bool,
    partition: &'a TopicPartition,
    from: i64,
    end: i64,
}

impl Stretch<'_> {
    /// Reads at most `most` of them.
    fn read(&self, most: usize) -> Result<Vec<Content>, Fault> {
        let mut found = Vec::new();
        if self.from >= self.end {
            return Ok(found);
        }
        let config = match self.committed {
            true => self.endpoint.reader_to_end(),
            false => self.endpoint.reader_of_everything(),
        };
        let mut reader = Reader::new(&config, self.endpoint.watch.clone())?;
        reader.start(self.partition, self.from)?;
        let deadline = Instant::now() + WITHIN;
        let mut fetched = Vec::new();
        while Instant::now() < deadline {
            reader.poll(POLL, &mut fetched);
            for one in fetched.drain(..) {
                match one {
                    Fetched::Record(_, record) => {
                        let offset = record.offset();
                        if offset >= self.end {
                            return Ok(found);
                        }
                        found.push((offset, content(&record)));
                        if found.len() >= most || offset + 1 >= self.end {
                            return Ok(found);
                        }
                    }
                    Fetched::End(_, at) if at.get() >= self.end => return Ok(found),
                    Fetched::End(..) => {}
                    Fetched::Fault(_, code, reason) => {
                        let subject = self.partition.to_string();
                        return Err(Fault::code(Operation::Fetch, &subject, code, reason));
                    }
                }
            }
        }
        Err(Fault::TimedOut {
            operation: Operation::Fetch,
            subject: self.partition.to_string(),
            within: WITHIN,
        })
    }
}

/// Key, value, headers in their order, timestamp.
fn content(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.key().hash(&mut hasher);
    record.payload().hash(&mut hasher);
    record.headers().hash(&mut hasher);
    record.timestamp_ms().hash(&mut hasher);
    hasher.finish()
}
