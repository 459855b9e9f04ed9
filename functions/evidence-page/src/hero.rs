//! Where we stand, in one sentence, and what it cost.

use understudy_recovery::evidence::Evidence;
use understudy_recovery::{Mode, Step};

use crate::html::Text;
use crate::{add, words};

/// The headline.
pub struct Hero {
    tone: Tone,
    /// Where we stand.
    pub headline: String,
    line: String,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Good,
    Stayed,
    Neutral,
    Bad,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "ready",
            Self::Stayed => "degraded",
            Self::Neutral => "unknown",
            Self::Bad => "not-ready",
        }
    }

    /// A sign that says the same as the colour.
    const fn sign(self) -> &'static str {
        match self {
            Self::Good => "M16 28 L24 36 L40 19",
            Self::Stayed => "M18 28 H38",
            Self::Neutral => "M28 16 V16.1 M28 25 V40",
            Self::Bad => "M28 16 V31 M28 40 V40.1",
        }
    }
}

impl Hero {
    /// The headline of this evidence.
    pub fn of(evidence: &Evidence) -> Self {
        let (source, target) = (&evidence.source, &evidence.target);
        let (tone, headline) = match evidence.ended.as_str() {
            "TargetActive" => (
                Tone::Good,
                format!("{target} is active at {}", evidence.epoch),
            ),
            "StandbyReady" => (Tone::Good, format!("{target} stands by for {source} again")),
            "SourceStillActive" => (Tone::Stayed, format!("{source} is still active")),
            "DrillDone" => (Tone::Neutral, "Drill: nothing was changed".to_owned()),
            "Superseded" => (Tone::Neutral, "Another recovery took over".to_owned()),
            _ if evidence.leash.is_leashed() => {
                (Tone::Bad, "Drill: it would have needed a person".to_owned())
            }
            _ if done(evidence, Step::OpenTarget) => (
                Tone::Bad,
                format!(
                    "{target} is active at {}, and a person is needed",
                    evidence.epoch
                ),
            ),
            _ if evidence.cut.is_some() => (
                Tone::Bad,
                format!("The flow is sealed, {target} is not open: a person is needed"),
            ),
            _ => (Tone::Bad, "A person is needed".to_owned()),
        };
        let what = match evidence.mode {
            Mode::Failover => "Failover",
            Mode::Switchover => "Switchover",
            Mode::Failback => "Failback",
        };
        let drill = if evidence.leash.is_leashed() {
            ", on a leash"
        } else {
            ""
        };
        let took = words::lasted(evidence.ended_at_ms.saturating_sub(evidence.started_at_ms));
        Self {
            tone,
            headline,
            line: format!("{what} from {source} to {target}{drill}, over after {took}."),
            error: evidence.error.clone(),
        }
    }

    /// Renders it.
    pub fn render(&self, out: &mut String) {
        let error = self.error.as_ref().map_or_else(String::new, |error| {
            format!("<p class=\"why\">{}</p>", Text(error))
        });
        add(
            out,
            format_args!(
                "<div class=\"card hero {}\" role=\"status\">\
                 <svg viewBox=\"0 0 56 56\" aria-hidden=\"true\"><circle cx=\"28\" cy=\"28\" r=\"26\"/><path d=\"{}\"/></svg>\
                 <div><strong>{}</strong><p>{}</p>{error}</div></div>\n",
                self.tone.class(),
                self.tone.sign(),
                Text(&self.headline),
                Text(&self.line),
            ),
        );
    }
}

/// Whether a step did its work.
pub fn done(evidence: &Evidence, step: Step) -> bool {
    let mut steps = evidence.steps.iter();
    steps.any(|it| it.step == step && it.error.is_none())
}

/// Whether applications stay where they were.
fn nothing_moved(evidence: &Evidence) -> bool {
    matches!(
        evidence.ended.as_str(),
        "SourceStillActive" | "StandbyReady"
    )
}

/// What it cost.
pub fn tiles(out: &mut String, evidence: &Evidence) {
    let would = evidence.leash.is_leashed();
    let title = |is: &'static str, would_be: &'static str| if would { would_be } else { is };
    let stays = nothing_moved(evidence);
    let (lost, age) = match &evidence.loss {
        _ if stays => ("–".to_owned(), "nothing was moved".to_owned()),
        Some(loss) => (words::lost(loss), words::age(loss)),
        None => ("unknown".to_owned(), "there is no cut".to_owned()),
    };
    let opened = match (evidence.write_pause_ms(), evidence.opened_after_ms) {
        (Some(pause), _) => (
            words::lasted(pause),
            "in which nobody could write: from the fence until writers were let in",
        ),
        (None, Some(after)) => (
            words::lasted(after),
            "from the wish until writers were let in",
        ),
        (None, None) if stays => ("–".to_owned(), "nothing was moved"),
        (None, None) => ("not reached".to_owned(), "writers were not let in"),
    };
    let back = match evidence.clients_back_after_ms {
        Some(after) => (
            words::lasted(after),
            "from the wish until every application was seen at work",
        ),
        None if stays => ("–".to_owned(), "nothing was moved"),
        None => ("not seen".to_owned(), "that every application is at work"),
    };
    let reread = reread(evidence);
    out.push_str("<div class=\"tiles\">");
    for (title, value, detail) in [
        (
            title("Lost (achieved RPO)", "Would be lost (RPO)"),
            &lost,
            age.as_str(),
        ),
        (
            title("Down (achieved RTO)", "Would take (RTO)"),
            &opened.0,
            opened.1,
        ),
        ("Applications back", &back.0, back.1),
        (
            title("Read again", "Would be read again"),
            &reread.0,
            &reread.1,
        ),
    ] {
        add(
            out,
            format_args!(
                "<div class=\"card tile\"><span>{title}</span><b>{}</b><span>{}</span></div>",
                Text(value),
                Text(detail)
            ),
        );
    }
    out.push_str("</div>\n");
}

fn reread(evidence: &Evidence) -> (String, String) {
    if nothing_moved(evidence) {
        return ("–".to_owned(), "nothing was moved".to_owned());
    }
    let Some(places) = &evidence.places else {
        return (
            "unknown".to_owned(),
            "places of groups were not read".to_owned(),
        );
    };
    let summary = places.summary();
    let value = match summary.reread_records {
        0 if summary.at_least > 0 || summary.last_known > 0 => "unknown".to_owned(),
        0 => "nothing".to_owned(),
        records => words::counted(records, "record"),
    };
    let all = [
        (summary.last_known, "as last known"),
        (summary.unknown, "not known"),
        (summary.beyond, "would skip"),
        (summary.live, "live already"),
    ];
    let rest: Vec<String> = all
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", words::count(count)))
        .collect();
    let groups = words::counted(summary.groups, "group");
    let detail = if rest.is_empty() {
        format!("{groups}, each place known")
    } else {
        format!("{groups}; places: {}", rest.join(", "))
    };
    (value, detail)
}
