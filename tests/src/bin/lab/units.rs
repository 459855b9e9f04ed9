//! Delays and rates as people type them.

use std::time::Duration;

/// `60ms`, `1s`.
pub(crate) fn delay(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 60ms or 1s"))
}

/// `10MB`, `500KB` or plain bytes a second; 0: no limit.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match text
        .get(digits.len()..)
        .unwrap_or_default()
        .trim()
        .trim_end_matches("/s")
    {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        other => {
            return Err(format!(
                "unknown unit {other}; write 10MB, 500KB or bytes a second"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write 10MB, 500KB or bytes a second".to_owned())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too much".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        assert_eq!(rate("10MB"), Ok(10_000_000));
        assert_eq!(rate("500KB/s"), Ok(500_000));
        assert_eq!(rate("0"), Ok(0));
        assert!(rate("10 miles").is_err());
        assert!(rate("fast").is_err());
    }
}
