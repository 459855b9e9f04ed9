//! An application that reads as the only member of a group, in a thread of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rdkafka::consumer::{CommitMode, Consumer};

use crate::cluster::Cluster;
use crate::error::{LabError, Result};
use crate::groups::{member, read_on};

/// Partitions and keys, in the order in which they were read.
type Keys = Vec<(i32, Vec<u8>)>;

/// Reads a topic on from where its group stands, until it is stopped.
#[derive(Debug)]
pub struct GroupMember {
    stop: Arc<AtomicBool>,
    /// Written by the thread alone.
    read: Arc<Mutex<Keys>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl GroupMember {
    /// Joins the group; returns at once.
    pub fn start(cluster: &Cluster, group: &str, topic: &str) -> Result<Self> {
        let reader = member(cluster, group)?;
        let (stop, read) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Keys>>::default());
        let (told, log, topic) = (stop.clone(), read.clone(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            read_on(&reader, &topic, &told, |partition, key| {
                let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                log.push((partition, key.to_vec()));
            })?;
            // What cannot be committed is read again, as with any application.
            let _ = reader.commit_consumer_state(CommitMode::Sync);
            Ok(())
        });
        Ok(Self {
            stop,
            read,
            thread: Some(thread),
        })
    }

    /// What it has read so far.
    pub fn read(&self) -> Keys {
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Commits, leaves the group, and returns what it has read.
    pub fn stop(mut self) -> Result<Keys> {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let panicked = |_| LabError::Usage("a member of a group panicked".to_owned());
            thread.join().map_err(panicked)??;
        }
        Ok(self.read())
    }
}

impl Drop for GroupMember {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its own panic has been printed.
            let _ended = thread.join();
        }
    }
}
