//! Answers, for people and for machines.

use std::fmt;

use serde::Serialize;
use understudy_domain::{SourceOffset, TargetOffset, Translation};

use super::Direction;
use super::asked::Place;
use crate::Report;
use crate::config::Flow;

/// What was asked and what is known.
#[derive(Serialize)]
pub struct Answers {
    flow: String,
    source: String,
    target: String,
    title: String,
    remark: Option<String>,
    #[serde(skip)]
    direction: Direction,
    partitions: Vec<Line>,
}

/// One place on both sides.
#[derive(Serialize)]
pub struct Line {
    topic: String,
    partition: i32,
    /// What the topic is called on the target, where it is called otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_topic: Option<String>,
    source_offset: Option<i64>,
    target_offset: Option<i64>,
    translation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Line {
    /// A place whose other side is not known yet.
    pub fn new(place: &Place) -> Self {
        let (source_offset, target_offset) = match place.side {
            Direction::Forward => (Some(place.offset), None),
            Direction::Reverse => (None, Some(place.offset)),
        };
        let differs = place.copy.topic != place.partition.topic;
        Self {
            topic: place.partition.topic.to_string(),
            partition: place.partition.partition,
            target_topic: differs.then(|| place.copy.topic.to_string()),
            source_offset,
            target_offset,
            translation: Translation::<()>::NotReady.name(),
            reason: None,
        }
    }

    /// Where it lies on the target; `known` is said when that is not exact.
    pub fn target(&mut self, translation: Translation<TargetOffset>, known: String) {
        self.target_offset = translation.offset().map(TargetOffset::get);
        self.say(translation.name(), reason(translation, known));
    }

    /// Where it lies on the target at least, and why no more is known.
    pub fn at_least(&mut self, target: TargetOffset, why: &str) {
        self.target_offset = Some(target.get());
        let reason = format!("{why}; to resume here may read records again, and skips nothing");
        self.say(Translation::AtLeast(()).name(), Some(reason));
    }

    /// Where it lies on the source; `known` is said when that is not exact.
    pub fn source(&mut self, translation: Translation<SourceOffset>, known: String) {
        self.source_offset = translation.offset().map(SourceOffset::get);
        self.say(translation.name(), reason(translation, known));
    }

    /// There is no answer, and why. What was asked about stays.
    pub fn unanswered(&mut self, why: Translation<()>, reason: String) {
        if self.source_offset.is_some() {
            self.target_offset = None;
        }
        self.say(why.name(), Some(reason));
    }

    /// Something else to know about it.
    pub fn remark(&mut self, remark: &str) {
        self.reason = Some(match self.reason.take() {
            Some(reason) => format!("{remark}; {reason}"),
            None => remark.to_owned(),
        });
    }

    fn say(&mut self, translation: &'static str, reason: Option<String>) {
        self.translation = translation;
        self.reason = reason;
    }

    const fn is_answered(&self) -> bool {
        self.source_offset.is_some() && self.target_offset.is_some()
    }
}

fn reason<O>(translation: Translation<O>, known: String) -> Option<String> {
    match translation {
        Translation::Exact(_) => None,
        Translation::AtLeast(_) => Some(
            "part of the offset map is lost; to resume here reads again what lies between, and skips nothing".to_owned(),
        ),
        Translation::Ahead => Some(format!("{known}; wait")),
        Translation::BeforeHistory => Some(format!(
            "the place lies before everything that the offset map holds; {known}"
        )),
        Translation::NoSync | Translation::NotReady => Some(known),
    }
}

impl Answers {
    /// What is known.
    pub fn new(
        flow: &Flow,
        direction: Direction,
        title: String,
        remark: Option<String>,
        partitions: Vec<Line>,
    ) -> Self {
        Self {
            flow: flow.name.to_string(),
            source: flow.source.alias.clone(),
            target: flow.target.alias.clone(),
            title,
            remark,
            direction,
            partitions,
        }
    }
}

impl Report for Answers {
    fn holds(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.iter().all(Line::is_answered)
    }

    /// One object a partition, one a line; a remark about the whole goes to standard error.
    fn json(&self) -> serde_json::Result<String> {
        if let Some(remark) = &self.remark {
            eprintln!("understudy: {remark}");
        }
        let lines: Result<Vec<String>, _> =
            self.partitions.iter().map(serde_json::to_string).collect();
        Ok(lines?.join("\n"))
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arrow = match self.direction {
            Direction::Forward => "->",
            Direction::Reverse => "<-",
        };
        writeln!(
            f,
            "flow {}: {} {arrow} {}, {}",
            self.flow, self.source, self.target, self.title
        )?;
        if let Some(remark) = &self.remark {
            writeln!(f, "{remark}")?;
        }
        if self.partitions.is_empty() {
            return Ok(());
        }
        let lengths = self.partitions.iter().map(|line| line.topic.len());
        let width = lengths.max().unwrap_or(5).max(5);
        writeln!(
            f,
            "\n{:width$}  partition  source offset  target offset  translation",
            "topic"
        )?;
        let shown = |offset: Option<i64>| offset.map_or_else(|| "-".to_owned(), |o| o.to_string());
        for line in &self.partitions {
            write!(
                f,
                "{:width$}  {:>9}  {:>13}  {:>13}  {}",
                line.topic,
                line.partition,
                shown(line.source_offset),
                shown(line.target_offset),
                line.translation
            )?;
            match &line.reason {
                Some(reason) => writeln!(f, ": {reason}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
