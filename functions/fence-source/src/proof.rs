//! What proves a fence: writes that are refused, and ends that stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use understudy_domain::TopicPartition;
use understudy_recovery::StepError;
use understudy_shell::World;
use understudy_shell::step::at_source;
use understudy_shell::world::{Cluster, Ends};

/// Brokers learn of ACLs one after the other; a look that does not show them, or a write that was taken, is tried again,
/// for so long together.
pub const LEARN_WITHIN_MS: i64 = 5_000;
/// How long between two tries.
pub const PAUSE: Duration = Duration::from_millis(200);
/// How long between two looks at ends that are to stand.
const STAND: Duration = Duration::from_millis(400);
/// For how long open transactions are waited for: they end, or their brokers end them.
const STAND_WITHIN_MS: i64 = 5_000;

/// Whether every topic refuses a write; in words why not.
///
/// # Errors
/// The cluster does not answer.
pub fn refused(
    world: &World,
    source: &dyn Cluster,
    topics: &BTreeSet<String>,
    within: Duration,
) -> Result<Result<(), String>, StepError> {
    let until = world.clock.now_ms().saturating_add(LEARN_WITHIN_MS);
    let mut open = topics.clone();
    loop {
        let tried = source.open_to_writer(&open, within);
        let Some(still) = tried.map_err(|error| at_source(&error))? else {
            return Ok(Err(
                "the pair holds no login of a fenced writer to try a write with; set fencing.proof"
                    .to_owned(),
            ));
        };
        let Some(topic) = still.first() else {
            return Ok(Ok(()));
        };
        if world.clock.now_ms() >= until {
            return Ok(Err(format!(
                "a write to {topic} was not refused although ACLs deny it: is its writer a super user, or let in by IAM?"
            )));
        }
        open = still;
        world.clock.sleep(PAUSE);
    }
}

/// Whether every end stands, with nothing open before it; in words why not.
///
/// # Errors
/// The cluster does not answer.
pub fn standing(
    world: &World,
    source: &dyn Cluster,
    partitions: &BTreeSet<TopicPartition>,
    within: Duration,
) -> Result<Result<(), String>, StepError> {
    let look = || -> Result<BTreeMap<TopicPartition, Ends>, StepError> {
        let ends = source.ends(partitions, within);
        ends.map_err(|error| at_source(&error))
    };
    let until = world.clock.now_ms().saturating_add(STAND_WITHIN_MS);
    let mut before = look()?;
    loop {
        world.clock.sleep(STAND);
        let now = look()?;
        let moving = now.iter().find(|(partition, ends)| {
            ends.last_stable != ends.high_watermark || before.get(partition) != Some(ends)
        });
        let Some((partition, ends)) = moving else {
            return Ok(Ok(()));
        };
        if world.clock.now_ms() >= until {
            // While it grows, the two ends are not told of the same moment.
            let stands = before.get(partition).map(|it| it.last_stable) == Some(ends.last_stable);
            let reason = if stands {
                format!("a transaction is open in {partition}")
            } else {
                format!(
                    "{partition} still grows: somebody writes to it who is not shut out; name that writer in fencing.writers, or \
                     stop it"
                )
            };
            return Ok(Err(reason));
        }
        before = now;
    }
}
