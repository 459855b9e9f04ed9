//! Credentials that change while the process runs.
//!
//! One thread reads secrets, certificates and tokens again, and again. What changed is tried first: a client must be
//! made of it before anybody else sees it, so that half a file disturbs nobody. Then
//! - a new password or token goes to every running client, for its next connection;
//! - anything else lets the endpoint's generation rise: slots end their holding at a commit and take over again, the
//!   membership joins again, and the other clients are replaced at their next call.
//!
//! What a worker shows, others need not: whoever starts it says who is told ([`Notice`]).

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use understudy_domain::{AccessToken, CertificateEnd};
use understudy_kafka::Endpoint;
use understudy_kafka::ffi::login::Login;

use crate::aws::Aws;
use crate::chain::chain;
use crate::clock::now_ms;
use crate::config::{Flow, Renewable};
use crate::end_access::{Access, Recipe, Tokens};
use crate::msk_iam::sign_token;
use crate::secrets::Secrets;
use crate::stop::Stop;

/// A token is signed anew when it has less left than this: two thirds of its life.
const SIGN_BEFORE: Duration = Duration::from_secs(600);
/// How often it is looked whether one must be, at least.
const SIGN_EVERY: Duration = Duration::from_secs(60);
/// How soon after a failure is looked again.
const SOON: Duration = Duration::from_secs(5);

/// Is told after each look at credentials.
pub trait Notice: Send + 'static {
    /// Those of the cluster with this alias are fresh.
    fn fresh(&self, alias: &str);

    /// They are not: why, and what clients do meanwhile. Holds no secret.
    fn stale(&self, alias: &str, reason: &str);
}

/// Nobody is told: clients that are not let in say it themselves.
impl Notice for () {
    fn fresh(&self, _alias: &str) {}

    fn stale(&self, _alias: &str, _reason: &str) {}
}

/// Gives the clients of both ends, running and coming ones, what they log in with, and keeps it fresh until `stop`. For
/// those who have nothing to show it on.
///
/// # Errors
/// The machine refuses a thread.
pub fn log_in(flow: &Flow, stop: Arc<Stop>) -> std::io::Result<()> {
    Rotation::new(flow, ()).start(stop)
}

/// Keeps the credentials of a flow's ends fresh.
pub struct Rotation<N> {
    ends: [End; 2],
    interval: Duration,
    notice: N,
}

/// One end of the flow.
struct End {
    endpoint: Endpoint,
    recipe: Recipe,
    /// The way to AWS; each end's own, so that neither waits for the other's Region.
    aws: Aws,
    /// As it is in use.
    access: Access,
    /// When the present token ends, in ms since 1970, if there is one.
    token_until_ms: Option<i64>,
}

/// Why an end's credentials are not fresh. Never holds one.
#[derive(Debug, thiserror::Error)]
enum Stale {
    #[error("{0}")]
    Unreadable(String),
    #[error("what was read cannot be used: {0}")]
    Unusable(String),
    #[error(
        "the client certificate in ssl.certificate.location has expired ({0}); put its successor and its key there"
    )]
    ExpiredCertificate(CertificateEnd),
    #[error("the token in sasl.oauthbearer.token has expired; renew it where it is kept")]
    ExpiredToken,
    #[error("no token for MSK's IAM: {0}")]
    NoToken(String),
}

impl<N: Notice> Rotation<N> {
    /// For the ends of a flow.
    pub fn new(flow: &Flow, notice: N) -> Self {
        let renewal = &flow.renewal;
        let end = |endpoint: &Endpoint, part: &Renewable| End {
            endpoint: endpoint.clone(),
            recipe: part.recipe.clone(),
            aws: Aws::default(),
            access: part.access.clone(),
            token_until_ms: None,
        };
        Self {
            ends: [
                end(&flow.source, &renewal.source),
                end(&flow.target, &renewal.target),
            ],
            interval: renewal.interval,
            notice,
        }
    }

    /// Gives running and coming clients their tokens, then keeps everything fresh until `stop`, on a thread of its own.
    /// Nobody waits for that thread: a call to AWS may take it seconds, and it holds nothing that must be released.
    ///
    /// # Errors
    /// The machine refuses a thread.
    pub fn start(mut self, stop: Arc<Stop>) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name("credentials".to_owned());
        thread.spawn(move || {
            // What was read with the flow file is fresh; only tokens are not given out yet, and some may be lacking.
            let lacking = self.ends.iter().any(|end| !end.access.lacking.is_empty());
            let mut well = if lacking { self.look() } else { self.tokens() };
            let mut looked = Instant::now();
            while !stop.is_set() {
                let pause = if well {
                    self.interval
                } else {
                    self.interval.min(SOON)
                };
                let next = looked + pause;
                let left = next.saturating_duration_since(Instant::now());
                stop.wait(left.min(SIGN_EVERY));
                if stop.is_set() {
                    break;
                }
                if Instant::now() < next {
                    well &= self.tokens();
                    continue;
                }
                looked = Instant::now();
                well = self.look();
            }
        })?;
        Ok(())
    }

    /// Gives out tokens that are due; whether nothing has expired.
    fn tokens(&mut self) -> bool {
        let mut well = true;
        for end in &mut self.ends {
            let fresh = unexpired(&end.access).and_then(|()| end.give_token());
            well &= say(&self.notice, &end.endpoint, fresh);
        }
        well
    }

    /// Reads everything again, both ends side by side; whether all of it is fresh.
    fn look(&mut self) -> bool {
        let [source, target] = &mut self.ends;
        let (of_source, of_target) = std::thread::scope(|scope| {
            let source = scope.spawn(|| source.renew());
            let target = target.renew();
            let panicked = |_| Err(Stale::Unreadable("reading them failed".to_owned()));
            (source.join().unwrap_or_else(panicked), target)
        });
        let [source, target] = &self.ends;
        let well = say(&self.notice, &source.endpoint, of_source);
        say(&self.notice, &target.endpoint, of_target) && well
    }
}

impl End {
    fn renew(&mut self) -> Result<(), Stale> {
        let fresh = self.look().and_then(|()| self.give_token());
        if let Err(stale) = &fresh
            && !self.access.lacking.is_empty()
        {
            self.endpoint.lack(stale.to_string());
        }
        fresh
    }

    fn look(&mut self) -> Result<(), Stale> {
        let aws = self.aws.clone();
        let read = self
            .recipe
            .follow(&mut Secrets::look(&aws))
            .map_err(|error| Stale::Unreadable(chain(&error)))?;
        unexpired(&read)?;
        if read == self.access {
            return Ok(());
        }
        let files_changed = read.files != self.access.files;
        if read.properties != self.access.properties || files_changed {
            Endpoint::new(&self.endpoint.alias, read.properties.clone())
                .check()
                .map_err(|refused| {
                    Stale::Unusable(format!("{} {}", refused.key, refused.reason))
                })?;
            let before = self.endpoint.generation();
            self.endpoint.renew(read.properties.clone(), files_changed);
            let clients = if self.endpoint.generation() == before {
                "the running ones log in with them from now on"
            } else {
                "new ones take over"
            };
            tracing::info!(cluster = %self.endpoint.alias, clients, "credentials changed");
        }
        if read.tokens != self.access.tokens {
            self.token_until_ms = None;
        }
        self.access = read;
        Ok(())
    }

    /// Gives clients the present token, where they need one and it is not theirs yet.
    fn give_token(&mut self) -> Result<(), Stale> {
        let now = now_ms();
        let login = match &self.access.tokens {
            Tokens::None => return Ok(()),
            Tokens::Given(token) if token.expires_ms <= now => return Err(Stale::ExpiredToken),
            Tokens::Given(_) if self.token_until_ms.is_some() => return Ok(()),
            Tokens::Given(token) => login(token),
            Tokens::MskIam(region) => {
                let left = self.token_until_ms.map_or(0, |until| until - now);
                if left > i64::try_from(SIGN_BEFORE.as_millis()).unwrap_or(i64::MAX) {
                    return Ok(());
                }
                let credentials = self
                    .aws
                    .credentials()
                    .map_err(|error| Stale::NoToken(chain(&error)))?;
                let signed =
                    sign_token(region, &credentials, SystemTime::now()).map_err(Stale::NoToken)?;
                Login::Token {
                    token: signed.token,
                    principal: format!(
                        "the IAM identity with the access key {}",
                        credentials.access_key_id()
                    ),
                    expires_ms: signed.expires_ms,
                }
            }
        };
        let Login::Token { expires_ms, .. } = login else {
            return Ok(());
        };
        let given = self.endpoint.watch.logins().set(login);
        given.map_err(Stale::Unusable)?;
        tracing::debug!(cluster = %self.endpoint.alias, expires_ms, "token given to clients");
        self.token_until_ms = Some(expires_ms);
        Ok(())
    }
}

/// What has expired is not taken up: clients with an older certificate may still be let in.
fn unexpired(access: &Access) -> Result<(), Stale> {
    match access.certificate_end {
        Some(end) if end.ms() <= now_ms() => Err(Stale::ExpiredCertificate(end)),
        _ => Ok(()),
    }
}

fn login(token: &AccessToken) -> Login {
    Login::Token {
        token: token.token.clone(),
        principal: format!("User:{}", token.principal),
        expires_ms: token.expires_ms,
    }
}

/// Tells why credentials are not fresh, or that they are.
fn say(notice: &impl Notice, endpoint: &Endpoint, fresh: Result<(), Stale>) -> bool {
    match fresh {
        Ok(()) => {
            notice.fresh(&endpoint.alias);
            true
        }
        Err(stale) => {
            let reason = format!("{stale}; clients go on with what was read before");
            notice.stale(&endpoint.alias, &reason);
            false
        }
    }
}
