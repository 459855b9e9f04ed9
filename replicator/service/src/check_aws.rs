//! `understudy check PAIR.toml --aws`: whether a deployed pair is ready for a failover tonight.
//!
//! a. It only reads, and reads no secret.
//! b. What it may not see is *unknown*, never *ok*. A Region that does not answer at all does not hold.
//! c. Every call has a time limit, and so has the whole.
//!
//! What AWS says is [`understudy_aws::Inventory`]'s; what it means is [`judge`]'s.

mod drift;
mod finding;
mod judge;
mod region;
mod walk;

use std::path::Path;
use std::time::{Duration, Instant};

use understudy_aws::{DeployedFunctions, Inventory, Regions, Session, Settings};
use understudy_recovery::pair::Pair;
use understudy_recovery::{Alias, Step};
use understudy_world::PairFile;

use self::finding::{Place, Readiness};
use self::region::Seen;
use crate::chain::chain;

/// Why a pair cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum CheckAwsError {
    /// The pair file, or a flow file beside it.
    #[error("{0}")]
    Pair(String),
    /// There is no way to AWS.
    #[error("{0}")]
    Session(String),
}

/// Looks at a pair in both Regions, for at most about `within`. `region` is where it begins; the Region of the cluster
/// that is not home unless told.
///
/// # Errors
/// The files cannot be read, or there is no way to AWS. What AWS does not tell is a finding.
pub fn run(
    path: &Path,
    region: Option<&str>,
    within: Duration,
) -> Result<Readiness, CheckAwsError> {
    let deadline = Instant::now() + within;
    let unusable = |error: String| CheckAwsError::Pair(error);
    let file = PairFile::alone(path).map_err(|error| unusable(chain(&error)))?;
    let files = drift::of_files(&file).map_err(unusable)?;
    let pair = &*file.pair;
    let sides = sides(pair).ok_or_else(|| unusable("a pair has two clusters".to_owned()))?;
    let here = region.unwrap_or(sides.1.1);
    let session = Session::open_in(here)
        .and_then(|session| session.must_have_credentials().map(|()| session))
        .map_err(|error| CheckAwsError::Session(chain(&error)))?;
    let regions = Regions::new(session.clone(), elsewhere(pair, &session));
    let look = |side: Side<'_>, other: Side<'_>| {
        let inventory = Inventory::new(&regions, side.1, deadline);
        walk::look(&inventory, &regions, &file.pair, &files, side, other)
    };
    // Both at once: each is mostly waited for.
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| look(sides.0, sides.1));
        let second = look(sides.1, sides.0);
        (first.join(), second)
    });
    // A panic in it was already reported.
    let seen = [first.unwrap_or_else(|_| Seen::broken(sides.0)), second];
    let active = region::active(&seen, &pair.home);
    let both_run = drift::both_run(&files);
    let mut places: Vec<Place> = seen
        .iter()
        .map(|it| it.place(pair, active, both_run))
        .collect();
    if let Some(name) = &pair.glue_registry {
        places.push(region::registries(name, &seen, active));
    }
    places.push(region::both(&seen, active));
    places.retain(|place| !place.findings.is_empty());
    Ok(Readiness::new(pair.name.as_str(), places))
}

/// A cluster and its Region.
type Side<'a> = (&'a Alias, &'a str);

/// Home first.
fn sides(pair: &Pair) -> Option<(Side<'_>, Side<'_>)> {
    let side = |alias: &Alias| {
        let (alias, cluster) = pair.clusters.get_key_value(alias)?;
        Some((alias, cluster.region.as_str()))
    };
    Some((side(&pair.home)?, side(pair.other(&pair.home)?)?))
}

/// Where other Regions are reached, if not under AWS's own names: as the functions are told.
fn elsewhere(pair: &Pair, session: &Session) -> std::collections::BTreeMap<String, String> {
    let function = format!("understudy-{}-{}", pair.name, Step::TriggerRecovery);
    let environment = DeployedFunctions::new(session).environment(&function);
    let settings = environment
        .ok()
        .and_then(|environment| Settings::read(|key| environment.get(key).cloned()).ok());
    settings.map(|it| it.endpoint_urls).unwrap_or_default()
}
