//! The places that a consumer group has committed.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_void};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;
use understudy_domain::TopicPartition;

use super::call::{COORDINATOR_LIMIT, ask};
use super::code::code_at;
use super::reader::Reader;
use crate::fault::{Fault, Operation};

/// The next record that a group reads, by partition; partitions that the broker answered with an error hold that
/// error. Partitions without a committed place are absent.
pub type GroupPlaces = BTreeMap<TopicPartition, Result<i64, RDKafkaErrorCode>>;

/// How many calls are under way at once.
const AT_ONCE: usize = 64;
/// What is waited beyond the request's own time limit, so that librdkafka's answer is told rather than ours.
const GRACE: Duration = Duration::from_secs(1);

/// How long answers about many groups are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long nothing at all may be answered.
    pub silence: Duration,
    /// How long it may take all in all.
    pub all: Duration,
}

impl Patience {
    /// For a call for each of a cluster's groups, where somebody waits who can.
    pub const FOR_ALL: Self = Self {
        silence: Duration::from_secs(5),
        all: Duration::from_secs(60),
    };
}

impl From<Duration> for Patience {
    fn from(all: Duration) -> Self {
        Self { silence: all, all }
    }
}

/// Who committed a place, as far as it tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// A consumer of the group: it read up to there.
    Consumer,
    /// A tool, a transaction such as ours, or a client that notes no leader epoch.
    Other,
}

/// A piece of the answer about one of many groups.
#[derive(Debug)]
pub enum Told<'a> {
    /// One of its places, or what the broker answered about that partition.
    Place(&'a str, i32, Result<i64, RDKafkaErrorCode>, Author),
    /// That was all, or the call failed and what was told before does not count.
    End(Result<(), Fault>),
}

/// Asks for every place of many groups; librdkafka takes one group a call, so many calls are under way at once.
/// `tell` hears the answers, each with the group's number in `groups`, the pieces of one answer one after the other:
/// there may be a hundred thousand places, of which hardly any changed. It ends when `patience`
/// does; about groups that were not answered by then it hears nothing. Returns how many groups were asked for, in their
/// order.
///
/// # Errors
/// A name that cannot be one.
pub fn tell_group_places<G: AsRef<str>>(
    reader: &Reader,
    groups: &[G],
    patience: Patience,
    tell: &mut dyn FnMut(usize, Told<'_>),
) -> Result<usize, Fault> {
    let names: Vec<CString> = groups
        .iter()
        .map(|group| CString::new(group.as_ref()).map_err(|_nul| Fault::name(group.as_ref())))
        .collect::<Result<_, _>>()?;
    let native = reader.client().client().native_ptr();
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let deadline = Instant::now() + patience.all;
    let (mut answered, mut next) = (0, 0);
    // SAFETY: every object made here is destroyed here, events after the last look at their contents; the client
    // outlives the block, and a call copies what it is asked about. The opaque is a number, never followed.
    unsafe {
        let queue = rdsys::rd_kafka_queue_new(native);
        let mut under_way = 0;
        while answered < names.len() {
            while under_way < AT_ONCE
                && let Some(name) = names.get(next)
            {
                let options = rdsys::rd_kafka_AdminOptions_new(
                    native,
                    rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
                );
                let mut text = [0_i8; 256];
                rdsys::rd_kafka_AdminOptions_set_request_timeout(
                    options,
                    millis(COORDINATOR_LIMIT),
                    text.as_mut_ptr().cast(),
                    text.len(),
                );
                rdsys::rd_kafka_AdminOptions_set_opaque(options, next as *mut c_void);
                // No list of partitions means all.
                let mut asked =
                    rdsys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), std::ptr::null());
                rdsys::rd_kafka_ListConsumerGroupOffsets(native, &raw mut asked, 1, options, queue);
                rdsys::rd_kafka_ListConsumerGroupOffsets_destroy(asked);
                rdsys::rd_kafka_AdminOptions_destroy(options);
                next += 1;
                under_way += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let event = rdsys::rd_kafka_queue_poll(queue, millis(left.min(patience.silence)));
            if event.is_null() {
                break;
            }
            under_way -= 1;
            answered += 1;
            let number = rdsys::rd_kafka_event_opaque(event) as usize;
            if let Some(group) = groups.get(number) {
                let group = group.as_ref();
                let code = rdsys::rd_kafka_event_error(event);
                let answer = if code == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    tell_places(event, group, &mut |told| tell(number, told))
                } else {
                    let reason = CStr::from_ptr(rdsys::rd_kafka_event_error_string(event))
                        .to_string_lossy()
                        .into_owned();
                    let code = RDKafkaErrorCode::from(code);
                    Err(Fault::code(Operation::GroupOffsets, group, code, reason))
                };
                tell(number, Told::End(answer));
            }
            rdsys::rd_kafka_event_destroy(event);
        }
        rdsys::rd_kafka_queue_destroy(queue);
    }
    Ok(next)
}

/// The same, put together by group.
///
/// # Errors
/// As [`tell_group_places`].
pub fn many_group_places(
    reader: &Reader,
    groups: &[String],
    within: Duration,
) -> Result<BTreeMap<String, Result<GroupPlaces, Fault>>, Fault> {
    let (mut found, mut places) = (BTreeMap::new(), GroupPlaces::new());
    tell_group_places(
        reader,
        groups,
        within.into(),
        &mut |number, told| match told {
            Told::Place(topic, partition, place, _) => {
                places.insert(TopicPartition::new(topic, partition), place);
            }
            Told::End(answer) => {
                let places = std::mem::take(&mut places);
                if let Some(group) = groups.get(number) {
                    found.insert(group.clone(), answer.map(|()| places));
                }
            }
        },
    )?;
    Ok(found)
}

/// Whether anybody is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// Nobody: its places may be set.
    Empty,
    /// Somebody is, or may be.
    Live,
}

/// A group that [`list_groups`] leaves out, because librdkafka lists groups of consumers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherGroup {
    /// Of the classic protocol, with members of another type than consumers, such as Connect's workers.
    Classic(GroupState),
    /// Of a newer protocol: a streams group (KIP-1071) or a share group (KIP-932). Which of them, and whether anybody is
    /// in it, is not told.
    Newer,
}

/// Asks for the groups of a cluster and whether anybody is in them (`ListGroups`).
///
/// # Errors
/// The call as a whole failed or got no answer within `within`, or a broker did not tell its groups.
pub fn list_groups(
    reader: &Reader,
    within: Duration,
) -> Result<BTreeMap<String, GroupState>, Fault> {
    let native = reader.client().client().native_ptr();
    let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let alias = reader.client_alias();
    // SAFETY: every object made here is destroyed here, the event after the last look at its contents; the client
    // outlives the block.
    unsafe {
        let queue = rdsys::rd_kafka_queue_new(native);
        let options = rdsys::rd_kafka_AdminOptions_new(
            native,
            rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
        );
        let mut text = [0_i8; 256];
        rdsys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis(within),
            text.as_mut_ptr().cast(),
            text.len(),
        );
        rdsys::rd_kafka_ListConsumerGroups(native, options, queue);
        let event = rdsys::rd_kafka_queue_poll(queue, millis(within + GRACE));
        let answer = if event.is_null() {
            Err(Fault::TimedOut {
                operation: Operation::ListGroups,
                subject: alias,
                within,
            })
        } else {
            let code = rdsys::rd_kafka_event_error(event);
            if code == rdsys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                groups_of(event, &alias)
            } else {
                let code = RDKafkaErrorCode::from(code);
                Err(Fault::kafka_code(Operation::ListGroups, &alias, code))
            }
        };
        if !event.is_null() {
            rdsys::rd_kafka_event_destroy(event);
        }
        rdsys::rd_kafka_AdminOptions_destroy(options);
        rdsys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// `event` is a live result event of `ListConsumerGroups` without an error.
unsafe fn groups_of(
    event: *mut rdsys::rd_kafka_event_t,
    alias: &str,
) -> Result<BTreeMap<String, GroupState>, Fault> {
    use rdsys::rd_kafka_consumer_group_state_t as State;
    let mut groups = BTreeMap::new();
    // SAFETY: the result, its listings and errors live as long as the event.
    unsafe {
        let result = rdsys::rd_kafka_event_ListConsumerGroups_result(event);
        let mut count = 0_usize;
        let errors = rdsys::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
        if count > 0 {
            let code = RDKafkaErrorCode::from(rdsys::rd_kafka_error_code(*errors));
            return Err(Fault::kafka_code(Operation::ListGroups, alias, code));
        }
        let listed = rdsys::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
        for at in 0..count {
            let listing = *listed.add(at);
            let name = CStr::from_ptr(rdsys::rd_kafka_ConsumerGroupListing_group_id(listing));
            let Ok(name) = name.to_str() else { continue };
            let state = match rdsys::rd_kafka_ConsumerGroupListing_state(listing) {
                State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY
                | State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Empty,
                State::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN
                | State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE
                | State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE
                | State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE
                | State::RD_KAFKA_CONSUMER_GROUP_STATE__CNT => GroupState::Live,
            };
            groups.insert(name.to_owned(), state);
        }
    }
    Ok(groups)
}

/// # Safety
/// `event` is a live result event of `ListConsumerGroupOffsets` without an error.
unsafe fn tell_places(
    event: *mut rdsys::rd_kafka_event_t,
    name: &str,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<(), Fault> {
    // SAFETY: the result, its groups and their partitions live as long as the event.
    unsafe {
        let result = rdsys::rd_kafka_event_ListConsumerGroupOffsets_result(event);
        let mut count = 0_usize;
        let groups = rdsys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        for at in 0..count {
            let group = *groups.add(at);
            let error = rdsys::rd_kafka_group_result_error(group);
            if !error.is_null() {
                let code = RDKafkaErrorCode::from(rdsys::rd_kafka_error_code(error));
                return Err(Fault::kafka_code(Operation::GroupOffsets, name, code));
            }
            let list = rdsys::rd_kafka_group_result_partitions(group);
            if list.is_null() {
                continue;
            }
            let length = usize::try_from((*list).cnt).unwrap_or_default();
            for at in 0..length {
                let place = &*(*list).elems.add(at);
                let Ok(topic) = CStr::from_ptr(place.topic).to_str() else {
                    continue;
                };
                let code = code_at(&raw const place.err);
                if code != RDKafkaErrorCode::NoError {
                    tell(Told::Place(
                        topic,
                        place.partition,
                        Err(code),
                        Author::Other,
                    ));
                } else if place.offset >= 0 {
                    // Consumers note the epoch of the leader that they read from (KIP-320).
                    let author = match rdsys::rd_kafka_topic_partition_get_leader_epoch(place) {
                        epoch if epoch >= 0 => Author::Consumer,
                        _ => Author::Other,
                    };
                    tell(Told::Place(
                        topic,
                        place.partition,
                        Ok(place.offset),
                        author,
                    ));
                }
            }
        }
    }
    Ok(())
}

/// The groups of a cluster that are none of consumers, as far as the principal may see them. `is_consumers` knows those
/// that [`list_groups`] told; a group that came or went away between the two calls may be among the answers once.
///
/// # Errors
/// No broker answered within `within`, or one of them refused.
pub fn other_groups(
    reader: &Reader,
    is_consumers: &dyn Fn(&str) -> bool,
    within: Duration,
) -> Result<BTreeMap<String, OtherGroup>, Fault> {
    let all = reader
        .client()
        .fetch_group_list(None, within)
        .map_err(|error| Fault::kafka(Operation::ListGroups, &reader.client_alias(), error))?;
    let others = all.groups().iter();
    let others = others.filter(|group| !is_consumers(group.name()));
    let kind = |protocol: &str, state: &str| match (protocol, state) {
        // Brokers call groups that are not of the classic protocol dead here, of no protocol; where they do not tell,
        // there is no state.
        ("", "Dead" | "") => OtherGroup::Newer,
        (_, "Empty" | "Dead") => OtherGroup::Classic(GroupState::Empty),
        (_, _) => OtherGroup::Classic(GroupState::Live),
    };
    Ok(others
        .map(|group| {
            let kind = kind(group.protocol_type(), group.state());
            (group.name().to_owned(), kind)
        })
        .collect())
}

/// Deletes places of a group without members (`DeleteConsumerGroupOffsets`).
///
/// # Errors
/// The brokers refuse, or do not answer within `within`.
pub fn delete_group_places(
    reader: &Reader,
    group: &str,
    places: &[TopicPartition],
    within: Duration,
) -> Result<(), Fault> {
    let name = CString::new(group).map_err(|_nul| Fault::name(group))?;
    let mut list = TopicPartitionList::with_capacity(places.len());
    for place in places {
        list.add_partition(&place.topic, place.partition);
    }
    // SAFETY: one call, which copies name and list; the result lives as long as the event.
    let answer = unsafe {
        ask(
            reader,
            Operation::DeleteGroupOffsets,
            rdsys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETECONSUMERGROUPOFFSETS,
            within,
            |call| {
                let mut asked =
                    rdsys::rd_kafka_DeleteConsumerGroupOffsets_new(name.as_ptr(), list.ptr());
                rdsys::rd_kafka_DeleteConsumerGroupOffsets(
                    call.native,
                    &raw mut asked,
                    1,
                    call.options,
                    call.queue,
                );
                rdsys::rd_kafka_DeleteConsumerGroupOffsets_destroy(asked);
            },
            |event| {
                let result = rdsys::rd_kafka_event_DeleteConsumerGroupOffsets_result(event);
                let mut count = 0_usize;
                let groups = rdsys::rd_kafka_DeleteConsumerGroupOffsets_result_groups(
                    result,
                    &raw mut count,
                );
                if count == 0 {
                    return Ok(());
                }
                let error = rdsys::rd_kafka_group_result_error(*groups);
                if error.is_null() {
                    return Ok(());
                }
                let code = RDKafkaErrorCode::from(rdsys::rd_kafka_error_code(error));
                let operation = Operation::DeleteGroupOffsets;
                Err(Fault::kafka_code(operation, group, code))
            },
        )
    };
    match answer {
        // Nothing is there to be deleted.
        Err(Fault::Kafka {
            code: Some(RDKafkaErrorCode::GroupIdNotFound),
            ..
        }) => Ok(()),
        other => other,
    }
}
