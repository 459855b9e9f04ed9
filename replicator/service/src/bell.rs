//! Wakes slots that wait for records when there is something else for them to do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use understudy_domain::Slot;
use understudy_kafka::ffi::reader::Waker;

/// What wakes the slots of a worker; clones share it. A slot that sleeps through a ring, because none was hung up for it,
/// looks around by itself within [`crate::holding::IDLE_WAIT`].
#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<BTreeMap<Slot, Waker>>>);

impl Bell {
    /// From now on `waker` wakes this slot.
    pub fn hang(&self, slot: Slot, waker: Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.insert(slot, waker);
    }

    /// The slot was given up.
    pub fn take_down(&self, slot: Slot) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.remove(&slot);
    }

    /// Wakes these slots.
    pub fn ring_for<'a>(&self, slots: impl IntoIterator<Item = &'a Slot>) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for waker in slots.into_iter().filter_map(|slot| wakers.get(slot)) {
            waker.wake();
        }
    }

    /// Wakes every slot.
    pub fn ring(&self) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.values().for_each(Waker::wake);
    }
}
