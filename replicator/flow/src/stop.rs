//! The signal to stop: every wait takes it as an argument.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

/// Set once, by whoever stops the part; looked at and waited on by its thread.
#[derive(Debug, Default)]
pub struct Stop {
    set: Mutex<bool>,
    changed: Condvar,
    /// Parts of the part, told with it. Written by whoever makes one, read by whoever sets this.
    children: Mutex<Vec<Weak<Stop>>>,
}

impl Stop {
    /// Tells the part, and its own parts, to stop.
    pub fn set(&self) {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        for child in children.iter().filter_map(Weak::upgrade) {
            child.set();
        }
    }

    /// The signal for a part of this part: set with it, or by itself.
    pub fn child(&self) -> Arc<Self> {
        let child = Arc::new(Self::default());
        let mut children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(&child));
        drop(children);
        if self.is_set() {
            child.set();
        }
        child
    }

    /// Whether the part should stop.
    pub fn is_set(&self) -> bool {
        *self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits `time`, or until the part should stop.
    pub fn wait(&self, time: Duration) {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.changed.wait_timeout_while(set, time, |set| !*set));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_with_the_whole_and_the_whole_goes_on_without_it() {
        let whole = Stop::default();
        let (first, second) = (whole.child(), whole.child());
        first.set();
        assert!(first.is_set() && !second.is_set() && !whole.is_set());
        whole.set();
        assert!(second.is_set());
        assert!(whole.child().is_set());
    }
}
