//! `understudy fence`: shuts writers out of a cluster that a recovery left, once it answers again.

use std::time::Duration;

use serde_json::json;
use understudy_recovery::contract::{Fenced, FencesKept};
use understudy_recovery::{Alias, Phase, Step};

use understudy_shell::step::at_ledger;

use super::home::{Home, LocalError};

/// How long between two looks.
const LOOK: Duration = Duration::from_secs(5);

/// Sets and proves what the ledger wants fenced. True if nothing is left to be fenced.
///
/// # Errors
/// A recovery is under way, or the ledger cannot be read.
pub fn run(home: &Home, wait: bool, json: bool) -> Result<bool, LocalError> {
    let mut told = None;
    loop {
        if let Phase::Recovering(running) = &home.ledger()?.phase {
            return Err(LocalError::No(format!(
                "{} is under way and sees to fences itself; ask again when it has ended",
                running.execution
            )));
        }
        // The cluster that comes back holds an old copy of the ledger; it has to know who is active.
        let behind = home.world.ledger.level(&home.world.pair.name);
        let behind = behind.map_err(|error| at_ledger(&error))?;
        let answer = home.invoke(Step::KeepFences, json!({ "pair": home.world.pair.name }))?;
        let kept: FencesKept = serde_json::from_value(answer.clone())
            .map_err(|error| LocalError::Defect(error.to_string()))?;
        // One without a login to try a write with is as good as it gets.
        let done = behind.is_empty() && kept.fences.values().all(|fenced| fenced.set);
        let found = Some((kept, behind));
        if told != found {
            if let Some((kept, behind)) = &found {
                if json {
                    println!("{answer}");
                } else {
                    print!("{}", words(kept, behind));
                }
            }
            told = found;
        }
        if done || !wait {
            return Ok(done);
        }
        std::thread::sleep(LOOK);
    }
}

fn words(kept: &FencesKept, behind: &[Alias]) -> String {
    let behind = behind
        .iter()
        .map(|alias| format!("{alias} does not hold the newest ledger yet: it does not answer\n"));
    if kept.fences.is_empty() {
        let nothing = "nothing is left to be fenced\n".to_owned();
        return behind.chain([nothing]).collect();
    }
    let line = |(alias, fenced): (&Alias, &Fenced)| {
        let reason = fenced.reason.as_deref().unwrap_or("no reason was given");
        match (fenced.set, fenced.proven) {
            (_, true) => format!("{alias} is fenced: a write was refused, and every end stands\n"),
            (true, false) => format!("{alias} is fenced, which is not proven: {reason}\n"),
            (false, false) => format!("{alias} is not fenced: {reason}\n"),
        }
    };
    behind.chain(kept.fences.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cluster_is_told_as_it_stands() -> Result<(), Box<dyn std::error::Error>> {
        let kept: FencesKept = serde_json::from_value(json!({"fences": {
            "use1": {"set": false, "proven": false, "reason": "no broker answers"},
            "usw2": {"set": true, "proven": true, "reason": null},
        }}))?;
        assert_eq!(
            words(&kept, &[]),
            "use1 is not fenced: no broker answers\n\
             usw2 is fenced: a write was refused, and every end stands\n"
        );
        assert_eq!(
            words(&FencesKept::default(), &[Alias::new("use1")?]),
            "use1 does not hold the newest ledger yet: it does not answer\nnothing is left to be fenced\n"
        );
        Ok(())
    }
}
