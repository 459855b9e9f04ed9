//! What there is to mirror, as last seen on the source and made ready on the target.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use understudy_domain::{Slot, TopicPartition, slot_of};

use crate::lives::Life;
use crate::lost_copies::ShortLogs;

/// The topics to be mirrored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// By name on the source.
    pub topics: BTreeMap<Arc<str>, Listed>,
    /// The topics that are on the source and selected, whether or not they can be mirrored just now.
    pub on_source: BTreeSet<Arc<str>>,
    /// Nothing moves, in any topic.
    pub paused: bool,
    /// Partitions whose copies seem to be lost on the target.
    pub short: ShortLogs,
    /// Rises with every look at the source.
    pub look: u64,
}

/// One topic to be mirrored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Its partitions that may be copied: all that the target has too, in the order in which they came to be.
    pub partitions: i32,
    /// How many the source has.
    pub on_source: i32,
    /// Its id, where the source tells.
    pub id: Option<String>,
    /// It waits until somebody resumes it.
    pub paused: bool,
    /// Which life of it is copied.
    pub life: Life,
}

impl Listing {
    /// Whether it tells something else than an earlier look.
    pub fn differs_from(&self, earlier: &Self) -> bool {
        let Self {
            topics,
            on_source,
            paused,
            short,
            look: _,
        } = self;
        *topics != earlier.topics
            || *on_source != earlier.on_source
            || *paused != earlier.paused
            || short.partitions != earlier.short.partitions
    }

    /// Every partition of one of so many slots.
    pub fn of_slot(&self, slot: Slot, slots: NonZeroU32) -> impl Iterator<Item = TopicPartition> {
        self.topics
            .iter()
            .flat_map(|(name, topic)| {
                (0..topic.partitions).map(|number| TopicPartition::new(name.clone(), number))
            })
            .filter(move |partition| slot_of(partition, slots) == slot)
    }

    /// The id of a topic, where it is known.
    pub fn id_of(&self, topic: &str) -> Option<&str> {
        self.topics.get(topic)?.id.as_deref()
    }

    /// Which life of a topic is copied.
    pub fn life_of(&self, topic: &str) -> Life {
        let listed = self.topics.get(topic);
        listed.map_or_else(Life::default, |listed| listed.life.clone())
    }

    /// Whether the source has the topic, by another id than `known`, and has no such partition of it: it was made again
    /// with fewer.
    pub fn is_vanished(&self, partition: &TopicPartition, known: Option<&str>) -> bool {
        self.topics.get(&partition.topic).is_some_and(|topic| {
            let is_another = topic.id.as_deref().zip(known).is_some_and(|(a, b)| a != b);
            is_another && partition.partition >= topic.on_source
        })
    }

    /// Whether a topic waits.
    pub fn is_paused(&self, topic: &str) -> bool {
        self.paused || self.topics.get(topic).is_some_and(|topic| topic.paused)
    }
}

/// The listing as shared: discovery's thread writes, slots read.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    listing: Arc<Mutex<Arc<Listing>>>,
    /// Whether ids of topics may be others by now. Written by slots, taken by discovery's thread.
    doubted: Arc<AtomicBool>,
    /// Copies whose records got the brokers' times. Written by slots, taken by discovery's thread; a mutex, because both
    /// are rare.
    altering: Arc<Mutex<BTreeSet<Arc<str>>>>,
}

impl Catalog {
    /// What is to be mirrored now.
    pub fn listing(&self) -> Arc<Listing> {
        self.listing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces it.
    pub fn put(&self, listing: Listing) {
        *self.listing.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(listing);
    }

    /// A topic was found to be another one: the next look asks for every id.
    pub fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// The target gave a record of this copy a time of its own.
    pub fn note_altering(&self, copy: &Arc<str>) {
        let mut altering = self.altering.lock().unwrap_or_else(PoisonError::into_inner);
        altering.insert(copy.clone());
    }

    /// The copies of which that was noted since the last call.
    pub fn take_altering(&self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut *self.altering.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether somebody doubted since the last [`Catalog::take_doubt`].
    pub fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::Relaxed)
    }

    /// Whether somebody doubted since the last call.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::Relaxed)
    }
}
