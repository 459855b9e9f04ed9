//! The cut for each partition, and the place of each group.

use std::collections::BTreeMap;

use understudy_recovery::cut::PartitionCut;
use understudy_recovery::evidence::Evidence;
use understudy_recovery::places::{GroupPlace, PlaceIs, Places};
use understudy_recovery::tail::{KeysOfTail, TailOfPartition};

use crate::add;
use crate::html::{Name, Text};
use crate::words::{self, many};

/// A table longer than this is folded.
const OPEN: usize = 20;
/// How many rows a table has.
const ROWS: usize = 2_000;

/// Where the flow ended.
pub fn cut(out: &mut String, evidence: &Evidence) {
    let Some(cut) = &evidence.cut else { return };
    let partitions = words::counted(many(cut.partitions.len()), "partition");
    add(
        out,
        format_args!(
            "<h2>Where the flow ended <small>{}, {}, {partitions}</small></h2>\n",
            Text(&cut.flow),
            cut.epoch
        ),
    );
    // What lost most comes first.
    let mut rows: Vec<&PartitionCut> = cut.partitions.iter().collect();
    rows.sort_by_key(|it| std::cmp::Reverse(it.lost_at_least()));
    let behind = rows.iter().filter(|it| it.lost_at_least() > 0).count();
    let title = match behind {
        0 => format!("{partitions}: of none is a record known to be without its copy"),
        behind => format!(
            "{partitions}, {} of them with records that are known to be without a copy",
            words::count(many(behind))
        ),
    };
    let head = "<tr><th>Partition</th><th class=\"number\">Copied up to</th><th class=\"number\">Copies end at</th>\
                <th class=\"number\">Source's end</th><th class=\"number\">Known lost</th></tr>";
    table(out, "cut", &title, head, &rows, |out, it| {
        let renamed = if it.topic == it.target_topic {
            String::new()
        } else {
            format!(" → {}", it.target_topic)
        };
        let end = it
            .source_end_offset
            .map_or_else(|| "never seen".to_owned(), offset);
        let lost = it.lost_at_least();
        let class = if lost > 0 { " bad" } else { "" };
        add(
            out,
            format_args!(
                "<tr><td class=\"name\">{}-{}{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{end}</td><td class=\"number{class}\">{}</td></tr>",
                Name(&it.topic),
                it.partition,
                Name(&renamed),
                offset(it.source_offset),
                offset(it.target_offset),
                words::count(lost),
            ),
        );
    });
}

/// What the cluster that came back held beyond the cut.
pub fn tail(out: &mut String, evidence: &Evidence) {
    let Some(tail) = &evidence.tail else { return };
    let counted = |records: u64, uncounted: u64| match uncounted {
        0 => words::count(records),
        more => format!(
            "{} to {}",
            words::count(records),
            words::count(records.saturating_add(more))
        ),
    };
    let records = match tail.uncounted() {
        0 => words::counted(tail.records(), "record"),
        more => format!("{} records", counted(tail.records(), more)),
    };
    add(
        out,
        format_args!(
            "<h2>What {} alone held <small>beyond where flow {} ended at e{}: {records}</small></h2>\n",
            Text(evidence.target.as_str()),
            Text(&tail.flow),
            tail.epoch
        ),
    );
    let mut rows: Vec<&TailOfPartition> = tail
        .partitions
        .iter()
        .filter(|it| {
            let holds_any = it.records > 0 || it.uncounted > 0;
            holds_any || it.lost.is_some() || it.unknown.is_some()
        })
        .collect();
    rows.sort_by_key(|it| std::cmp::Reverse(it.records.saturating_add(it.uncounted)));
    let title = format!(
        "{records} in {} of {} partitions",
        rows.len(),
        tail.partitions.len()
    );
    let head = "<tr><th>Partition</th><th class=\"number\">Copied up to</th><th class=\"number\">Its end</th>\
                <th class=\"number\">Records</th><th>Written</th><th class=\"number\">Keys</th>\
                <th class=\"number\">Of these on both</th><th>Lost there</th></tr>";
    table(out, "tail", &title, head, &rows, |out, it| {
        let cut = it
            .cut
            .map_or_else(|| "never copied".to_owned(), |cut| offset(cut.returned));
        let lost = it.lost.as_ref().map(|lost| lost.text.as_str());
        let written = match it.first_timestamp_ms.zip(it.last_timestamp_ms) {
            None => String::new(),
            Some((first, last)) => {
                format!("{} to {}", words::moment(first), words::moment(last))
            }
        };
        let keys = |pick: fn(&KeysOfTail) -> u64| {
            it.keys.as_ref().map_or_else(String::new, |keys| {
                let least = if keys.exact { "" } else { "≥ " };
                format!("{least}{}", words::count(pick(keys)))
            })
        };
        add(
            out,
            format_args!(
                "<tr><td class=\"name\">{}-{}</td><td class=\"number\">{cut}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td>{written}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td>{}</td></tr>",
                Name(&it.topic),
                it.partition,
                offset(it.end),
                counted(it.records, it.uncounted),
                keys(|keys| keys.distinct),
                keys(|keys| keys.on_both),
                Text(lost.or(it.unknown.as_deref()).unwrap_or("nothing")),
            ),
        );
    });
    for group in &tail.groups {
        add(out, format_args!("<p class=\"note\">{}</p>\n", Text(group)));
    }
}

/// Where groups went on.
pub fn places(out: &mut String, evidence: &Evidence) {
    let Some(places) = &evidence.places else {
        return;
    };
    let mut groups = BTreeMap::<&str, Vec<&GroupPlace>>::new();
    for place in &places.places {
        groups.entry(&place.group).or_default().push(place);
    }
    let summary = places.summary();
    add(
        out,
        format_args!(
            "<h2>Where groups go on <small>{}, {}</small></h2>\n",
            words::counted(summary.groups, "group"),
            words::counted(many(places.places.len()), "place"),
        ),
    );
    let mut rows: Vec<Group> = groups
        .into_iter()
        .map(|(name, places)| Group::of(name, &places))
        .collect();
    // What needs a person's eye comes first.
    rows.sort_by_key(|group| std::cmp::Reverse((group.worst, group.reread)));
    let title = format!(
        "{}: {} exact, {} as last known, {} read again, {} live, {} not known, {} would skip",
        words::counted(summary.groups, "group"),
        words::count(summary.exact),
        words::count(summary.last_known),
        words::count(summary.at_least),
        words::count(summary.live),
        words::count(summary.unknown),
        words::count(summary.beyond),
    );
    let head = "<tr><th>Group</th><th class=\"number places\">Places</th><th>How</th><th class=\"number\">Reads again</th></tr>";
    table(out, "groups", &title, head, &rows, |out, group| {
        let class = match group.worst {
            PlaceIs::Exact | PlaceIs::AtCut => "",
            PlaceIs::LastKnown | PlaceIs::AtLeast | PlaceIs::Live => " class=\"warn\"",
            PlaceIs::Unknown | PlaceIs::Beyond => " class=\"bad\"",
        };
        add(
            out,
            format_args!(
                "<tr><td class=\"name\">{}</td><td class=\"number places\">{}</td><td{class}>{}</td><td class=\"number\">{}</td></tr>",
                Name(group.name),
                group.places,
                Text(&group.how),
                group.reads_again(),
            ),
        );
    });
}

struct Group<'a> {
    name: &'a str,
    places: usize,
    worst: PlaceIs,
    how: String,
    reread: u64,
}

impl<'a> Group<'a> {
    fn of(name: &'a str, places: &[&GroupPlace]) -> Self {
        let all = Places {
            places: places.iter().map(|place| (*place).clone()).collect(),
        };
        let mut how: Vec<String> = Vec::new();
        for state in PlaceIs::ALL {
            let count = places.iter().filter(|it| it.state == state).count();
            if count > 0 {
                let words = match state {
                    PlaceIs::Exact => "exact",
                    PlaceIs::AtCut => "at the cut",
                    PlaceIs::LastKnown => "as last known",
                    PlaceIs::AtLeast => "read again",
                    PlaceIs::Live => "live on the target: left alone",
                    PlaceIs::Unknown => "not known",
                    PlaceIs::Beyond => "would skip",
                };
                how.push(if count == places.len() {
                    words.to_owned()
                } else {
                    format!("{count} {words}")
                });
            }
        }
        let mut reasons: Vec<&str> = places
            .iter()
            .filter_map(|it| it.reason.as_deref())
            .collect();
        reasons.sort_unstable();
        reasons.dedup();
        let mut how = how.join(", ");
        for reason in reasons.iter().take(3) {
            how.push_str("; ");
            how.push_str(reason);
        }
        Self {
            name,
            places: places.len(),
            worst: places
                .iter()
                .map(|it| it.state)
                .max()
                .unwrap_or(PlaceIs::Exact),
            how,
            reread: all.summary().reread_records,
        }
    }

    /// What was not told is not 0.
    fn reads_again(&self) -> String {
        match (self.worst, self.reread) {
            (PlaceIs::LastKnown | PlaceIs::Unknown, 0) => "not known".to_owned(),
            (_, records) => words::count(records),
        }
    }
}

fn table<T>(
    out: &mut String,
    class: &str,
    title: &str,
    head: &str,
    rows: &[T],
    mut row: impl FnMut(&mut String, &T),
) {
    let folded = rows.len() > OPEN;
    out.push_str("<div class=\"card\">");
    if folded {
        add(
            out,
            format_args!(
                "<details><summary><span class=\"name\">{}</span></summary>",
                Text(title)
            ),
        );
    }
    if rows.is_empty() {
        out.push_str("<p class=\"none\">None.</p></div>\n");
        return;
    }
    add(
        out,
        format_args!("<div class=\"scroll\"><table class=\"{class}\">{head}"),
    );
    for it in rows.iter().take(ROWS) {
        row(out, it);
    }
    out.push_str("</table></div>");
    let more = rows.len().saturating_sub(ROWS);
    if more > 0 {
        add(
            out,
            format_args!(
                "<p class=\"none\">and {} more, in evidence.json</p>",
                words::count(many(more))
            ),
        );
    }
    if folded {
        out.push_str("</details>");
    }
    out.push_str("</div>\n");
}

fn offset(offset: i64) -> String {
    u64::try_from(offset).map_or_else(|_error| offset.to_string(), words::count)
}
