//! A recovery's evidence, in lines for a terminal.

use std::fmt::Write;

use understudy_recovery::LossBound;
use understudy_recovery::evidence::Evidence;

use super::facts;

/// The evidence in lines; the page says more.
pub fn of(evidence: &Evidence) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _written = write(&mut text, evidence);
    text
}

fn write(f: &mut String, it: &Evidence) -> std::fmt::Result {
    writeln!(f, "\n{}: {}", it.execution, it.ended)?;
    let drill = if it.leash.is_leashed() {
        ", a drill"
    } else {
        ""
    };
    writeln!(
        f,
        "  {} from {} to {} at {}{drill}",
        it.mode, it.source, it.target, it.epoch
    )?;
    if let Some(error) = &it.error {
        writeln!(f, "  because   {error}")?;
    }
    writeln!(
        f,
        "  opened    {}",
        after(it.opened_after_ms, "writers were not let in")
    )?;
    if let Some(pause) = it.write_pause_ms() {
        writeln!(
            f,
            "  paused    {:.1} s, in which nobody could write",
            as_seconds(pause)
        )?;
    }
    writeln!(
        f,
        "  back      {}",
        after(
            it.clients_back_after_ms,
            "not every application was seen at work, or none is named"
        )
    )?;
    writeln!(
        f,
        "  lost      {}",
        it.loss
            .as_ref()
            .map_or_else(|| "not known".to_owned(), lost)
    )?;
    if let Some(cut) = &it.cut {
        writeln!(
            f,
            "  cut       {} partitions of flow {}",
            cut.partitions.len(),
            cut.flow
        )?;
    }
    if let Some(places) = &it.places {
        let sum = places.summary();
        writeln!(
            f,
            "  places    {} groups: {} exact, {} as last known, {} read again, {} live, {} unknown, {} beyond; {} records are read again",
            sum.groups,
            sum.exact,
            sum.last_known,
            sum.at_least,
            sum.live,
            sum.unknown,
            sum.beyond,
            sum.reread_records
        )?;
    }
    if let Some(approval) = &it.approval {
        let word = if approval.approved { "yes" } else { "no" };
        let note = approval.note.as_deref().unwrap_or_default();
        writeln!(f, "  approval  {word}, by {} {note}", approval.by)?;
    }
    for step in &it.steps {
        let seconds = step.ended_at_ms.saturating_sub(step.began_at_ms).max(0);
        let part = step.part_in_words();
        let part = part.map_or_else(String::new, |part| format!(" ({part})"));
        let tries = if step.tries > 1 {
            format!(", {} tries", step.tries)
        } else {
            String::new()
        };
        writeln!(
            f,
            "  {:<29} {:>4}.{} s{tries}",
            format!("{}{part}", step.step),
            seconds / 1_000,
            seconds % 1_000 / 100
        )?;
        if let Some((name, cause)) = &step.error {
            writeln!(f, "      {name}: {cause}")?;
        }
    }
    for unknown in &it.unknown {
        writeln!(f, "  not known {unknown}")?;
    }
    for next in &it.next {
        writeln!(f, "  next      {next}")?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of one recovery")]
fn as_seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}

fn after(time: Option<i64>, otherwise: &str) -> String {
    time.map_or_else(
        || otherwise.to_owned(),
        |time| format!("{:.1} s after it was asked for", as_seconds(time)),
    )
}

fn lost(loss: &LossBound) -> String {
    facts::lost(&serde_json::to_value(loss).unwrap_or_default())
}
