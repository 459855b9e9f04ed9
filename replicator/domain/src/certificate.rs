//! When a certificate ends: the one field of X.509 that a person must know in time.

/// Why an end cannot be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an X.509 certificate in DER")]
pub struct NotACertificate;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// When the certificate `der` ends, in seconds since 1970.
///
/// ```text
/// Certificate { TBSCertificate { [version] serial algorithm issuer Validity { notBefore notAfter } … } … }
/// ```
///
/// # Errors
/// Bytes that are no certificate.
pub fn not_after(der: &[u8]) -> Result<i64, NotACertificate> {
    let (certificate, _) = enter(der, SEQUENCE)?;
    let (mut fields, _) = enter(certificate, SEQUENCE)?;
    if fields.first() == Some(&VERSION) {
        fields = skip(fields)?;
    }
    for _serial_algorithm_issuer in 0..3 {
        fields = skip(fields)?;
    }
    let (validity, _) = enter(fields, SEQUENCE)?;
    let end = skip(validity)?;
    let (tag, text, _) = element(end)?;
    let text = std::str::from_utf8(text).map_err(|_error| NotACertificate)?;
    match tag {
        UTC_TIME => {
            let year: i64 = part(text, 0, 2)?;
            seconds(
                if year < 50 { 2000 + year } else { 1900 + year },
                text.get(2..),
            )
        }
        GENERALIZED_TIME => seconds(part(text, 0, 4)?, text.get(4..)),
        _ => Err(NotACertificate),
    }
}

/// The element at the beginning: tag, content, what follows.
fn element(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), NotACertificate> {
    let (&tag, rest) = bytes.split_first().ok_or(NotACertificate)?;
    let (&first, mut rest) = rest.split_first().ok_or(NotACertificate)?;
    let mut length = usize::from(first & 0x7f);
    if first & 0x80 != 0 {
        if length == 0 || length > 4 {
            return Err(NotACertificate);
        }
        let (digits, behind) = rest.split_at_checked(length).ok_or(NotACertificate)?;
        length = digits
            .iter()
            .fold(0, |sum, digit| (sum << 8) | usize::from(*digit));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length).ok_or(NotACertificate)?;
    Ok((tag, content, behind))
}

fn enter(bytes: &[u8], wanted: u8) -> Result<(&[u8], &[u8]), NotACertificate> {
    match element(bytes)? {
        (tag, content, behind) if tag == wanted => Ok((content, behind)),
        _ => Err(NotACertificate),
    }
}

fn skip(bytes: &[u8]) -> Result<&[u8], NotACertificate> {
    element(bytes).map(|(_, _, behind)| behind)
}

fn part(text: &str, from: usize, to: usize) -> Result<i64, NotACertificate> {
    let digits = text.get(from..to).ok_or(NotACertificate)?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(NotACertificate);
    }
    digits.parse().map_err(|_error| NotACertificate)
}

/// `MMDDHHMMSSZ` of a year.
fn seconds(year: i64, rest: Option<&str>) -> Result<i64, NotACertificate> {
    let rest = rest.ok_or(NotACertificate)?;
    let (month, day) = (part(rest, 0, 2)?, part(rest, 2, 4)?);
    let (hour, minute, second) = (part(rest, 4, 6)?, part(rest, 6, 8)?, part(rest, 8, 10)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(NotACertificate);
    }
    // Days since 1970 in the proleptic Gregorian calendar, with years that begin in March.
    let (year, month) = if month <= 2 {
        (year - 1, month + 9)
    } else {
        (year, month - 3)
    };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Ok(days * 86_400 + hour * 3_600 + minute * 60 + second)
}
