//! Until when a certificate in PEM is good: brokers refuse an expired one without saying why.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::certificate::not_after;

/// The end of a certificate (`notAfter`), in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// Since 1970.
    seconds: i64,
}

impl CertificateEnd {
    /// The end of the first certificate in a PEM text, which is the one that the others vouch for; `None` if there is
    /// none that can be read.
    pub fn of_pem(pem: &str) -> Option<Self> {
        let (_, rest) = pem.split_once("-----BEGIN CERTIFICATE-----")?;
        let (body, _) = rest.split_once("-----END CERTIFICATE-----")?;
        let body: String = body.split_whitespace().collect();
        let seconds = not_after(&BASE64_STANDARD.decode(body).ok()?).ok()?;
        Some(Self { seconds })
    }

    /// In ms since 1970.
    pub fn ms(&self) -> i64 {
        self.seconds * 1000
    }
}

impl fmt::Display for CertificateEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A day of the Gregorian calendar from days since 1970, with years that begin in March.
        let days = self.seconds.div_euclid(86_400) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let shifted = (5 * day + 2) / 153;
        let (month, day) = ((shifted + 2) % 12 + 1, day - (153 * shifted + 2) / 5 + 1);
        let year = era * 400 + year + i64::from(month <= 2);
        let minutes = self.seconds.rem_euclid(86_400) / 60;
        let (hour, minute) = (minutes / 60, minutes % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
    }
}
