//! JSON Web Tokens, as far as a client must read its own: until when, and for whom.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// A token that brokers check; read here, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// As it goes to the broker. Never printed.
    pub token: String,
    /// `sub`, or `azp` or `client_id` where there is none.
    pub principal: String,
    /// `exp`, in ms since 1970.
    pub expires_ms: i64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("principal", &self.principal)
            .field("expires_ms", &self.expires_ms)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a token. Never holds the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    /// Not of the form.
    #[error("it is not a JSON Web Token (three base64url parts with dots between them)")]
    NotAToken,
    /// No end.
    #[error("its claim exp is missing or not a number; it is needed to know when to read it again")]
    NoExpiry,
}

impl AccessToken {
    /// Reads a token's own claims.
    ///
    /// # Errors
    /// It is not a JSON Web Token, or does not say when it ends.
    pub fn read(text: &str) -> Result<Self, AccessTokenError> {
        let mut parts = text.split('.');
        let (Some(_header), Some(claims), Some(_signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(AccessTokenError::NotAToken);
        };
        let claims = BASE64_URL_SAFE_NO_PAD
            .decode(claims)
            .map_err(|_not_base64| AccessTokenError::NotAToken)?;
        let claims: Map<String, Value> =
            serde_json::from_slice(&claims).map_err(|_not_json| AccessTokenError::NotAToken)?;
        // Beyond the year 285,000 it is not a time; a double's 53 bits are exact up to there.
        let seconds = claims
            .get("exp")
            .and_then(Value::as_f64)
            .filter(|seconds| (0.0..9e12).contains(seconds))
            .ok_or(AccessTokenError::NoExpiry)?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked to lie far inside an i64; a fraction of a millisecond is nobody's"
        )]
        let expires_ms = (seconds * 1000.0) as i64;
        Ok(Self {
            token: text.to_owned(),
            principal: ["sub", "azp", "client_id"]
                .into_iter()
                .find_map(|claim| claims.get(claim)?.as_str())
                .unwrap_or("the token's subject")
                .to_owned(),
            expires_ms,
        })
    }
}
