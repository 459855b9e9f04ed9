//! Slots that a tool cannot tell of, because something else wrote into their state. Their partitions stay without an
//! answer, by name and with the reason and what ends it; all others are answered.

use std::fmt;
use std::num::NonZeroU32;

use serde::Serialize;
use understudy_domain::{Slot, TopicPartition, slot_of};

use crate::chain::chain;
use crate::stored_state::StateError;

/// How many partitions a text names.
const NAMED: usize = 10;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unread {
    slot: u32,
    /// Its partitions, as far as the source tells which there are.
    partitions: Vec<String>,
    reason: String,
}

impl Unread {
    /// A slot, and what cannot be read of it.
    pub fn new(slot: Slot, error: &StateError) -> Self {
        Self {
            slot: slot.get(),
            partitions: Vec::new(),
            reason: chain(error),
        }
    }

    /// What was read of a slot; nothing where something else wrote into it, which is noted.
    ///
    /// # Errors
    /// Whatever else keeps it from being read: then nothing is known of the flow.
    pub fn leave_out<T>(
        slot: Slot,
        read: Result<T, StateError>,
        unread: &mut Vec<Self>,
    ) -> Result<Option<T>, StateError> {
        match read {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_foreign() => {
                unread.push(Self::new(slot, &error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in which partitions there are: those of its slot are named.
    pub fn name<'a>(
        &mut self,
        partitions: impl IntoIterator<Item = &'a TopicPartition>,
        slots: NonZeroU32,
    ) {
        let own = partitions
            .into_iter()
            .filter(|partition| slot_of(partition, slots).get() == self.slot);
        self.partitions = own.map(ToString::to_string).collect();
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {}", self.slot)?;
        if !self.partitions.is_empty() {
            let named: Vec<_> = self.partitions.iter().take(NAMED).cloned().collect();
            write!(f, ", with {}", named.join(", "))?;
            match self.partitions.len().saturating_sub(NAMED) {
                0 => {}
                more => write!(f, " and {more} more")?,
            }
        }
        write!(f, ": {}", self.reason)
    }
}
