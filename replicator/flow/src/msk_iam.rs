//! Tokens for MSK's IAM: a request to `kafka-cluster:Connect`, signed for the cluster's Region and never sent.
//!
//! The form is that of AWS's own signers (`aws-msk-iam-sasl-signer-*`): the presigned URL, in base64url.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Request;

/// How long brokers take a token; they allow no more.
const LIFETIME: Duration = Duration::from_secs(900);

/// A token and its end.
pub struct IamToken {
    /// As it goes to the broker. Never printed.
    pub token: String,
    /// When brokers refuse it, in ms since 1970: after 15 minutes, or with the credentials that signed it.
    pub expires_ms: i64,
}

/// Signs a token as of `now`.
///
/// # Errors
/// The Region cannot be part of a host name, in the signer's words.
pub fn sign_token(
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<IamToken, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(LIFETIME);
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let mut request = Request::builder()
        .uri(&url)
        .body(())
        .map_err(|error| error.to_string())?;
    let signable = SignableRequest::new("GET", &url, std::iter::empty(), SignableBody::Bytes(&[]))
        .map_err(|error| error.to_string())?;
    let (signature, _) = sign(signable, &parameters.into())
        .map_err(|error| error.to_string())?
        .into_parts();
    signature.apply_to_request_http1x(&mut request);
    // Brokers log it; it is not signed.
    let signed = format!(
        "{}&User-Agent=understudy%2F{}",
        request.uri(),
        env!("CARGO_PKG_VERSION")
    );
    let end = credentials
        .expiry()
        .map_or(now + LIFETIME, |end| end.min(now + LIFETIME));
    Ok(IamToken {
        token: BASE64_URL_SAFE_NO_PAD.encode(signed),
        expires_ms: end.duration_since(UNIX_EPOCH).map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    /// Where the request would go, its query, and when the token ends.
    type Signed = (String, BTreeMap<String, String>, i64);

    /// 2026-11-24 08:30:00 UTC.
    const NOW: Duration = Duration::from_secs(1_795_509_000);

    fn signed(
        region: &str,
        session: Option<&str>,
        until: Option<Duration>,
    ) -> Result<Signed, Box<dyn std::error::Error>> {
        let credentials = Credentials::new(
            "AKIDEXAMPLE",
            "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session.map(str::to_owned),
            until.map(|until| UNIX_EPOCH + until),
            "test",
        );
        let token = sign_token(region, &credentials, UNIX_EPOCH + NOW)?;
        let url = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&token.token)?)?;
        let (place, query) = url.split_once('?').ok_or("no query")?;
        let query = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok((place.to_owned(), query, token.expires_ms))
    }

    #[test]
    fn a_token_is_signed_as_aws_s_own_library_signs_it() -> Outcome {
        // The signatures are botocore's, of the same request, key and time.
        for (session, signature) in [
            (
                None,
                "23506766f79adf2fd2658295eb7141d90ce6639df1defb738737fcf2df788df1",
            ),
            (
                Some("session/token+with=signs"),
                "0a4677fbf6833b05762aa6777a9aa94aa3ea401d7bcbb1b02280242aa13fa13e",
            ),
        ] {
            let (place, query, _) = signed("us-east-1", session, None)?;
            assert_eq!(place, "https://kafka.us-east-1.amazonaws.com/");
            let get = |name| query.get(name).map(String::as_str);
            assert_eq!(get("Action"), Some("kafka-cluster%3AConnect"));
            assert_eq!(get("X-Amz-Expires"), Some("900"));
            assert_eq!(get("X-Amz-Date"), Some("20261124T083000Z"));
            assert_eq!(get("X-Amz-SignedHeaders"), Some("host"));
            assert_eq!(
                get("X-Amz-Credential"),
                Some("AKIDEXAMPLE%2F20261124%2Fus-east-1%2Fkafka-cluster%2Faws4_request")
            );
            assert_eq!(get("X-Amz-Signature"), Some(signature));
            assert!(get("User-Agent").is_some_and(|agent| agent.starts_with("understudy%2F")));
        }
        Ok(())
    }

    #[test]
    fn a_token_ends_after_15_minutes_or_with_its_credentials() -> Outcome {
        let minutes = |count: u64| Duration::from_secs(count * 60);
        for (until, lives) in [
            (None, minutes(15)),
            (Some(NOW + minutes(60)), minutes(15)),
            (Some(NOW + minutes(5)), minutes(5)),
        ] {
            let (_, _, expires_ms) = signed("eu-west-1", None, until)?;
            assert_eq!(u128::try_from(expires_ms)?, (NOW + lives).as_millis());
        }
        Ok(())
    }

    #[test]
    fn a_region_that_is_no_name_is_refused() {
        assert!(signed("eu west", None, None).is_err());
    }
}
