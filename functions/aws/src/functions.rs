//! A pair's deployed functions, for whoever sits elsewhere: what their environment says, and what they answer.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::Builder;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// Until when a connection to Lambda must stand.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Until when a function must have answered: the longest that one may take, and its start.
const ANSWERED_WITHIN: Duration = Duration::from_secs(45);

/// Functions of this Region.
#[derive(Clone, Debug)]
pub struct DeployedFunctions {
    session: Session,
    client: Client,
    /// Waits as long as a function may take, and asks once: who asks again while the first call is at work hears that
    /// somebody is at it already.
    patient: Client,
}

impl DeployedFunctions {
    /// Functions of this Region.
    pub fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            client: Client::new(session.config()),
            patient: Client::from_conf(patient(session)),
        }
    }

    /// The environment of a function.
    ///
    /// # Errors
    /// There is none of this name, or Lambda did not answer.
    pub fn environment(&self, name: &str) -> Result<BTreeMap<String, String>, PortError> {
        let call = self
            .client
            .get_function_configuration()
            .function_name(name)
            .send();
        let did = format!("looking at function {name} in {}", self.session.region());
        let found = self.session.call(&did, call)?;
        let variables = found.environment.and_then(|it| it.variables);
        Ok(variables.unwrap_or_default().into_iter().collect())
    }

    /// What a function answers; an error of its own is refused in its own words.
    ///
    /// # Errors
    /// It ended with an error, or Lambda did not answer.
    pub fn invoke(&self, name: &str, event: &Value) -> Result<Value, PortError> {
        let call = self
            .patient
            .invoke()
            .function_name(name)
            .payload(Blob::new(event.to_string()))
            .send();
        let did = format!("invoking function {name} in {}", self.session.region());
        let answer = self.session.call_within(ANSWERED_WITHIN, &did, call)?;
        let bytes = answer.payload.map(Blob::into_inner).unwrap_or_default();
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| PortError::new(PortErrorKind::Malformed, format!("{did}: {error}")))?;
        match answer.function_error {
            None => Ok(value),
            Some(kind) => {
                let text = value.get("errorMessage").and_then(Value::as_str);
                let text = text.map_or(kind, str::to_owned);
                Err(PortError::new(PortErrorKind::Refused, text))
            }
        }
    }
}

fn patient(session: &Session) -> aws_sdk_lambda::Config {
    let limits = TimeoutConfig::builder()
        .connect_timeout(CONNECT_WITHIN)
        .operation_timeout(ANSWERED_WITHIN)
        .operation_attempt_timeout(ANSWERED_WITHIN)
        .build();
    Builder::from(session.config())
        .timeout_config(limits)
        .retry_config(RetryConfig::disabled())
        .build()
}
