//! Values of the offset-map topic.
//!
//! ```text
//! version kind chunk [delta] count | source target length | gap gap length | …
//! 1 byte  byte varint varint varint   absolute varints       from the run before
//!
//! version kind page kept older-count entries first count entries           a page of the directory
//! ```

use crate::directory::Places;
use crate::json::check_version;
use crate::varint::{self, Reader};
use crate::{
    DELTA_RING, DecodeError, Format, MapKey, Page, Run, SourceOffset, TargetOffset, TopicPartition,
};

/// The newest version that this code reads: of a page of the directory whose chunks lie in the logs of several slots.
const VERSION: u8 = 2;
/// The version of everything else, which older readers understand as well.
const VERSION_RISING: u8 = 1;
const KIND_CHUNK: u8 = 0;
const KIND_DELTA: u8 = 1;
const KIND_DIRECTORY: u8 = 2;
/// A run is three varints, each at least a byte.
const RUN_BYTES_MIN: usize = 3;

/// One record of the offset map of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapRecord {
    /// A chunk that no longer changes, whole.
    Chunk {
        /// Its number; chunks count from 0.
        chunk: u64,
        /// All its runs.
        runs: Vec<Run>,
    },
    /// What one commit added to the open chunk.
    Delta {
        /// The chunk that was open.
        chunk: u64,
        /// The delta's sequence number in it, from 0; below [`DELTA_RING`].
        delta: u32,
        /// The runs of that commit.
        runs: Vec<Run>,
    },
    /// Where sealed chunks begin.
    Directory(Page),
}

impl MapRecord {
    /// The runs it carries; a page of the directory carries none.
    pub fn runs(&self) -> &[Run] {
        match self {
            Self::Chunk { runs, .. } | Self::Delta { runs, .. } => runs,
            Self::Directory(_) => &[],
        }
    }

    /// The key to write it under.
    pub fn key(&self, partition: &TopicPartition) -> MapKey {
        let partition = partition.clone();
        match self {
            Self::Chunk { chunk, .. } => MapKey::Chunk {
                partition,
                chunk: *chunk,
            },
            Self::Delta { delta, .. } => MapKey::Delta {
                partition,
                delta: delta % DELTA_RING,
            },
            Self::Directory(page) => MapKey::Directory {
                partition,
                page: page.page,
            },
        }
    }

    /// The record's value.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION_RISING];
        match self {
            Self::Chunk { chunk, .. } => {
                bytes.push(KIND_CHUNK);
                varint::put(&mut bytes, *chunk);
            }
            Self::Delta { chunk, delta, .. } => {
                bytes.push(KIND_DELTA);
                varint::put(&mut bytes, *chunk);
                varint::put(&mut bytes, u64::from(*delta));
            }
            Self::Directory(page) => {
                let places = page.places();
                let version = match places {
                    Places::Rising => VERSION_RISING,
                    Places::Any => VERSION,
                };
                let mut bytes = vec![version, KIND_DIRECTORY];
                page.put(&mut bytes, places);
                return bytes;
            }
        }
        put_runs(&mut bytes, self.runs());
        bytes
    }

    /// Reads a value.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(Format::MapRecord, bytes);
        let version = reader.byte()?;
        check_version(Format::MapRecord, u64::from(version), u64::from(VERSION))?;
        let kind = reader.byte()?;
        let record = match kind {
            KIND_CHUNK | KIND_DELTA if version != VERSION_RISING => {
                return Err(reader.malformed("runs are of version 1"));
            }
            KIND_CHUNK => Self::Chunk {
                chunk: reader.number()?,
                runs: read_runs(&mut reader)?,
            },
            KIND_DELTA => Self::Delta {
                chunk: reader.number()?,
                delta: read_delta(&mut reader)?,
                runs: read_runs(&mut reader)?,
            },
            KIND_DIRECTORY => {
                let places = match version {
                    VERSION_RISING => Places::Rising,
                    _ => Places::Any,
                };
                Self::Directory(Page::read(&mut reader, places)?)
            }
            _ => return Err(reader.malformed("its kind is none of chunk, delta and directory")),
        };
        reader.finish()?;
        Ok(record)
    }
}

/// Appends runs. They rise on both sides, so each is written as the gaps from the one before.
fn put_runs(bytes: &mut Vec<u8>, runs: &[Run]) {
    varint::put(bytes, runs.len() as u64);
    let (mut source_end, mut target_end) = (SourceOffset::ZERO, TargetOffset::ZERO);
    for run in runs {
        varint::put(bytes, run.source.get().abs_diff(source_end.get()));
        varint::put(bytes, run.target.get().abs_diff(target_end.get()));
        varint::put(bytes, run.length);
        (source_end, target_end) = (run.source_end(), run.target_end());
    }
}

fn read_delta(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let delta = reader.number()?;
    match u32::try_from(delta) {
        Ok(delta) if delta < DELTA_RING => Ok(delta),
        Ok(_) | Err(_) => Err(reader.malformed("its delta is larger than a chunk")),
    }
}

/// Reads runs. Memory is bounded by the bytes at hand, whatever count they claim.
fn read_runs(reader: &mut Reader<'_>) -> Result<Vec<Run>, DecodeError> {
    let fits = reader.number().map(usize::try_from)?;
    let count = match fits {
        Ok(count) if count <= reader.remaining() / RUN_BYTES_MIN => count,
        Ok(_) | Err(_) => return Err(reader.truncated()),
    };
    let mut runs = Vec::with_capacity(count);
    let (mut source_end, mut target_end) = (0, 0);
    for _ in 0..count {
        let source = read_sum(reader, source_end)?;
        let target = read_sum(reader, target_end)?;
        let length = reader.number()?;
        if length == 0 {
            return Err(reader.malformed("a run is empty"));
        }
        source_end = sum(reader, source, length)?;
        target_end = sum(reader, target, length)?;
        runs.push(Run {
            source: SourceOffset::new(source),
            target: TargetOffset::new(target),
            length,
        });
    }
    Ok(runs)
}

fn read_sum(reader: &mut Reader<'_>, start: i64) -> Result<i64, DecodeError> {
    let gap = reader.number()?;
    sum(reader, start, gap)
}

fn sum(reader: &Reader<'_>, start: i64, places: u64) -> Result<i64, DecodeError> {
    start
        .checked_add_unsigned(places)
        .ok_or_else(|| reader.malformed("an offset does not fit 63 bits"))
}
