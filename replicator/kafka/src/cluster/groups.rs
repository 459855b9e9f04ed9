//! Groups of a cluster, and where they stand.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use understudy_domain::TopicPartition;

use super::{Cluster, MOVING_LOOK};
use crate::fault::{Fault, Operation};
use crate::ffi::groups::{
    GroupPlaces, GroupState, OtherGroup, Patience, Told, delete_group_places, list_groups,
    other_groups, tell_group_places,
};
use crate::ffi::reader::Reader;

/// How much time there must be for asking once more to make sense.
const ONE_MORE: Duration = Duration::from_secs(1);
/// How often it is asked for all groups while a coordinator reads its log, and for how long: it has done so within seconds,
/// and others may be waiting behind this call.
const LOADING_LOOK: Duration = Duration::from_millis(500);
const LOADING_LIMIT: Duration = Duration::from_secs(5);

/// Whether nobody answers for a group just now: its coordinator moves when a broker goes, and reads its log first.
const fn is_between_coordinators(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotCoordinator
            | RDKafkaErrorCode::CoordinatorNotAvailable
            | RDKafkaErrorCode::CoordinatorLoadInProgress
    )
}

/// Asks with what is left of `within`, and again after `pause` while nobody answers for a group, for no longer than `limit`.
fn until_coordinated<T>(
    within: Duration,
    pause: Duration,
    limit: Duration,
    ask: impl Fn(Duration) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let asked = Instant::now();
    let left = || within.saturating_sub(asked.elapsed());
    loop {
        match ask(left()) {
            Err(Fault::Kafka {
                code: Some(code), ..
            }) if is_between_coordinators(code) && left() > ONE_MORE && asked.elapsed() < limit => {
                thread::sleep(pause);
            }
            answer => return answer,
        }
    }
}

impl Cluster {
    /// Asks for places of these groups; a client that was not answered by all of them is not asked again.
    fn ask_groups<G: AsRef<str>>(
        &self,
        groups: &[G],
        patience: Patience,
        tell: &mut dyn FnMut(usize, Told<'_>),
    ) -> Result<usize, Fault> {
        let Some(first) = groups.first() else {
            return Ok(0);
        };
        let clients = self.clients()?;
        let mut held = clients.groups.borrow_mut();
        let reader = match held.take() {
            Some(reader) => reader,
            None => Reader::new(
                &self.endpoint.reader_of_groups(first.as_ref()),
                self.endpoint.watch.clone(),
            )?,
        };
        let mut answered = 0;
        let asked = tell_group_places(&reader, groups, patience, &mut |number, told| {
            let is_true = match &told {
                Told::End(
                    Ok(())
                    | Err(
                        Fault::Denied { .. }
                        | Fault::Kafka {
                            // What is asked of a group of another kind, as share groups are.
                            code: Some(RDKafkaErrorCode::GroupIdNotFound),
                            ..
                        },
                    ),
                ) => true,
                Told::End(Err(_)) | Told::Place(..) => false,
            };
            answered += usize::from(is_true);
            tell(number, told);
        })?;
        reader.serve();
        if answered == groups.len() {
            *held = Some(reader);
        }
        Ok(asked)
    }

    /// The places that a group has committed, on all topics that the principal may see; empty for a group that the
    /// cluster does not know.
    ///
    /// # Errors
    /// No answer within `within`, or what the broker answered.
    pub fn group_places(&self, group: &str, within: Duration) -> Result<GroupPlaces, Fault> {
        until_coordinated(within, MOVING_LOOK, within, |left| {
            self.group_places_once(group, left)
        })
    }

    fn group_places_once(&self, group: &str, within: Duration) -> Result<GroupPlaces, Fault> {
        let mut told_so_far = GroupPlaces::new();
        let mut ended = Err(Fault::TimedOut {
            operation: Operation::GroupOffsets,
            subject: group.to_owned(),
            within,
        });
        self.ask_groups(&[group], within.into(), &mut |_, told| match told {
            Told::Place(topic, partition, place, _) => {
                told_so_far.insert(TopicPartition::new(topic, partition), place);
            }
            Told::End(answer) => ended = answer,
        })?;
        let places = ended.map(|()| told_so_far);
        if places.is_ok() {
            self.endpoint.watch.settled();
        }
        places
    }

    /// The cluster's groups, and whether anybody is in them.
    ///
    /// # Errors
    /// As [`list_groups`].
    pub fn group_states(&self, within: Duration) -> Result<BTreeMap<String, GroupState>, Fault> {
        until_coordinated(within, LOADING_LOOK, LOADING_LIMIT, |left| {
            self.asked(|reader| list_groups(reader, left))
        })
    }

    /// Whether anybody is in a group of any kind, Kafka Connect's among them; a group that the cluster does not know is
    /// empty.
    ///
    /// # Errors
    /// No broker answered within `within`, or the principal may not see the group.
    pub fn group_has_members(&self, group: &str, within: Duration) -> Result<bool, Fault> {
        // A group that may not be seen is not listed either; this call tells the difference.
        self.group_places(group, within)?;
        let list = until_coordinated(within, LOADING_LOOK, LOADING_LIMIT, |left| {
            self.asked(|reader| {
                let answer = reader.client().client().fetch_group_list(Some(group), left);
                answer.map_err(|error| Fault::kafka(Operation::ListGroups, group, error))
            })
        })?;
        Ok(list
            .groups()
            .iter()
            .any(|found| found.name() == group && !found.members().is_empty()))
    }

    /// The places of many groups; how many of them were asked for, in their order.
    ///
    /// # Errors
    /// As [`tell_group_places`].
    pub fn tell_group_places<G: AsRef<str>>(
        &self,
        groups: &[G],
        patience: impl Into<Patience>,
        tell: &mut dyn FnMut(usize, Told<'_>),
    ) -> Result<usize, Fault> {
        self.ask_groups(groups, patience.into(), tell)
    }

    /// Groups that are none of consumers, such as share groups and streams groups, that the principal may see.
    ///
    /// # Errors
    /// As [`other_groups`].
    pub fn other_groups(
        &self,
        is_consumers: &dyn Fn(&str) -> bool,
        within: Duration,
    ) -> Result<BTreeMap<String, OtherGroup>, Fault> {
        until_coordinated(within, LOADING_LOOK, LOADING_LIMIT, |left| {
            self.asked(|reader| other_groups(reader, is_consumers, left))
        })
    }

    /// Deletes places of a group without members.
    ///
    /// # Errors
    /// As [`delete_group_places`].
    pub fn delete_group_places(
        &self,
        group: &str,
        places: &[TopicPartition],
        within: Duration,
    ) -> Result<(), Fault> {
        self.asked(|reader| delete_group_places(reader, group, places, within))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_group_is_asked_for_again_while_nobody_answers_for_it_and_only_then() {
        let within = ONE_MORE * 10;
        let fault = |code| Fault::kafka_code(Operation::ListGroups, "use1", code);
        for (code, again) in [
            (RDKafkaErrorCode::CoordinatorLoadInProgress, true),
            (RDKafkaErrorCode::NotCoordinator, true),
            (RDKafkaErrorCode::GroupAuthorizationFailed, false),
            (RDKafkaErrorCode::InvalidGroupId, false),
        ] {
            let asked = Cell::new(0);
            let answer = until_coordinated(within, Duration::ZERO, within, |left| {
                assert!(left <= within);
                asked.set(asked.get() + 1);
                if asked.get() < 3 {
                    Err(fault(code))
                } else {
                    Ok(asked.get())
                }
            });
            assert_eq!(answer.ok(), again.then_some(3), "{code:?}");
        }
        // Without the time for one more, and beyond the limit, what was answered is told.
        for (within, limit) in [(ONE_MORE, ONE_MORE), (within, Duration::ZERO)] {
            let asked = Cell::new(0);
            let answer = until_coordinated::<()>(within, Duration::ZERO, limit, |_| {
                asked.set(asked.get() + 1);
                Err(fault(RDKafkaErrorCode::CoordinatorLoadInProgress))
            });
            assert!(answer.is_err());
            assert_eq!(asked.get(), 1);
        }
    }
}
