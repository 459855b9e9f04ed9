//! A partition of a topic, by name.

use std::fmt;
use std::sync::Arc;

use crate::{DecodeError, Format};

/// One partition of a topic. Cheap to clone; shown as `orders-3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// The partition of that topic with that number.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }

    /// A partition read from a key.
    pub(crate) fn checked(
        format: Format,
        topic: String,
        partition: i32,
    ) -> Result<Self, DecodeError> {
        if topic.is_empty() || partition < 0 {
            return Err(DecodeError::malformed(
                format,
                "it names no topic or a negative partition",
            ));
        }
        Ok(Self {
            topic: Arc::from(topic),
            partition,
        })
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
