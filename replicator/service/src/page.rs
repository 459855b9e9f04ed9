//! The page on `/`: rendered here, for a person at three in the morning. Works without scripts.
//!
//! Everything that came from elsewhere goes through [`Text`]. What is listed is bounded, worst first, and says how much
//! was left out.

use std::collections::BTreeMap;
use std::fmt::Write;

use understudy_domain::{PlaceState, Verdict};

use crate::board::{GroupLine, PartitionState};
use crate::gaps::GapLine;
use crate::html::Text;
use crate::spark::spark;
use crate::view::{PartitionLine, TopicLine, View};
use crate::words;

/// The page's style, served beside it.
pub const CSS: &str = include_str!("page.css");
/// The page's script, served beside it.
pub const SCRIPT: &str = include_str!("page.js");
/// How many topics are listed.
const TOPICS: usize = 100;
/// How many partitions of one topic are listed.
const PARTITIONS: usize = 30;
/// How many partitions are listed in all.
const ALL_PARTITIONS: usize = 600;
/// How many gaps, and how many places of groups, are listed.
const ROWS: usize = 100;
/// How many log lines are listed.
const EVENTS: usize = 20;

/// Renders the page.
pub fn render(view: &View) -> String {
    let readiness = &view.readiness;
    let tone = readiness.verdict.name();
    let mut out = String::with_capacity(32 * 1024);
    let (flow, source, target) = (
        Text(&view.flow),
        Text(&view.source.alias),
        Text(&view.target.alias),
    );
    let verdict = words::verdict(readiness.verdict);
    let refresh = "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>";
    head(
        &mut out,
        &format!("{verdict}: {flow}"),
        refresh,
        readiness.verdict,
    );
    add(
        &mut out,
        format_args!(
            "<p id=\"lost\" role=\"alert\"></p>\
             <header><b>Understudy</b><span class=\"flow\">{flow}: {source} → {target}</span>\
             <span class=\"when\">{} · as of {}</span></header>\n<main>\
             <div class=\"card hero {tone}\" role=\"status\">{}<div><strong>{verdict}</strong><p>{}</p></div></div>\n",
            view.flow_state.unwrap_or("starting"),
            words::moment(view.at_ms),
            light(readiness.verdict),
            words::answer(readiness),
        ),
    );
    tiles(&mut out, view);
    in_the_way(&mut out, view);
    topics(&mut out, view);
    gaps(&mut out, &view.gaps);
    groups(&mut out, &view.groups, &view.groups_not_movable);
    slots(&mut out, view);
    events(&mut out, view);
    add(
        &mut out,
        format_args!(
            "</main>\n<footer><span>understudy {}</span><a href=\"/status.json\">status.json</a>\
             <a href=\"/metrics\">metrics</a><a href=\"/readyz\">readyz</a>\
             <span>Records are counted by offsets.</span></footer></body></html>\n",
            view.version
        ),
    );
    out
}

/// The form that asks for the token; `refused` when the last one was wrong.
pub fn login(refused: bool) -> String {
    let mut out = String::new();
    head(&mut out, "Understudy", "", Verdict::Unknown);
    let word = if refused {
        "<p class=\"bad\">That is not the token.</p>"
    } else {
        ""
    };
    add(
        &mut out,
        format_args!(
            "<main><form class=\"card login\" method=\"post\" action=\"/login\" enctype=\"text/plain\">\
             <label for=\"token\">The token of this worker's page (<code>http.token</code> in its flow file)</label>\
             <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" autofocus required>\
             {word}<button>Show the page</button></form></main></body></html>\n"
        ),
    );
    out
}

fn head(out: &mut String, title: &str, more: &str, verdict: Verdict) {
    let colour = match verdict {
        Verdict::Ready => "14803c",
        Verdict::Degraded => "d98a1c",
        Verdict::Unknown => "7a7fd0",
        Verdict::NotReady => "c02626",
    };
    let script = if more.is_empty() {
        ""
    } else {
        "<script src=\"/page.js\" defer></script>"
    };
    add(
        out,
        format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <link rel=\"icon\" href=\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
             %3Ccircle cx='8' cy='8' r='8' fill='%23{colour}'/%3E%3C/svg%3E\">\
             <link rel=\"stylesheet\" href=\"/page.css\">{script}{more}</head><body>\n"
        ),
    );
}

/// A light that says the same by its shape as by its colour.
fn light(verdict: Verdict) -> String {
    let sign = match verdict {
        Verdict::Ready => "M16 28 L24 36 L40 19",
        Verdict::Degraded => "M28 16 V31 M28 40 V40.1",
        Verdict::Unknown => "M21 22 A7.5 7.5 0 1 1 28 30 V33 M28 41 V41.1",
        Verdict::NotReady => "M19 19 L37 37 M37 19 L19 37",
    };
    format!(
        "<svg viewBox=\"0 0 56 56\" aria-hidden=\"true\"><circle cx=\"28\" cy=\"28\" r=\"26\"/><path d=\"{sign}\"/></svg>"
    )
}

fn tiles(out: &mut String, view: &View) {
    let readiness = &view.readiness;
    let missing = match readiness.missing_records {
        0 => String::new(),
        records => format!("; {} already missing in gaps", words::count(records)),
    };
    let tile = |title: &str, value: &str, detail: &str| {
        format!(
            "<div class=\"card tile\"><span>{title}</span><b>{value}</b><span>{detail}</span></div>"
        )
    };
    let throughput = words::bytes_per_second(view.throughput.bytes_per_second);
    let all = [
        tile(
            "Would be lost now",
            &words::lost(readiness),
            &(words::lost_detail(readiness) + &missing),
        ),
        tile(
            "Recovery point now (RPO)",
            &words::recovery_point(readiness),
            "nothing older would be lost",
        ),
        tile(
            "Groups would read again",
            &words::reread(readiness, view.groups.len()),
            &if view.groups.is_empty() {
                "no groups are followed here".to_owned()
            } else {
                words::counted(view.groups.len() as u64, "place")
            },
        ),
        format!(
            "<div class=\"card tile\"><span>Lag, and copied per second</span><b>{}</b><span>{} records/s · \
             {throughput}</span>{}</div>",
            words::counted(view.lag_records, "record"),
            words::rate(view.throughput.records_per_second),
            spark(&view.history.lag_records),
        ),
    ];
    add(
        out,
        format_args!("<div class=\"tiles\">{}</div>\n", all.concat()),
    );
}

fn in_the_way(out: &mut String, view: &View) {
    let obstacles = &view.readiness.in_the_way;
    let named: Vec<(&str, &str, &str)> = obstacles
        .iter()
        .map(|it| {
            (
                it.verdict.name(),
                words::verdict(it.verdict),
                it.reason.as_str(),
            )
        })
        .collect();
    // Partitions say for themselves why they do not copy; the obstacle only counts them.
    let partitions = view
        .reasons
        .iter()
        .filter(|reason| reason.starts_with("partition "));
    let more: Vec<(&str, &str, &str)> = partitions
        .map(|reason| {
            let halted = reason.contains(" halted: ");
            let tone = if halted { "not-ready" } else { "degraded" };
            (tone, "because", reason.as_str())
        })
        .collect();
    if named.is_empty() {
        return;
    }
    out.push_str("<h2>In the way</h2><ul class=\"card way\">");
    for (tone, mark, reason) in named.into_iter().chain(more) {
        let reason = Text(reason);
        add(
            out,
            format_args!(
                "<li><span class=\"mark {tone}\">{mark}</span><span class=\"text\">{reason}</span></li>"
            ),
        );
    }
    out.push_str("</ul>\n");
}

fn topics(out: &mut String, view: &View) {
    add(
        out,
        format_args!(
            "<h2>Lag by topic <small>{} on this worker, worst first</small></h2><div class=\"card lines\">",
            words::counted(view.topics.len() as u64, "topic")
        ),
    );
    if view.topics.is_empty() {
        out.push_str("<div class=\"none\">Nothing is copied here yet.</div></div>\n");
        return;
    }
    out.push_str(
        "<div class=\"row head\"><span class=\"name\">topic</span><span class=\"number\">records behind</span>\
         <span class=\"number\">oldest</span><span class=\"spark-cell\">last 10 min</span>\
         <span class=\"number parts\">partitions</span></div>",
    );
    let mut by_topic = BTreeMap::<&str, Vec<&PartitionLine>>::new();
    for line in &view.partitions {
        by_topic.entry(&line.topic).or_default().push(line);
    }
    let mut room = ALL_PARTITIONS;
    for topic in view.topics.iter().take(TOPICS) {
        let mut lines = by_topic.remove(topic.topic.as_str()).unwrap_or_default();
        lines.sort_by_key(|line| {
            (
                line.state == PartitionState::Copying,
                std::cmp::Reverse(line.lag_records),
                line.partition,
            )
        });
        let shown = lines.len().min(PARTITIONS).min(room);
        room -= shown;
        topic_row(
            out,
            topic,
            lines.get(..shown).unwrap_or_default(),
            lines.len() - shown,
        );
    }
    left_out(out, view.topics.len().saturating_sub(TOPICS), "topic");
    out.push_str("</div>\n");
}

fn topic_row(out: &mut String, topic: &TopicLine, lines: &[&PartitionLine], more: usize) {
    let name = Text(&topic.topic);
    let state = match (topic.halted, topic.waiting) {
        (0, 0) => String::new(),
        (0, waiting) => format!(" <span class=\"warn\">{waiting} waiting</span>"),
        (halted, _) => format!(" <span class=\"bad\">{halted} halted</span>"),
    };
    let late = if topic.lag_records > 0 { " late" } else { "" };
    add(
        out,
        format_args!(
            "<details data-key=\"{name}\"><summary><span class=\"name\">{name}{state}</span>\
             <span class=\"number{late}\">{}</span><span class=\"number\">{}</span>\
             <span class=\"spark-cell\">{}</span><span class=\"number parts\">{}</span></summary>\
             <div class=\"scroll\"><table><tr><th class=\"number\">partition</th><th>state</th>\
             <th class=\"number\">behind</th><th class=\"number\">oldest</th><th class=\"number\">source next</th>\
             <th class=\"number\">source end</th><th class=\"number\">target end</th></tr>",
            words::count(topic.lag_records),
            age(topic.lag_records, topic.lag_seconds),
            topic.history.as_deref().map_or_else(String::new, spark),
            topic.partitions,
        ),
    );
    for line in lines {
        let tone = match line.state {
            PartitionState::Copying => "",
            PartitionState::Waiting | PartitionState::Paused => "warn",
            PartitionState::Halted => "bad",
        };
        let held = match line.open_transaction_seconds {
            held if held >= 60.0 => format!(" open transaction for {}", words::seconds(held)),
            _ => String::new(),
        };
        let reason = line.reason.as_deref().map_or_else(String::new, |reason| {
            format!("<span class=\"text\">{}</span>", Text(reason))
        });
        add(
            out,
            format_args!(
                "<tr><td class=\"number\">{}</td><td class=\"{tone}\">{}{held}{reason}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td></tr>",
                line.partition,
                line.state.name(),
                words::count(line.lag_records),
                age(line.lag_records, line.lag_seconds),
                line.source_offset,
                line.source_end_offset
                    .map_or_else(|| "?".to_owned(), |end| end.to_string()),
                line.target_offset,
            ),
        );
    }
    out.push_str("</table></div>");
    left_out(out, more, "partition");
    out.push_str("</details>");
}

fn age(lag_records: u64, lag_seconds: f64) -> String {
    if lag_records == 0 {
        "–".to_owned()
    } else {
        words::seconds(lag_seconds)
    }
}

fn gaps(out: &mut String, gaps: &[GapLine]) {
    let open = gaps.iter().filter(|gap| gap.is_open()).count();
    add(
        out,
        format_args!(
            "<h2>Gaps <small>{open} open, {} settled</small></h2><div class=\"card scroll\">",
            gaps.len() - open
        ),
    );
    if gaps.is_empty() {
        out.push_str("<div class=\"none\">None: every record seen on the source has its copy or is still to come.</div></div>\n");
        return;
    }
    out.push_str(
        "<table><tr><th>where</th><th class=\"number\">offsets</th><th class=\"number\">records</th><th>cause</th>\
         <th>found</th><th>state</th></tr>",
    );
    let mut sorted: Vec<&GapLine> = gaps.iter().collect();
    sorted.sort_by_key(|gap| (!gap.is_open(), std::cmp::Reverse(gap.found_at_ms)));
    for gap in sorted.into_iter().take(ROWS) {
        let (last, records) = match gap.end {
            Some(end) => {
                let records = u64::try_from(end.saturating_sub(gap.start)).unwrap_or_default();
                ((end - 1).to_string(), words::count(records))
            }
            None => ("?".to_owned(), "?".to_owned()),
        };
        let state = if gap.is_open() {
            let ways = gap.resolutions.join(" or ");
            format!(
                "<span class=\"bad\">{}</span>; resolve it as {ways}",
                gap.state
            )
        } else {
            gap.state.to_owned()
        };
        add(
            out,
            format_args!(
                "<tr><td class=\"name\">{}-{}</td><td class=\"number\">{} to {last}</td>\
                 <td class=\"number\">{records}</td><td>{}<span class=\"text\">{}</span></td>\
                 <td class=\"moment\">{}</td><td>{state}</td></tr>",
                Text(&gap.topic),
                gap.partition,
                gap.start,
                gap.cause,
                Text(&gap.reason),
                words::moment(gap.found_at_ms),
            ),
        );
    }
    out.push_str("</table>");
    left_out(out, gaps.len().saturating_sub(ROWS), "gap");
    out.push_str("</div>\n");
}

fn groups(out: &mut String, groups: &[GroupLine], not_movable: &[String]) {
    let count = |state| groups.iter().filter(|line| line.state == state).count();
    let summary: Vec<String> = PlaceState::ALL
        .into_iter()
        .map(|state| (state, count(state)))
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    add(
        out,
        format_args!(
            "<h2>Places of consumer groups <small>{}</small></h2><div class=\"card scroll\">",
            summary.join(", ")
        ),
    );
    if !not_movable.is_empty() {
        let named: Vec<&str> = not_movable.iter().take(ROWS).map(String::as_str).collect();
        add(
            out,
            format_args!(
                "<div class=\"none\">Cannot be moved, for they have committed no offsets (share groups, KIP-932, or streams groups that have just begun): {}.</div>",
                Text(&named.join(", "))
            ),
        );
        left_out(out, not_movable.len().saturating_sub(ROWS), "group");
    }
    if groups.is_empty() {
        out.push_str("<div class=\"none\">None are followed here.</div></div>\n");
        return;
    }
    out.push_str(
        "<table><tr><th>group</th><th>partition</th><th>state</th><th class=\"number\">on the source</th>\
         <th class=\"number\">on the target</th></tr>",
    );
    let mut sorted: Vec<&GroupLine> = groups.iter().collect();
    sorted.sort_by_key(|line| {
        let rank = PlaceState::ALL
            .iter()
            .position(|state| *state == line.state);
        (
            std::cmp::Reverse(rank),
            &line.group,
            &line.topic,
            line.partition,
        )
    });
    let offset = |offset: Option<i64>| offset.map_or_else(|| "?".to_owned(), |at| at.to_string());
    for line in sorted.into_iter().take(ROWS) {
        let tone = match line.state {
            PlaceState::Exact => "",
            PlaceState::AtLeast | PlaceState::Ahead => "warn",
            PlaceState::Unknown => "bad",
        };
        add(
            out,
            format_args!(
                "<tr><td class=\"name\">{}</td><td class=\"name\">{}-{}</td><td class=\"{tone}\" title=\"{}\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
                Text(&line.group),
                Text(&line.topic),
                line.partition,
                Text(line.reason.as_deref().unwrap_or_default()),
                line.state.name(),
                offset(line.source_offset),
                offset(line.target_offset),
            ),
        );
    }
    out.push_str("</table>");
    left_out(out, groups.len().saturating_sub(ROWS), "place");
    out.push_str("</div>\n");
}

fn slots(out: &mut String, view: &View) {
    let (held, total) = (view.slots.len(), view.slots_total as usize);
    let rest = match total.saturating_sub(held) {
        0 => "this worker copies everything".to_owned(),
        rest => format!("this page speaks for these; other workers answer for {rest} more"),
    };
    add(
        out,
        format_args!(
            "<h2>Slots <small>{held} of {total} held here; {rest}</small></h2><div class=\"card chips\">"
        ),
    );
    if view.slots.is_empty() {
        out.push_str("<span class=\"chip\">none: in reserve, or not yet a member</span>");
    }
    for line in view.slots.iter().take(ROWS) {
        add(
            out,
            format_args!(
                "<span class=\"chip\">{} <b>{}</b> {}{}</span>",
                line.slot,
                line.state,
                words::seconds(line.since_seconds),
                line.take_over_seconds.map_or_else(String::new, |took| {
                    format!(" · taken over in {}", words::seconds(took))
                }),
            ),
        );
    }
    left_out(out, view.slots.len().saturating_sub(ROWS), "slot");
    out.push_str("</div>\n");
}

fn events(out: &mut String, view: &View) {
    out.push_str("<h2>Last warnings and errors</h2><div class=\"card scroll\">");
    if view.errors.is_empty() {
        out.push_str("<div class=\"none\">None since this worker started.</div></div>\n");
        return;
    }
    out.push_str("<table>");
    for line in view.errors.iter().take(EVENTS) {
        let tone = if line.level == "ERROR" { "bad" } else { "warn" };
        add(
            out,
            format_args!(
                "<tr><td class=\"moment\">{}</td><td class=\"{tone}\">{}</td><td><span class=\"text\">{}</span></td></tr>",
                words::moment(line.at_ms),
                line.level,
                Text(&line.text),
            ),
        );
    }
    out.push_str("</table></div>\n");
}

fn left_out(out: &mut String, more: usize, what: &str) {
    if more > 0 {
        add(
            out,
            format_args!(
                "<div class=\"none\">and {} more; all are in /status.json</div>",
                words::counted(more as u64, what)
            ),
        );
    }
}

/// Writing to a string cannot fail.
fn add(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

#[cfg(test)]
#[path = "page_tests.rs"]
pub(crate) mod tests;
