//! `understudy approve`: answers the question of a recovery that another process carries out.

use std::io::{self, IsTerminal, Write};

use serde_json::json;
use understudy_recovery::Step;

use super::carry_out::person;
use super::home::{Home, LocalError};

/// What a person answers.
pub struct Answer {
    /// The execution.
    pub execution: String,
    /// Yes or no; asked at the terminal where it was not said.
    pub approve: Option<bool>,
    /// The digest of the plan that was seen; the one that is asked about now where it was not said.
    pub digest: Option<String>,
    /// What else is said.
    pub note: Option<String>,
    /// For machines.
    pub json: bool,
}

/// Shows the question and answers it. True if the recovery heard yes; the first answer stays, whoever gave it.
///
/// # Errors
/// Nobody asks, another plan is asked about, or neither yes nor no was said.
pub fn run(home: &Home, answer: Answer) -> Result<bool, LocalError> {
    let execution = &answer.execution;
    let Some(waiting) = home.question(execution)? else {
        return Err(LocalError::No(format!(
            "{execution} asks nothing now; see where it stands with `understudy watch {} {execution} {}`",
            home.pair_file.display(),
            home.option()
        )));
    };
    if !answer.json {
        println!("{}", waiting.question);
    }
    let approve = match answer.approve {
        Some(approve) => approve,
        None => ask()?,
    };
    let digest = answer.digest.unwrap_or(waiting.digest);
    let told = say(home, execution, &digest, approve, answer.note.as_deref())?;
    let approved = told.get("approved").and_then(serde_json::Value::as_bool);
    if answer.json {
        println!("{told:#}");
    } else {
        let by = told.get("by").and_then(serde_json::Value::as_str);
        let word = if approved == Some(true) { "yes" } else { "no" };
        println!(
            "{execution} was told {word}, by {}",
            by.unwrap_or("somebody")
        );
    }
    Ok(approved == Some(true))
}

/// Answers; what was heard, which may be what somebody else said before.
///
/// # Errors
/// Nobody asks any more, or another plan is asked about.
pub fn say(
    home: &Home,
    execution: &str,
    digest: &str,
    approve: bool,
    note: Option<&str>,
) -> Result<serde_json::Value, LocalError> {
    let request = json!({
        "execution": execution,
        "digest": digest,
        "approve": approve,
        "by": person(),
        "note": note,
    });
    home.invoke(Step::AnswerApproval, request)
}

/// Asks at this terminal until yes or no is said; without a terminal the answer is no.
pub fn ask_until_said() -> bool {
    while io::stdin().is_terminal() {
        if let Ok(said) = ask() {
            return said;
        }
    }
    false
}

fn ask() -> Result<bool, LocalError> {
    if !io::stdin().is_terminal() {
        return Err(LocalError::No(
            "say --yes or --no: this is no terminal on which it could be asked".to_owned(),
        ));
    }
    let mut line = String::new();
    let read = write!(io::stderr(), "yes or no? ").and_then(|()| io::stdin().read_line(&mut line));
    match (read, line.trim().to_ascii_lowercase().as_str()) {
        (Ok(_), "yes" | "y") => Ok(true),
        (Ok(_), "no" | "n") => Ok(false),
        (Ok(_) | Err(_), _) => Err(LocalError::No(
            "nothing was answered: say yes or no".to_owned(),
        )),
    }
}
