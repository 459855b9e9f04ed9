//! The last warnings and errors that were logged, for the page.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::clock::now_ms;

/// How many are kept.
const KEPT: usize = 50;
/// The longest text kept of one, in characters.
const LONGEST: usize = 600;

/// One WARN or ERROR line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventLine {
    /// When it was logged, in milliseconds since 1970.
    pub at_ms: i64,
    /// `WARN` or `ERROR`.
    pub level: &'static str,
    /// Message and fields.
    pub text: String,
}

/// A ring of them. Any thread that logs writes, the page's server reads; each holds the mutex for one line.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<VecDeque<EventLine>>>);

impl Events {
    /// Newest first.
    pub fn newest_first(&self) -> Vec<EventLine> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().rev().cloned().collect()
    }

    fn add(&self, line: EventLine) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

impl<S: Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            _ => return,
        };
        let mut words = Words::default();
        event.record(&mut words);
        let text = words.message + &words.fields;
        self.add(EventLine {
            at_ms: now_ms(),
            level,
            text: text.chars().take(LONGEST).collect(),
        });
    }
}

/// An event's message, and its fields in their order.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(self.fields, " {}={value}", field.name());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            // As above.
            let _ = write!(self.fields, " {}={value:?}", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_warnings_and_errors_are_kept_and_nothing_else() {
        let events = Events::default();
        let subscriber = tracing_subscriber::registry().with(events.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("a quiet word");
            for number in 0..60 {
                tracing::warn!(number, topic = "orders", "slot fenced");
            }
            tracing::error!(reason = %"x".repeat(5_000), "partition halted");
        });
        let lines = events.newest_first();
        assert_eq!(lines.len(), KEPT);
        let texts: Vec<&str> = lines
            .iter()
            .map(|line| line.text.as_str())
            .take(2)
            .collect();
        assert!(
            texts
                .first()
                .is_some_and(|text| text.starts_with("partition halted reason=xxx")
                    && text.chars().count() == LONGEST)
        );
        assert_eq!(texts.get(1), Some(&"slot fenced number=59 topic=orders"));
    }
}
