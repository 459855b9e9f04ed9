//! Who may see the page: whoever knows the token, or shows a certificate that our authority signed.

use std::fmt;

use axum::http::{HeaderMap, header};
use ring::hmac;
use subtle::ConstantTimeEq;

use crate::http_config::HttpConfig;

/// The cookie that the login form sets.
const COOKIE: &str = "understudy";

/// What a caller must show. The token itself is in no cookie and in no URL.
#[derive(Clone)]
pub struct Access {
    token: Option<Secrets>,
    /// Whether a verified client certificate lets in.
    certificates: bool,
    /// Whether the page is served over TLS.
    tls: bool,
}

#[derive(Clone)]
struct Secrets {
    token: String,
    /// What the cookie holds: derived from the token, so that it outlives a restart and serves every worker of the
    /// flow, and tells nothing about the token.
    cookie: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("token", &self.token.is_some())
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// As configured.
    pub fn new(config: &HttpConfig) -> Self {
        Self {
            token: config.token.as_ref().map(|token| Secrets {
                token: token.secret().to_owned(),
                cookie: derive(token.secret()),
            }),
            certificates: config
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some()),
            tls: config.tls.is_some(),
        }
    }

    /// Whether a request with these headers may see everything; `certified` when its connection showed a certificate
    /// that was verified.
    pub fn allows(&self, headers: &HeaderMap, certified: bool) -> bool {
        if self.token.is_none() && !self.certificates {
            return true;
        }
        if self.certificates && certified {
            return true;
        }
        let Some(secrets) = &self.token else {
            return false;
        };
        let bearer = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let cookie = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(name, _)| *name == COOKIE)
            .map(|(_, value)| value);
        bearer.is_some_and(|shown| same(shown, &secrets.token))
            || cookie.is_some_and(|shown| same(shown, &secrets.cookie))
    }

    /// Whether there is a token to ask for.
    pub fn asks_for_token(&self) -> bool {
        self.token.is_some()
    }

    /// The `Set-Cookie` that lets a browser in, if this is the token.
    pub fn log_in(&self, shown: &str) -> Option<String> {
        let secrets = self
            .token
            .as_ref()
            .filter(|secrets| same(shown, &secrets.token))?;
        let secure = if self.tls { "; Secure" } else { "" };
        Some(format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800{secure}",
            secrets.cookie
        ))
    }
}

/// Compared in a time that tells at most how long the secret is.
fn same(shown: &str, secret: &str) -> bool {
    shown.as_bytes().ct_eq(secret.as_bytes()).into()
}

fn derive(token: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
    let tag = hmac::sign(&key, b"understudy page cookie 1");
    tag.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn access(token: bool, certificates: bool) -> Access {
        Access {
            token: token.then(|| Secrets {
                token: TOKEN.to_owned(),
                cookie: derive(TOKEN),
            }),
            certificates,
            tls: true,
        }
    }

    fn headers(
        name: header::HeaderName,
        value: &str,
    ) -> Result<HeaderMap, header::InvalidHeaderValue> {
        Ok(HeaderMap::from_iter([(name, value.parse()?)]))
    }

    #[test]
    fn only_the_token_its_cookie_or_a_certificate_lets_in() -> Result<(), Box<dyn std::error::Error>>
    {
        let none = HeaderMap::new();
        assert!(access(false, false).allows(&none, false));
        assert!(!access(true, false).allows(&none, true));
        assert!(!access(false, true).allows(&none, false));
        assert!(access(false, true).allows(&none, true));
        assert!(access(true, true).allows(&none, true));
        let guarded = access(true, false);
        let set = guarded.log_in(TOKEN).ok_or("refused")?;
        assert!(!set.contains(TOKEN) && set.contains("HttpOnly") && set.contains("Secure"));
        assert_eq!(guarded.log_in("0123456789abcdeF"), None);
        let cookie = set.split(';').next().unwrap_or_default();
        for (name, value, expected) in [
            (header::AUTHORIZATION, format!("Bearer {TOKEN}"), true),
            (header::AUTHORIZATION, format!("bearer {TOKEN}"), true),
            (header::AUTHORIZATION, format!("Basic {TOKEN}"), false),
            (header::AUTHORIZATION, format!("Bearer {TOKEN}0"), false),
            (header::AUTHORIZATION, "Bearer ".to_owned(), false),
            (header::COOKIE, format!("other=1; {cookie}"), true),
            (header::COOKIE, format!("understudy={TOKEN}"), false),
            (header::COOKIE, "understudy=".to_owned(), false),
        ] {
            assert_eq!(
                guarded.allows(&headers(name, &value)?, false),
                expected,
                "{value}"
            );
        }
        Ok(())
    }
}
