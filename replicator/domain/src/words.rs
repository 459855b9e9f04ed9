//! Numbers and times as people read them, on pages, in the terminal and in errors alike.

use std::time::{Duration, UNIX_EPOCH};

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
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

/// A limit of time that has passed: `2 s`, also where it is what was left of two seconds.
pub fn limit(time: Duration) -> String {
    let text = lasted(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    text.replace(".0 s", " s")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_as_people_say_them() {
        assert_eq!(
            [0, 999, 1_000, 12_345_678].map(count),
            ["0", "999", "1,000", "12,345,678"]
        );
        assert_eq!(
            [45, 3_240, 9_960, 42_400, 200_000, 18_120_000].map(lasted),
            ["45 ms", "3.2 s", "10 s", "42 s", "3 min 20 s", "5 h 2 min"]
        );
        let limits = [1_999_705_588, 2_000_000_000, 250_000_000, 90_000_000_000];
        assert_eq!(
            limits.map(|nanos| limit(Duration::from_nanos(nanos))),
            ["2 s", "2 s", "250 ms", "1 min 30 s"]
        );
        assert_eq!(moment(1_795_481_247_000), "2026-11-24 00:47:27 UTC");
        assert_eq!(moment(i64::MAX), i64::MAX.to_string());
    }
}
