//! Places in a partition. The two sides number their records apart, so they
//! are two types; nothing turns one into the other but the offset map.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An offset in a partition of the source cluster.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct SourceOffset(i64);

/// An offset in a partition of the target cluster.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TargetOffset(i64);

macro_rules! offset {
    ($name:ident) => {
        impl $name {
            /// Where every partition begins.
            pub const ZERO: Self = Self(0);

            /// The offset with this number.
            pub const fn new(offset: i64) -> Self {
                Self(offset)
            }

            /// The number, as Kafka writes it.
            pub const fn get(self) -> i64 {
                self.0
            }

            /// The offset after this one; the last one stays.
            pub const fn next(self) -> Self {
                self.plus(1)
            }

            /// The offset so many places on; stops at the last one.
            pub const fn plus(self, places: u64) -> Self {
                Self(self.0.saturating_add_unsigned(places))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

offset!(SourceOffset);
offset!(TargetOffset);
