//! A pair's deployed functions, for whoever sits elsewhere: what their environment says, and what they answer.

use std::collections::BTreeMap;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use serde_json::Value;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// Functions of this Region.
#[derive(Clone, Debug)]
pub struct DeployedFunctions {
    session: Session,
    client: Client,
}

impl DeployedFunctions {
    /// Functions of this Region.
    pub fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            client: Client::new(session.config()),
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
            .client
            .invoke()
            .function_name(name)
            .payload(Blob::new(event.to_string()))
            .send();
        let did = format!("invoking function {name} in {}", self.session.region());
        let answer = self.session.call(&did, call)?;
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
