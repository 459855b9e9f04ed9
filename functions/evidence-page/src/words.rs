//! Numbers and times as people read them.

pub use understudy_domain::words::{count, counted, lasted, moment};
use understudy_recovery::LossBound;

/// `n` of a length, as a number that [`counted`] takes.
pub fn many(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// `45 ms`, `3.2 s`: how long so many seconds are.
pub fn seconds(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a double saturates"
    )]
    let milliseconds = (seconds * 1_000.0).ceil() as i64;
    lasted(milliseconds)
}

/// What is lost, in records.
pub fn lost(loss: &LossBound) -> String {
    match (loss.records_at_least, loss.records_at_most) {
        (_, Some(0)) => "nothing".to_owned(),
        (least, Some(most)) if least == most => counted(most, "record"),
        (0, Some(most)) => format!("at most {}", counted(most, "record")),
        (least, Some(most)) => format!("{} to {}", count(least), counted(most, "record")),
        (0, None) => "unknown".to_owned(),
        (least, None) => format!("at least {}", counted(least, "record")),
    }
}

/// How old that is at most.
pub fn age(loss: &LossBound) -> String {
    match (loss.records_at_most, loss.seconds_at_most) {
        (Some(0), _) => "every record has its copy".to_owned(),
        (_, Some(at_most)) => format!(
            "all written in the last {} before the cut",
            seconds(at_most)
        ),
        (Some(_), None) => "of an age that is not known".to_owned(),
        (None, None) => "nothing bounds it above".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_never_made_up_from_what_was_not_seen() {
        let loss = |least, most| LossBound {
            records_at_least: least,
            records_at_most: most,
            seconds_at_most: None,
        };
        assert_eq!(lost(&LossBound::NONE), "nothing");
        assert_eq!(lost(&loss(0, None)), "unknown");
        assert_eq!(lost(&loss(12, None)), "at least 12 records");
        assert_eq!(lost(&loss(0, Some(1_200))), "at most 1,200 records");
        assert_eq!(lost(&loss(12, Some(1_200))), "12 to 1,200 records");
        assert_eq!(lost(&loss(1, Some(1))), "1 record");
    }
}
