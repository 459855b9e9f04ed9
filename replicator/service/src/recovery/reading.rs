//! What recoveries left in the pair's folder, read back: `understudy evidence`.

use understudy_recovery::evidence::Evidence;
use understudy_shell::keys;
use understudy_shell::step::{at_store, load};

use super::home::{Home, LocalError};
use super::summary;

/// Prints the evidence of an execution, or of the newest one. True if its target is active, or the drill is done.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn evidence(home: &Home, execution: Option<&str>, json: bool) -> Result<bool, LocalError> {
    let evidence = match execution {
        Some(execution) => load(&home.world, &keys::evidence(execution))?,
        None => newest(home)?,
    };
    let Some(evidence) = evidence else {
        let what = execution.map_or_else(
            || format!("no recovery of pair {}", home.world.pair.name),
            |execution| format!("no evidence of {execution}"),
        );
        return Err(LocalError::No(format!(
            "{} holds {what}; evidence is written when a recovery or a drill ends",
            home.state.display()
        )));
    };
    let evidence: Evidence = evidence;
    let name = evidence.execution.to_string();
    if json {
        let text = serde_json::to_string_pretty(&evidence)
            .map_err(|error| LocalError::Defect(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", summary::of(&evidence));
        println!("  page      {}", home.path(&keys::page(&name)).display());
    }
    Ok(matches!(
        evidence.ended.as_str(),
        "TargetActive" | "StandbyReady" | "DrillDone"
    ))
}

/// The evidence that was written last.
fn newest(home: &Home) -> Result<Option<Evidence>, LocalError> {
    let mut newest: Option<Evidence> = None;
    for execution in executions(home)? {
        let found: Option<Evidence> = load(&home.world, &keys::evidence(&execution))?;
        if let Some(found) = found
            && newest
                .as_ref()
                .is_none_or(|newest| newest.ended_at_ms <= found.ended_at_ms)
        {
            newest = Some(found);
        }
    }
    Ok(newest)
}

/// Every execution that has left something, in the order of their names.
///
/// # Errors
/// The store cannot be read.
pub fn executions(home: &Home) -> Result<Vec<String>, LocalError> {
    let listed = home
        .world
        .store
        .list("recoveries/")
        .map_err(|error| at_store(&error))?;
    let mut names: Vec<String> = listed
        .iter()
        .filter_map(|key| key.strip_prefix("recoveries/")?.split('/').next())
        .map(str::to_owned)
        .collect();
    names.dedup();
    Ok(names)
}
