//! `understudy watch`: follows a recovery that another process, or AWS, carries out, by what its steps leave.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use understudy_recovery::ExecutionName;
use understudy_recovery::evidence::{Evidence, StepRecord};
use understudy_shell::keys;
use understudy_shell::step::{at_store, folder_of, load};

use super::home::{Home, LocalError, Place};
use super::{approve, reading, summary};

/// How often is looked.
const LOOK: Duration = Duration::from_millis(300);

/// Who answers what is asked meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Yes, beforehand.
    Yes,
    /// Somebody at this terminal.
    Here,
    /// Somebody else.
    Elsewhere,
}

/// Follows an execution to its end: the one that was named, or the one that holds the pair, or the newest. True if its
/// target is active, or the drill is done.
///
/// # Errors
/// There is none, or the folder cannot be read.
pub fn run(home: &Home, execution: Option<&str>) -> Result<bool, LocalError> {
    let execution = match execution {
        Some(name) => name.to_owned(),
        None => under_way(home)?,
    };
    follow(home, &execution, Answers::Elsewhere, false)
}

/// Follows an execution to its end, and has its questions answered. With `json` its evidence is printed at the end, and
/// what happens goes to standard error. True if its target is active, or the drill is done.
///
/// # Errors
/// What it leaves cannot be read.
pub fn follow(
    home: &Home,
    execution: &str,
    answers: Answers,
    json: bool,
) -> Result<bool, LocalError> {
    let name: ExecutionName = execution
        .parse()
        .map_err(|error| LocalError::Pair(format!("{error}")))?;
    let said = |text: &str| say(text, json);
    let mut told: BTreeMap<String, StepRecord> = BTreeMap::new();
    // The digest of the question that is in view, and what it asks.
    let mut asked = (String::new(), String::new());
    said(&format!("{execution}\n"));
    loop {
        // Where that cannot be told it may: silence ends nothing.
        let runs = match home.place {
            Place::Here => home.is_running(&name) == Some(true),
            Place::Deployed(_) => home.is_running(&name) != Some(false),
        };
        let records = records(home, execution)?;
        let waiting = home.question(execution)?;
        let waiting = waiting.filter(|it| it.digest != asked.0);
        if let Some(waiting) = &waiting {
            asked = (waiting.digest.clone(), waiting.question.clone());
        }
        for (key, record) in records {
            if told.get(&key).is_none_or(|before| is_news(before, &record)) {
                said(&line(&record, &asked.1));
            }
            told.insert(key, record);
        }
        if let Some(waiting) = waiting {
            said(&format!(
                "  ? {}\n    answer: understudy approve {} {execution} {} --yes   (or --no)\n",
                waiting.question,
                home.pair_file.display(),
                home.option()
            ));
            let approve = match answers {
                Answers::Yes => Some(true),
                Answers::Here => Some(approve::ask_until_said()),
                Answers::Elsewhere => None,
            };
            if let Some(approve) = approve {
                approve::say(home, execution, &waiting.digest, approve, None)?;
            }
        }
        if !runs {
            return end(home, execution, json);
        }
        std::thread::sleep(LOOK);
    }
}

fn under_way(home: &Home) -> Result<String, LocalError> {
    let ledger = home.ledger()?;
    if let Some(running) = ledger.running() {
        return Ok(running.execution.to_string());
    }
    // A drill is in no ledger.
    let executions = reading::executions(home)?;
    let live = |name: &&String| {
        let name: Option<ExecutionName> = name.parse().ok();
        name.and_then(|name| home.is_running(&name)) == Some(true)
    };
    let found = executions.iter().find(live).or(executions.last());
    found.cloned().ok_or_else(|| {
        LocalError::No(format!(
            "no recovery of pair {} is under way, and there was none",
            ledger.pair
        ))
    })
}

fn records(home: &Home, execution: &str) -> Result<Vec<(String, StepRecord)>, LocalError> {
    let folder = format!("{}/steps/", folder_of(execution));
    let listed = home
        .world
        .store
        .list(&folder)
        .map_err(|error| at_store(&error))?;
    let mut records = Vec::new();
    for key in listed {
        let record: Option<StepRecord> = load(&home.world, &key)?;
        records.extend(record.map(|record| (key, record)));
    }
    // As they ended: one that is carried out again, such as a second question, is told where it belongs.
    records.sort_by_key(|(_, record)| (record.ended_at_ms, record.began_at_ms));
    Ok(records)
}

/// Whether a step that was carried out again found or did something else. Looks at a drain or at applications are repeated
/// each second, and who watches wants to see what changes.
fn is_news(before: &StepRecord, now: &StepRecord) -> bool {
    (&before.did, &before.error) != (&now.did, &now.error)
}

/// What a step did, without the question that stands below with how to answer it.
fn line(record: &StepRecord, question: &str) -> String {
    let part = record.part_in_words();
    let part = part.map_or_else(String::new, |part| format!(" ({part})"));
    let millis = record.ended_at_ms.saturating_sub(record.began_at_ms).max(0);
    let mark = if record.error.is_some() { '✗' } else { '✓' };
    let mut text = format!(
        "  {mark} {}{part}  {}.{} s\n",
        record.step,
        millis / 1_000,
        millis % 1_000 / 100
    );
    let asks = |did: &&String| did.strip_prefix("asked: ") != Some(question);
    let did = record.did.iter().filter(asks);
    let did = did.map(|did| format!("      {did}\n"));
    text.extend(did);
    if let Some((name, cause)) = &record.error {
        text.push_str(&format!("      {name}: {cause}\n"));
    }
    text
}

fn end(home: &Home, execution: &str, json: bool) -> Result<bool, LocalError> {
    let evidence: Option<Evidence> = load(&home.world, &keys::evidence(execution))?;
    let Some(evidence) = evidence else {
        return Err(LocalError::No(format!(
            "{execution} does not run, and has left no evidence: it was interrupted; start it again, which takes over"
        )));
    };
    say(&summary::of(&evidence), json);
    if json {
        let text = serde_json::to_string(&evidence);
        println!(
            "{}",
            text.map_err(|error| LocalError::Defect(error.to_string()))?
        );
    }
    Ok(matches!(
        evidence.ended.as_str(),
        "TargetActive" | "StandbyReady" | "DrillDone"
    ))
}

/// Whoever looks may be gone; then the next line is not missed either.
fn say(text: &str, json: bool) {
    let _said = if json {
        std::io::stderr().lock().write_all(text.as_bytes())
    } else {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
}
