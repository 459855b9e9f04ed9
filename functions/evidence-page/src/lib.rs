//! The evidence of a recovery as one page: a person reads in a minute where we stand, what it cost, and what is next.
//!
//! One HTML file without anything from elsewhere: it is read from a bucket, an e-mail or a disk, years later. Everything
//! that came from elsewhere goes through [`html::Text`]. What is listed is bounded, and says how much was left out.

mod hero;
mod html;
mod tables;
mod timeline;
mod words;

use std::fmt::{Arguments, Write};

use understudy_recovery::evidence::{ApprovalRecord, Evidence};
use understudy_recovery::health::Health;
use understudy_recovery::plan::Wish;

use crate::html::{Sentence, Text};
pub use crate::words::count;

const CSS: &str = include_str!("page.css");

/// Renders the page.
pub fn render(evidence: &Evidence) -> String {
    let mut out = String::with_capacity(32 * 1024);
    let execution = evidence.execution.to_string();
    let hero = hero::Hero::of(evidence);
    add(
        &mut out,
        format_args!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"referrer\" content=\"no-referrer\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
             <title>{}: {}</title>\n<style>\n{CSS}</style></head><body>\n\
             <header><b>Understudy</b><span class=\"flow\">{}: {} → {}</span><span class=\"when\">{}</span></header>\n\
             <main>\n",
            Text(&hero.headline),
            Text(&execution),
            Text(evidence.execution.pair().as_str()),
            Text(evidence.source.as_str()),
            Text(evidence.target.as_str()),
            words::moment(evidence.ended_at_ms),
        ),
    );
    hero.render(&mut out);
    hero::tiles(&mut out, evidence);
    list(&mut out, "What to do next", &evidence.next, "next");
    list(
        &mut out,
        "What could not be known",
        &evidence.unknown,
        "unknown",
    );
    timeline::render(&mut out, evidence);
    who(&mut out, evidence);
    tables::places(&mut out, evidence);
    tables::tail(&mut out, evidence);
    tables::cut(&mut out, evidence);
    before(&mut out, evidence);
    add(
        &mut out,
        format_args!(
            "</main>\n<footer><span>{}</span><span>The same for machines: evidence.json beside this page, format {}.</span>\
             <span>Records are counted by offsets; times are UTC.</span></footer></body></html>\n",
            Text(&execution),
            evidence.schema
        ),
    );
    out
}

/// Writing to a string does not fail.
fn add(out: &mut String, what: Arguments<'_>) {
    let _infallible = out.write_fmt(what);
}

fn list(out: &mut String, title: &str, items: &[String], kind: &str) {
    if items.is_empty() {
        return;
    }
    add(
        out,
        format_args!("<h2>{title}</h2>\n<ol class=\"card list {kind}\">"),
    );
    for item in items {
        add(out, format_args!("<li>{}</li>", Sentence(item)));
    }
    out.push_str("</ol>\n");
}

/// Who wanted it, and who approved.
fn who(out: &mut String, evidence: &Evidence) {
    out.push_str("<h2>Who decided</h2>\n<dl class=\"card facts\">");
    match &evidence.wish {
        Wish::Alarm { alarm } => fact(out, "Wanted by", &format!("alarm {alarm}")),
        Wish::Person { name, reason } => fact(out, "Wanted by", &format!("{name}: {reason}")),
    }
    fact(out, "When", &words::moment(evidence.started_at_ms));
    match &evidence.approval {
        None => fact(out, "Approved by", "nobody was asked"),
        Some(approval) => approved(out, approval),
    }
    out.push_str("</dl>\n");
}

fn approved(out: &mut String, approval: &ApprovalRecord) {
    let title = if approval.approved {
        "Approved by"
    } else {
        "Rejected by"
    };
    let who = match approval.by.as_str() {
        "nobody" => "nobody: the deadline passed, and the pair's rule decided",
        by => by,
    };
    let who = format!("{who}, {}", words::moment(approval.at_ms));
    fact(out, title, &who);
    fact(out, "Plan", &approval.digest);
    if let Some(note) = &approval.note {
        fact(out, "Said", note);
    }
}

fn fact(out: &mut String, title: &str, text: &str) {
    add(
        out,
        format_args!("<div><dt>{title}</dt><dd>{}</dd></div>", Text(text)),
    );
}

/// What was found before anything was done, and what was planned.
fn before(out: &mut String, evidence: &Evidence) {
    if let Some(assessment) = &evidence.assessment {
        out.push_str(
            "<h2>What was found before</h2>\n<div class=\"card\"><details><summary>\
             <span class=\"name\">Both clusters and the flow</span></summary><dl class=\"facts\">",
        );
        for (role, seen) in [
            ("Source", &assessment.source),
            ("Target", &assessment.target),
        ] {
            let health = match seen.verdict.health {
                Health::Healthy => "healthy",
                Health::Unknown => "unknown",
                Health::Unhealthy => "unhealthy",
            };
            let reasons = seen.verdict.reasons.join("; ");
            let title = format!("{role} {}", seen.alias);
            fact(
                out,
                &Text(&title).to_string(),
                &format!("{health}. {reasons}"),
            );
        }
        if let Some(flow) = &assessment.flow {
            let text = format!(
                "{}, {}, {} halted by gaps; {}",
                flow.state,
                words::counted(u64::from(flow.partitions), "partition"),
                flow.gaps,
                words::lost(&flow.loss)
            );
            fact(
                out,
                &Text(&format!("Flow {}", flow.flow)).to_string(),
                &text,
            );
        }
        for reason in &assessment.reasons {
            fact(out, "Remark", reason);
        }
        out.push_str("</dl></details></div>\n");
    }
    if let Some(plan) = &evidence.plan {
        out.push_str(
            "<h2>What was planned</h2>\n<div class=\"card\"><details><summary>\
             <span class=\"name\">Each thing, in order</span></summary><ol class=\"list\">",
        );
        for will in &plan.will {
            add(out, format_args!("<li>{}</li>", Text(will)));
        }
        out.push_str("</ol></details></div>\n");
    }
}

#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
