//! What a recovery will do, or why it will not. Decided from an assessment, the pair, and who asked.

mod decide;
mod waves;
mod will;

use serde::{Deserialize, Serialize};

use crate::client::Role;
use crate::{Alias, Epoch, LossBound, Mode};

pub use decide::decide;
pub use waves::waves;

/// Who wants a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Wish {
    /// An alarm, or the schedule that looks again while one stands.
    Alarm {
        /// Its name.
        alarm: String,
    },
    /// A person.
    Person {
        /// Who, as the caller's identity says.
        name: String,
        /// Why.
        reason: String,
    },
}

/// What will be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What kind of recovery it is.
    pub mode: Mode,
    /// The epoch.
    pub epoch: Epoch,
    /// The cluster that is left.
    pub source: Alias,
    /// The cluster that becomes active.
    pub target: Alias,
    /// The flow that is sealed.
    pub flow: String,
    /// What is expected to be lost.
    pub loss: LossBound,
    /// Applications in the order in which they move: consumers before producers, waves in order.
    pub waves: Vec<Wave>,
    /// Groups that are left alone because somebody is in them on the target.
    pub live_groups: Vec<String>,
    /// Each thing that will be done, in words, in order.
    pub will: Vec<String>,
}

/// Applications that move together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Their number, from 0.
    pub number: u32,
    /// What they do.
    pub role: Role,
    /// Their names.
    pub applications: Vec<String>,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "kebab-case")]
pub enum Decision {
    /// It is done.
    Proceed,
    /// A person is asked first.
    Ask {
        /// What is asked, with the numbers.
        question: String,
    },
    /// It is not done.
    Refuse {
        /// `not failing over: ` and why.
        reason: String,
    },
}

impl Plan {
    /// A short name for exactly this plan: what a person approves is what is carried out. FNV-1a over the plan's JSON;
    /// it guards against a plan that changed, not against a forger, who could not store one either.
    pub fn digest(&self) -> String {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}
