//! The way to AWS that all adapters share: one runtime, one configuration, one bound for every call.
//!
//! Handlers block; what they call here waits on the runtime's threads. Endpoints come from where every AWS program looks
//! (`AWS_ENDPOINT_URL_DYNAMODB` and the like).

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use understudy_domain::words::limit;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use understudy_shell::{PortError, PortErrorKind};

use crate::failure;

/// Until when a connection must stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// Until when one attempt must be answered.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);
/// Until when a call must be done, with its attempts.
const CALL_WITHIN: Duration = Duration::from_secs(6);
/// How often a call is attempted.
const ATTEMPTS: u32 = 2;
/// When a call is given up, whatever it does: finding credentials and resolving names know no bound of their own.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(7);
/// Credentials that hold for less are asked for again.
const HOLD_FOR: Duration = Duration::from_secs(60);

/// Why there is no way to AWS.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No thread for it.
    #[error("no runtime could be started for calls to AWS")]
    Runtime(#[source] std::io::Error),
    /// Nobody says which Region this is.
    #[error("the AWS Region is not known; set AWS_REGION")]
    NoRegion,
    /// Nobody says who asks.
    #[error(
        "there are no credentials for AWS; set AWS_PROFILE, or, where the AWS CLI has them, eval \"$(aws configure export-credentials --format env)\""
    )]
    NoCredentials(#[source] CredentialsError),
    /// Too late.
    #[error("AWS's configuration was not read within {}", limit(GIVEN_UP_AFTER))]
    TimedOut,
}

/// The way to AWS. Clones share it.
#[derive(Clone, Debug)]
pub struct Session {
    runtime: Arc<Runtime>,
    config: SdkConfig,
    /// What [`Session::credentials`] found; clients keep their own.
    credentials: Arc<Mutex<Option<Credentials>>>,
}

impl Session {
    /// Opens it, with credentials and Region from where every AWS program looks.
    ///
    /// # Errors
    /// No thread, or no Region.
    pub fn open() -> Result<Self, SessionError> {
        Self::load(aws_config::defaults(BehaviorVersion::latest()).http_client(https()))
    }

    /// The same in a Region that somebody named.
    ///
    /// # Errors
    /// No thread.
    pub fn open_in(region: &str) -> Result<Self, SessionError> {
        let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(https());
        Self::load(loader.region(Region::new(region.to_owned())))
    }

    /// The way to something that answers in AWS's stead, with made-up credentials.
    #[cfg(test)]
    pub(crate) fn through(http: SharedHttpClient) -> Result<Self, SessionError> {
        let credentials = Credentials::for_tests();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::from_static("us-west-2"))
            .credentials_provider(credentials);
        Self::load(config)
    }

    fn load(loader: ConfigLoader) -> Result<Self, SessionError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(SessionError::Runtime)?;
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(ATTEMPT_WITHIN)
            .operation_timeout(CALL_WITHIN)
            .build();
        let loader = loader
            .timeout_config(limits)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let config = runtime
            .block_on(async { tokio::time::timeout(GIVEN_UP_AFTER, loader.load()).await })
            .map_err(|_late| SessionError::TimedOut)?;
        if config.region().is_none() {
            return Err(SessionError::NoRegion);
        }
        Ok(Self {
            runtime: Arc::new(runtime),
            config,
            credentials: Arc::default(),
        })
    }

    /// What clients of this Region are made from.
    pub const fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The Region in which this runs.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", Region::as_ref)
    }

    /// Whether there are credentials. Calls find that out by themselves; this says it before anything else is said.
    ///
    /// # Errors
    /// There are none, or they were not found in time.
    pub fn must_have_credentials(&self) -> Result<(), SessionError> {
        let found = self
            .runtime
            .block_on(async { tokio::time::timeout(GIVEN_UP_AFTER, self.credentials()).await });
        found
            .map_err(|_late| SessionError::TimedOut)?
            .map(drop)
            .map_err(SessionError::NoCredentials)
    }

    /// Credentials for a call that is signed here, found once for as long as they hold.
    ///
    /// # Errors
    /// There are none.
    pub async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let mut kept = self.credentials.lock().await;
        let by = SystemTime::now() + HOLD_FOR;
        let hold = |it: &&Credentials| it.expiry().is_none_or(|until| until > by);
        if let Some(credentials) = kept.as_ref().filter(hold) {
            return Ok(credentials.clone());
        }
        let provider = self.config.credentials_provider();
        let provider =
            provider.ok_or_else(|| CredentialsError::not_loaded("nobody provides any"))?;
        let found = provider.provide_credentials().await?;
        *kept = Some(found.clone());
        Ok(found)
    }

    /// The runtime on which calls wait.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What a call answers, within the bound. `did` says in words what is asked for, such as "reading the ledger".
    ///
    /// # Errors
    /// It did not answer in time, or refused.
    pub fn call<T, E>(
        &self,
        did: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, PortError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.call_within(GIVEN_UP_AFTER, did, call)
    }

    /// As [`Session::call`], within a bound of its own.
    ///
    /// # Errors
    /// It did not answer in time, or refused.
    pub fn call_within<T, E>(
        &self,
        within: Duration,
        did: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, PortError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.answered(within, did, call, |_error| None)
    }

    /// As [`Session::call`]; but what the service refuses may be an answer.
    ///
    /// # Errors
    /// It did not answer in time, or refused otherwise.
    pub fn call_or<T, E>(
        &self,
        did: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        answer: impl FnOnce(&E) -> Option<T>,
    ) -> Result<T, PortError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.answered(GIVEN_UP_AFTER, did, call, answer)
    }

    fn answered<T, E>(
        &self,
        within: Duration,
        did: &str,
        call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        answer: impl FnOnce(&E) -> Option<T>,
    ) -> Result<T, PortError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let answered = self
            .runtime
            .block_on(async { tokio::time::timeout(within, call).await });
        let Ok(answered) = answered else {
            return Err(PortError::new(
                PortErrorKind::TimedOut,
                format!("{did}: no answer within {}", limit(within)),
            ));
        };
        answered.or_else(|error| {
            error
                .as_service_error()
                .and_then(answer)
                .ok_or_else(|| failure::of(did, &error))
        })
    }
}

/// Ring, because the default library of cryptography takes minutes to compile.
fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}
