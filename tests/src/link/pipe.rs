//! One direction of one connection.
//!
//! a. Bytes leave in the order in which they came, none is dropped while the link lives, and none is altered unless
//!    [`Answers`] says so.
//! b. At most [`QUEUE_BYTES`] wait; then the reader stops, and the sender feels it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::answers::{Answers, Fate, Frames};
use super::{LinkState, Settings, Shared};

/// Enough for 1 GB/s over 30 ms.
const QUEUE_BYTES: usize = 32 << 20;
const READ_BYTES: usize = 256 << 10;
/// How far ahead of a throttled line the reader may be.
const LINE_AHEAD: Duration = Duration::from_millis(20);

/// Which way bytes go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    /// From a client to the broker.
    Inward = 0,
    /// From the broker to a client.
    Outward = 1,
}

#[derive(Debug, Default)]
struct Queue {
    /// Written by the reader and the writer of one direction.
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// The reader saw the end; the writer passes it on after the last chunk.
    ended: bool,
    /// The writer cannot write any more.
    broken: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a chunk, once there is room; false if nobody will take it.
    fn push(&self, due: Instant, chunk: &[u8]) -> bool {
        let mut waiting = self.wait_until(|waiting| waiting.bytes < QUEUE_BYTES || waiting.broken);
        if waiting.broken {
            return false;
        }
        waiting.bytes += chunk.len();
        waiting.chunks.push_back((due, chunk.to_vec()));
        drop(waiting);
        self.changed.notify_all();
        true
    }

    /// Waits until `ready`; every end of a connection makes it so.
    fn wait_until(&self, ready: impl Fn(&Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        let guard = self.lock();
        self.changed
            .wait_while(guard, |waiting| !ready(waiting))
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies from `source` to `target` until either ends, then passes the end on.
pub(crate) fn pump(
    mut source: &TcpStream,
    target: &TcpStream,
    direction: Direction,
    shared: &Shared,
) {
    let queue = Queue::default();
    thread::scope(|scope| {
        scope.spawn(|| write(&queue, target, source, shared));
        let mut buffer = vec![0; READ_BYTES];
        let mut frames = Frames::default();
        loop {
            let limit = read_limit(&shared.settings());
            let room = buffer.get_mut(..limit).unwrap_or_default();
            let length = match source.read(room) {
                Ok(0) | Err(_) => break,
                Ok(length) => length,
            };
            shared.count(direction as usize, length);
            let due = throttle(shared, direction, length);
            let chunk = buffer.get_mut(..length).unwrap_or_default();
            let fate = match direction {
                Direction::Inward => Fate::Pass,
                Direction::Outward => frames.follow(chunk, shared.settings().answers),
            };
            let passed = match fate {
                Fate::Pass => length,
                Fate::Stall(at) | Fate::Close(at) => at,
            };
            if !queue.push(due, chunk.get(..passed).unwrap_or_default()) {
                break;
            }
            match fate {
                Fate::Pass => {}
                // Half a frame is there and nothing follows; who goes on later begins anew.
                Fate::Stall(_) => {
                    shared.wait_until(None, |now| stopped(now) || now.answers != Answers::Stalled);
                    break;
                }
                Fate::Close(_) => break,
            }
        }
        queue.lock().ended = true;
        queue.changed.notify_all();
    });
}

/// When these bytes are due on the far side; waits for the line if it is throttled.
fn throttle(shared: &Shared, direction: Direction, length: usize) -> Instant {
    let settings = shared.settings();
    let Some(rate) = settings.rate else {
        return Instant::now() + settings.one_way_delay;
    };
    let sent = shared.take_line(direction as usize, length, rate);
    if let Some(early) = sent.checked_sub(LINE_AHEAD) {
        shared.wait_until(Some(early), stopped);
    }
    sent + settings.one_way_delay
}

/// Small reads on a slow line, so that it flows and does not pulse.
fn read_limit(settings: &Settings) -> usize {
    settings.rate.map_or(READ_BYTES, |rate| {
        usize::try_from(rate / 200)
            .unwrap_or(READ_BYTES)
            .clamp(1 << 10, READ_BYTES)
    })
}

fn write(queue: &Queue, mut target: &TcpStream, source: &TcpStream, shared: &Shared) {
    loop {
        let mut waiting = queue.wait_until(|waiting| !waiting.chunks.is_empty() || waiting.ended);
        let Some((due, chunk)) = waiting.chunks.pop_front() else {
            break;
        };
        drop(waiting);
        // A heal moves what a black hole held; a cut or the link's end moves nothing any more.
        let mut settings = shared.settings();
        if due > Instant::now() {
            settings = shared.wait_until(Some(due), stopped);
        }
        if settings.state == LinkState::Blackhole {
            settings =
                shared.wait_until(None, |now| now.closed || now.state != LinkState::Blackhole);
        }
        if stopped(&settings) || target.write_all(&chunk).is_err() {
            queue.lock().broken = true;
            queue.changed.notify_all();
            // Wakes our reader, who may be waiting for bytes nobody will take.
            let _ = source.shutdown(Shutdown::Read);
            return;
        }
        queue.lock().bytes -= chunk.len();
        queue.changed.notify_all();
    }
    let _ = target.shutdown(Shutdown::Write);
}

fn stopped(settings: &Settings) -> bool {
    settings.closed || settings.state == LinkState::Cut
}
