//! The AWS calls of a flow: reading secrets, and the credentials that MSK's IAM wants to see signed.
//!
//! Opened with the first call, so that flows without AWS pay nothing. Credentials come from where every AWS program
//! looks: the environment, profiles, a container's or a machine's role.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use understudy_domain::words::limit;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::SharedHttpClient;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::runtime::Runtime;
use understudy_domain::SecretArn;

use crate::chain::chain;

/// Until when a connection must stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Until when one attempt must be answered.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(5);
/// Until when a call must be done, with its attempts; the outer limit also covers finding credentials.
const CALL_WITHIN: Duration = Duration::from_secs(12);

/// Why AWS did not answer as wanted. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// No thread or socket for it.
    #[error("cannot start")]
    Start(#[source] std::io::Error),
    /// Too late.
    #[error(
        "no answer from {0} within {within}; check the route to it, or its VPC endpoint",
        within = limit(CALL_WITHIN)
    )]
    TimedOut(&'static str),
    /// The call did not reach the service, or its answer was none.
    #[error(
        "{service} was not reached: {reason}; check credentials and the route to it, or its VPC endpoint"
    )]
    NotReached {
        /// The service.
        service: &'static str,
        /// Why.
        reason: String,
    },
    /// The service said no.
    #[error("{service} answered {code}: {message}")]
    Refused {
        /// The service.
        service: &'static str,
        /// Its word for it.
        code: String,
        /// Its words.
        message: String,
    },
    /// A secret of bytes.
    #[error("the secret is binary; only text can be used")]
    Binary,
    /// Nobody to be.
    #[error(
        "no AWS credentials: {0}; give the task or the machine a role, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
    )]
    NoCredentials(String),
}

const SECRETS_MANAGER: &str = "Secrets Manager";

/// The way to AWS. Clones share it.
#[derive(Clone, Default)]
pub struct Aws(Arc<Mutex<Option<Session>>>);

/// Written by the first call; a mutex, because the runtime serves one call at a time.
struct Session {
    runtime: Runtime,
    config: SdkConfig,
    /// By Region.
    secrets: BTreeMap<String, Client>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aws")
    }
}

impl Aws {
    /// A way to AWS through another HTTP client.
    #[cfg(test)]
    pub fn through(http: SharedHttpClient) -> Result<Self, AwsError> {
        let credentials = Credentials::for_tests();
        let config = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .region(Region::from_static("eu-west-1"))
            .credentials_provider(credentials);
        let session = Session::open(config)?;
        Ok(Self(Arc::new(Mutex::new(Some(session)))))
    }

    /// The present text of a secret.
    ///
    /// # Errors
    /// It cannot be had in time.
    pub fn secret(&self, arn: &SecretArn) -> Result<String, AwsError> {
        self.with(|session| {
            let client = session
                .secrets
                .entry(arn.region.clone())
                .or_insert_with(|| {
                    let region = Region::new(arn.region.clone());
                    let config = aws_sdk_secretsmanager::config::Builder::from(&session.config)
                        .region(region)
                        .build();
                    Client::from_conf(config)
                });
            let call = client.get_secret_value().secret_id(&arn.arn).send();
            let answer = session
                .runtime
                .block_on(async { tokio::time::timeout(CALL_WITHIN, call).await })
                .map_err(|_late| AwsError::TimedOut(SECRETS_MANAGER))?
                .map_err(refused)?;
            answer
                .secret_string()
                .map(str::to_owned)
                .ok_or(AwsError::Binary)
        })
    }

    /// Who we are to AWS, as of now.
    ///
    /// # Errors
    /// Nobody says.
    pub fn credentials(&self) -> Result<Credentials, AwsError> {
        self.with(|session| {
            let provider = session
                .config
                .credentials_provider()
                .ok_or_else(|| AwsError::NoCredentials("no provider".to_owned()))?;
            session
                .runtime
                .block_on(async {
                    tokio::time::timeout(CALL_WITHIN, provider.provide_credentials()).await
                })
                .map_err(|_late| AwsError::TimedOut("the credentials' provider"))?
                .map_err(|error| AwsError::NoCredentials(chain(&error)))
        })
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&mut Session) -> Result<T, AwsError>,
    ) -> Result<T, AwsError> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = match held.take() {
            Some(session) => session,
            None => {
                Session::open(aws_config::defaults(BehaviorVersion::latest()).http_client(https()))?
            }
        };
        let answer = call(&mut session);
        *held = Some(session);
        answer
    }
}

impl Session {
    fn open(loader: aws_config::ConfigLoader) -> Result<Self, AwsError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AwsError::Start)?;
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT_WITHIN)
            .operation_attempt_timeout(ATTEMPT_WITHIN)
            .operation_timeout(CALL_WITHIN)
            .build();
        let loaded = runtime.block_on(async {
            tokio::time::timeout(CALL_WITHIN, loader.timeout_config(limits).load()).await
        });
        Ok(Self {
            config: loaded.map_err(|_late| AwsError::TimedOut("AWS's configuration"))?,
            runtime,
            secrets: BTreeMap::new(),
        })
    }
}

/// Ring, because the default library of cryptography takes minutes to compile.
fn https() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// Takes from an error what cannot hold a secret: the service's code and message, or why it was not reached.
fn refused<E, R>(error: SdkError<E, R>) -> AwsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: fmt::Debug,
{
    if let Some(service) = error.as_service_error()
        && let Some(code) = service.code()
    {
        return AwsError::Refused {
            service: SECRETS_MANAGER,
            code: code.to_owned(),
            message: service.message().unwrap_or_default().to_owned(),
        };
    }
    let reason = match &error {
        SdkError::DispatchFailure(failure) => failure
            .as_connector_error()
            .map_or_else(|| "no connection".to_owned(), |error| chain(error)),
        SdkError::ConstructionFailure(_) => "no call could be made".to_owned(),
        SdkError::TimeoutError(_) => return AwsError::TimedOut(SECRETS_MANAGER),
        _ => "its answer cannot be read".to_owned(),
    };
    AwsError::NotReached {
        service: SECRETS_MANAGER,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use aws_smithy_runtime_api::client::http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    };
    use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
    use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
    use http::StatusCode;

    use super::*;

    /// A service that gives one answer to everything, and remembers what it was asked.
    #[derive(Clone, Debug)]
    struct Answering {
        status: StatusCode,
        body: &'static str,
        asked: Arc<Mutex<Vec<String>>>,
    }

    impl HttpConnector for Answering {
        fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
            let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
            let asked = format!("{} {body}", request.uri());
            self.asked
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(asked);
            let response = HttpResponse::new(self.status.into(), self.body.into());
            HttpConnectorFuture::ready(Ok(response))
        }
    }

    impl HttpClient for Answering {
        fn http_connector(
            &self,
            _: &HttpConnectorSettings,
            _: &RuntimeComponents,
        ) -> SharedHttpConnector {
            SharedHttpConnector::new(self.clone())
        }
    }

    const ARN: &str =
        "arn:aws:secretsmanager:us-west-2:123456789012:secret:AmazonMSK_mirror-AbCdEf";

    fn arn(key: Option<&str>) -> SecretArn {
        SecretArn {
            arn: ARN.to_owned(),
            region: "us-west-2".to_owned(),
            key: key.map(str::to_owned),
        }
    }

    fn answering(status: StatusCode, body: &'static str) -> Result<(Aws, Answering), AwsError> {
        let service = Answering {
            status,
            body,
            asked: Arc::default(),
        };
        let aws = Aws::through(SharedHttpClient::new(service.clone()))?;
        Ok((aws, service))
    }

    #[test]
    fn a_secret_is_asked_for_in_the_region_of_its_arn() -> Result<(), Box<dyn Error>> {
        let body = r#"{"Name":"AmazonMSK_mirror","SecretString":"{\"password\":\"hush\"}"}"#;
        let (aws, service) = answering(StatusCode::OK, body)?;
        let arn = arn(Some("password"));
        assert_eq!(arn.pick(&aws.secret(&arn)?)?, "hush");
        let asked = service.asked.lock().map(|asked| asked.clone());
        assert_eq!(
            asked.unwrap_or_default(),
            [format!(
                "https://secretsmanager.us-west-2.amazonaws.com/ {{\"SecretId\":\"{ARN}\"}}"
            )]
        );
        Ok(())
    }

    #[test]
    fn a_refusal_tells_the_service_s_words_and_no_secret() -> Result<(), Box<dyn Error>> {
        let body = r#"{"__type":"AccessDeniedException","Message":"not authorized to perform: secretsmanager:GetSecretValue"}"#;
        let (aws, _) = answering(StatusCode::BAD_REQUEST, body)?;
        let error = aws.secret(&arn(None)).err().map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "Secrets Manager answered AccessDeniedException: not authorized to perform: secretsmanager:GetSecretValue"
            )
        );
        let (aws, _) = answering(StatusCode::OK, r#"{"SecretString":"hush""#)?;
        let error = aws.secret(&arn(None)).err().map(|error| error.to_string());
        assert!(
            error.as_ref().is_some_and(|error| !error.contains("hush")),
            "{error:?}"
        );
        let (aws, _) = answering(StatusCode::OK, r#"{"SecretBinary":"aHVzaA=="}"#)?;
        assert!(matches!(aws.secret(&arn(None)), Err(AwsError::Binary)));
        Ok(())
    }
}
