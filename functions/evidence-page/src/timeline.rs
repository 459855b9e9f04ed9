//! Each step as a bar: when it began, how long it took, what it did.

use understudy_recovery::evidence::{Evidence, StepRecord};

use crate::html::Text;
use crate::{add, words};

/// How many things that a step did are shown.
const DID: usize = 12;
/// The least width of a bar, in per mille: what was quick is still seen.
const LEAST: i64 = 6;

/// Renders the time line.
pub fn render(out: &mut String, evidence: &Evidence) {
    if evidence.steps.is_empty() {
        return;
    }
    let begin = evidence.started_at_ms;
    let ends = evidence.steps.iter().map(|it| it.ended_at_ms);
    let end = ends.max().unwrap_or(begin).max(begin.saturating_add(1));
    let whole = words::lasted(end.saturating_sub(begin));
    add(
        out,
        format_args!(
            "<h2>Time line <small>from the wish: {whole}</small></h2>\n<div class=\"card steps\">"
        ),
    );
    for step in &evidence.steps {
        row(out, step, begin, end);
    }
    out.push_str("</div>\n");
}

fn row(out: &mut String, step: &StepRecord, begin: i64, end: i64) {
    let whole = end.saturating_sub(begin).max(1);
    let mille = |at: i64| {
        let since = at.saturating_sub(begin).clamp(0, whole);
        since.saturating_mul(1_000) / whole
    };
    let left = mille(step.began_at_ms).min(1_000 - LEAST);
    let width = (mille(step.ended_at_ms) - left).clamp(LEAST, 1_000 - left);
    let part = step.part_in_words();
    let part = part.map_or_else(String::new, |part| format!(" <small>{part}</small>"));
    let tries = match step.tries {
        0 | 1 => String::new(),
        tries => format!(" <small>in {tries} tries</small>"),
    };
    let class = if step.error.is_some() { " failed" } else { "" };
    let took = words::lasted(step.ended_at_ms.saturating_sub(step.began_at_ms));
    add(
        out,
        format_args!(
            "<div class=\"step{class}\"><span class=\"name\">{}{part}{tries}</span>\
             <span class=\"track\"><i style=\"left:{}%;width:{}%\"></i></span>\
             <span class=\"number\">{took}</span>",
            step.step,
            per_cent(left),
            per_cent(width),
        ),
    );
    if let Some((name, text)) = &step.error {
        add(
            out,
            format_args!(
                "<p class=\"did bad\"><b>{}</b> {}</p>",
                Text(name),
                Text(text)
            ),
        );
    }
    for did in step.did.iter().take(DID) {
        add(out, format_args!("<p class=\"did\">{}</p>", Text(did)));
    }
    let more = step.did.len().saturating_sub(DID);
    if more > 0 {
        add(
            out,
            format_args!("<p class=\"did\">and {more} more, in evidence.json</p>"),
        );
    }
    out.push_str("</div>");
}

/// `12.5` of 125 per mille.
fn per_cent(mille: i64) -> String {
    format!("{}.{}", mille / 10, mille % 10)
}
