//! The only `unsafe` code of Understudy: the librdkafka calls that the safe crate lacks or makes too dear.
//!
//! - [`reader`]: fetches through librdkafka's simple consumer into one queue, in batches. It has no consumer
//!   group, so the source sees neither a group nor a look-up of one.
//! - [`writer`]: a transactional producer whose delivery reports come in batches and carry their source offset.
//! - [`admin`]: calls on offsets by isolation level.
//! - [`login`]: what running clients log in with, changed while they run.
//! - [`topic_ids`]: what tells a topic from a later one of the same name.
//! - [`describe`]: descriptions with what the principal may do, and ACLs.
//! - [`certificates`]: what a server shows in a TLS handshake.
//! - [`groups`]: the places that a consumer group has committed.
//! - [`configs`], [`acls`]: what a cluster holds beside records.
//! - [`names`]: the property names that librdkafka knows.
//!
//! Invariants, each kept by a type:
//! a. a native object is destroyed once, after everything that was made from it;
//! b. a native message lives exactly as long as its [`reader::Record`];
//! c. headers have one owner: the record, or the producer once it took the record;
//! d. an enlisted client is taken out before it is destroyed.
#![expect(
    unsafe_code,
    reason = "calls into librdkafka; everything above this module is safe"
)]

mod acks;
pub mod acls;
pub mod admin;
mod call;
pub mod certificates;
mod code;
pub mod configs;
pub mod describe;
pub mod groups;
pub mod login;
pub mod names;
pub mod reader;
mod topic;
pub mod topic_ids;
pub mod writer;
