//! Numbers and times as people read them.

use std::time::{Duration, UNIX_EPOCH};

use understudy_recovery::LossBound;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// `n` of a length, as a number that [`counted`] takes.
pub fn many(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// `45 ms`, `3.2 s`, `42 s`, `3 min 20 s`, `5 h 2 min`.
pub fn lasted(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let whole = milliseconds.saturating_add(500) / 1_000;
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..9_950 => format!(
            "{}.{} s",
            milliseconds.saturating_add(50) / 1_000,
            milliseconds.saturating_add(50) / 100 % 10
        ),
        _ if whole < 60 => format!("{whole} s"),
        _ if whole < 3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole / 60 % 60),
    }
}

/// The same of seconds.
pub fn seconds(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a cast of a double saturates"
    )]
    let milliseconds = (seconds * 1_000.0).ceil() as i64;
    lasted(milliseconds)
}

/// `2026-11-24 00:47:27 UTC`.
pub fn moment(at_ms: i64) -> String {
    let since = Duration::from_millis(u64::try_from(at_ms).unwrap_or_default());
    // Beyond the year 9999 there is no such text.
    UNIX_EPOCH
        .checked_add(since)
        .filter(|_| since.as_secs() < 253_402_300_800)
        .map_or_else(
            || at_ms.to_string(),
            |at| {
                let text = humantime::format_rfc3339_seconds(at).to_string();
                text.replace('T', " ").replace('Z', " UTC")
            },
        )
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
    fn times_read_as_people_say_them() {
        assert_eq!(
            [45, 3_240, 9_960, 42_400, 200_000, 18_120_000].map(lasted),
            ["45 ms", "3.2 s", "10 s", "42 s", "3 min 20 s", "5 h 2 min"]
        );
        assert_eq!(moment(1_795_481_247_000), "2026-11-24 00:47:27 UTC");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }

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
