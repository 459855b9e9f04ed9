//! Partitions that a topic has no more since it was made again with fewer: each is a gap like those of the others,
//! though nothing follows it.

use understudy_domain::{GapCause, GapKey, SourceOffset, TopicPartition};

use crate::catalog::Listing;
use crate::holding::Holding;

impl Holding {
    /// The slot's partitions that vanished from the source, whose gap is not settled.
    pub(crate) fn vanished(&self, listing: &Listing) -> Vec<TopicPartition> {
        let gone = self.state.partitions().filter(|partition| {
            let Some(entry) = self.state.get(partition) else {
                return false;
            };
            let position = &entry.position;
            let key = GapKey {
                partition: (*partition).clone(),
                incarnation: position.incarnation,
                start: position.source_offset,
            };
            listing.is_vanished(partition, position.source_topic_id.as_deref())
                && !self.gaps.is_settled(&key, GapCause::Recreated)
        });
        gone.cloned().collect()
    }

    /// Whether the source's topic was made again without this partition.
    pub(crate) fn is_vanished(&self, partition: &TopicPartition) -> bool {
        let listing = self.context.catalog.listing();
        let position = self.state.get(partition).map(|entry| &entry.position);
        position.is_some_and(|position| {
            listing.is_vanished(partition, position.source_topic_id.as_deref())
        })
    }

    /// What was last seen of a partition that vanished, in words that go on behind others.
    pub(crate) fn last_seen(&self, partition: &TopicPartition) -> String {
        const NONE_FOLLOWS: &str = ". The new topic has no such partition: nothing follows";
        let Some(entry) = self.state.get(partition) else {
            return NONE_FOLLOWS.to_owned();
        };
        let shown = self.context.board.hold();
        let on_board = shown
            .partitions
            .get(partition)
            .and_then(|it| it.source_end_offset);
        let copied = entry.position.source_offset;
        let seen = match entry.position.source_end_offset.max(on_board) {
            None => String::new(),
            Some(end) if end > copied => {
                let last = SourceOffset::get(end).saturating_sub(1);
                format!(". Offsets {copied} to {last} of it were seen, and not copied")
            }
            Some(_) => ". All that was seen of it is copied".to_owned(),
        };
        format!("{seen}{NONE_FOLLOWS}")
    }
}
