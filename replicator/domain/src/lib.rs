//! What Understudy decides, and the formats in which it keeps its state.
//!
//! Pure: no I/O, no clock, no randomness, no async. Time, observations and
//! bytes come in as arguments; values and bytes go out. No input panics.
//!
//! - Places: [`SourceOffset`], [`TargetOffset`], [`TopicPartition`], [`Slot`].
//! - Names: [`ReplicationPolicy`], [`FlowName`].
//! - Credentials: [`Mechanism`], [`SecretRef`], [`AccessToken`], [`CertificateEnd`].
//! - The offset map: [`Run`], [`Runs`], [`OffsetMap`], [`Translation`].
//! - Settings that follow the source's: [`plan_configs`], [`plan_acls`].
//! - State on the target: [`Position`], [`MapRecord`], [`FlowRecord`], [`GapRecord`],
//!   [`SettingsMade`] and the names in [`StateTopics`]. `docs/formats.md` describes them for people.
//! - [`Readiness`]: could we fail over now, and what would it cost.
//! - [`tail`]: what a cluster that came back holds beyond the cut, and how that is put aside.
//! - Permissions: [`permissions::needs`], how they are granted ([`grants`]), what ACLs say ([`acl`]).
//! - Clusters seen from outside: [`ApiVersions`], [`not_after`].
//! - MirrorMaker 2's own records: [`mm2`].

mod access_token;
pub mod acl;
mod acl_sync;
mod binding;
mod certificate;
mod certificate_end;
mod config_sync;
mod decode;
mod directory;
mod end_look;
mod features;
mod flow;
mod flow_name;
mod former_home;
mod gap;
pub mod grants;
mod json;
mod map_key;
mod map_reader;
mod map_record;
mod map_search;
mod mechanism;
pub mod mm2;
mod offset_map;
mod offsets;
mod open_chunk;
mod partition;
pub mod permissions;
mod policy;
mod position;
mod readiness;
mod replication;
mod run;
mod secret_ref;
mod settings;
mod slot;
pub mod tail;
mod topics;
mod translation;
mod varint;
mod version;
pub mod words;

pub use access_token::{AccessToken, AccessTokenError};
pub use acl_sync::{AclPlan, AclRules, AclWrite, FirstAcl, plan_acls};
pub use binding::{Acl, AclOperation, AclPattern, AclPermission, AclResource};
pub use certificate::{NotACertificate, not_after};
pub use certificate_end::CertificateEnd;
pub use config_sync::{
    CLEANUP_POLICY, CREATE_TIME, ConfigEntries, ConfigEntry, ConfigOrigin, ConfigPlan, ConfigRules,
    DefaultsFrom, MIN_INSYNC_REPLICAS, TIMESTAMP_TYPE, creation_configs, plan_configs,
};
pub use decode::{DecodeError, Format};
pub use directory::{ChunkStart, PAGE_CHUNKS, Page};
pub use end_look::EndLook;
pub use features::{ApiVersions, Metadata};
pub use flow::{FlowRecord, FlowState};
pub use flow_name::{FlowName, FlowNameError};
pub use former_home::FormerHome;
pub use gap::{
    GapCause, GapKey, GapPolicy, GapRecord, GapState, LostPolicy, RecreatedPolicy, Resolution,
};
pub use map_key::MapKey;
pub use map_reader::{FoldError, MapReader};
pub use map_record::MapRecord;
pub use map_search::{MapSearch, Step};
pub use mechanism::{Mechanism, msk_region};
pub use offset_map::{OffsetMap, Origin, Replicated};
pub use offsets::{SourceOffset, TargetOffset};
pub use open_chunk::{CHUNK_RUNS, DELTA_RING, OpenChunk, Pending, StalePlan};
pub use partition::TopicPartition;
pub use policy::ReplicationPolicy;
pub use position::{MapCursor, Position};
pub use readiness::{
    Condition, GapLook, GroupLook, Look, Objectives, Obstacle, PartitionLook, PlaceState,
    Readiness, Reason, Reread, Verdict,
};
pub use replication::{min_insync_replicas, replicas};
pub use run::{Run, RunError, Runs};
pub use secret_ref::{SecretArn, SecretFieldError, SecretRef, SecretRefError};
pub use settings::{AclAdded, ConfigsSet, SettingKey, SettingsMade};
pub use slot::{Slot, slot_of};
pub use topics::{StateTopics, is_internal};
pub use translation::Translation;
pub use version::VERSION;
