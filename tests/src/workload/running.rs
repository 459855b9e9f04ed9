//! A workload that writes while a test goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use super::Produced;
use crate::error::{LabError, Result};

/// A workload on a thread of its own. Stops when dropped.
#[derive(Debug)]
pub struct RunningWorkload {
    pub(super) stop: Arc<AtomicBool>,
    pub(super) written: Arc<AtomicU64>,
    pub(super) thread: Option<JoinHandle<Result<Produced>>>,
}

impl RunningWorkload {
    /// Records handed to the producer so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether it writes no more: all is written, or its producer gave up.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Stops after the transaction at hand; returns what was committed.
    pub fn stop(mut self) -> Result<Produced> {
        self.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until everything is written; returns what was committed.
    pub fn finish(mut self) -> Result<Produced> {
        self.join()
    }

    fn join(&mut self) -> Result<Produced> {
        let ended = self.thread.take().map(JoinHandle::join);
        match ended {
            Some(Ok(produced)) => produced,
            Some(Err(_)) | None => Err(LabError::NotRunning {
                name: "the workload's thread".to_owned(),
            }),
        }
    }
}

impl Drop for RunningWorkload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its result is nobody's any more.
            let _ = thread.join();
        }
    }
}
