//! What people read, on the page and in the terminal alike.

pub use understudy_domain::words::{count, counted, moment};
use understudy_domain::{Readiness, Verdict};

/// `0.4 s`, `42 s`, `3 min 20 s`, `5 h 2 min`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a double saturates"
    )]
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        _ => format!("{} d {} h", whole / 86_400, whole / 3600 % 24),
    }
}

/// `0.8`, `37`, `12,345`: a rate or an amount that needs no decimals when it is large.
pub fn rate(number: f64) -> String {
    if number < 10.0 {
        let text = format!("{:.1}", number.max(0.0));
        return text.strip_suffix(".0").unwrap_or(&text).to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast of a double saturates"
    )]
    let whole = number.round() as u64;
    count(whole)
}

/// `12 B/s`, `3.4 MB/s`.
pub fn bytes_per_second(number: f64) -> String {
    let (scaled, unit) = match number {
        n if n >= 1e9 => (n / 1e9, "GB/s"),
        n if n >= 1e6 => (n / 1e6, "MB/s"),
        n if n >= 1e3 => (n / 1e3, "kB/s"),
        n => (n, "B/s"),
    };
    format!("{} {unit}", rate(scaled))
}

/// The verdict, in capitals.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ready => "READY",
        Verdict::Degraded => "DEGRADED",
        Verdict::Unknown => "UNKNOWN",
        Verdict::NotReady => "NOT READY",
    }
}

/// Could we fail over now, in one sentence.
pub fn answer(readiness: &Readiness) -> &'static str {
    match readiness.verdict {
        Verdict::Ready => "A failover could start now.",
        Verdict::Degraded => "A failover could start now; it would not be as good as it should be.",
        Verdict::Unknown => "It cannot be told from here what a failover would lose.",
        Verdict::NotReady => "Look at what is in the way before any failover.",
    }
}

/// What would be lost now, in records.
pub fn lost(readiness: &Readiness) -> String {
    match (
        readiness.lost_records_at_least,
        readiness.lost_records_at_most,
    ) {
        (_, Some(0)) => "nothing".to_owned(),
        (least, Some(most)) if least < most => format!("up to {}", counted(most, "record")),
        (_, Some(most)) => counted(most, "record"),
        (0, None) => "unknown".to_owned(),
        (least, None) => format!("{} or more", counted(least, "record")),
    }
}

/// How sure that is.
pub fn lost_detail(readiness: &Readiness) -> String {
    match (
        readiness.lost_records_at_most,
        readiness.source_seen_seconds,
    ) {
        (Some(_), Some(seen)) => format!("source last seen {} ago", seconds(seen)),
        (None, Some(seen)) => format!(
            "source not seen for {}: and whatever it took since",
            seconds(seen)
        ),
        (_, None) => "the source has not been seen in full yet".to_owned(),
    }
}

/// The recovery point: nothing older would be lost.
pub fn recovery_point(readiness: &Readiness) -> String {
    readiness
        .lost_seconds_at_most
        .map_or_else(|| "unknown".to_owned(), seconds)
}

/// What would be read again, when places of `followed` groups are known here.
pub fn reread(readiness: &Readiness, followed: usize) -> String {
    match (readiness.groups_rereading, readiness.reread_records_at_most) {
        _ if followed == 0 => "not known here".to_owned(),
        (0, _) => "nothing".to_owned(),
        (groups, Some(records)) => format!(
            "{} by {}",
            counted(records, "record"),
            counted(groups as u64, "group")
        ),
        (groups, None) => format!("an unknown number by {}", counted(groups as u64, "group")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(
            [0.04, 9.94, 42.0, 200.4, 18_120.0, 273_600.0].map(seconds),
            [
                "0.0 s",
                "9.9 s",
                "42 s",
                "3 min 20 s",
                "5 h 2 min",
                "3 d 4 h"
            ]
        );
        assert_eq!([0.0, 0.84, 12_345.2].map(rate), ["0", "0.8", "12,345"]);
        assert_eq!(bytes_per_second(3.4e6), "3.4 MB/s");
    }
}
