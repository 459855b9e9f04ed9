//! Parameters: a pair's configuration is read from one, and clients follow another.

use aws_sdk_ssm::Client;
use aws_sdk_ssm::types::ParameterType;
use understudy_recovery::client::Pointer;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// SSM parameters of this Region.
#[derive(Clone, Debug)]
pub struct Parameters {
    session: Session,
    client: Client,
}

impl Parameters {
    /// Parameters of this Region.
    pub fn new(session: &Session) -> Self {
        Self {
            session: session.clone(),
            client: Client::new(session.config()),
        }
    }

    /// A parameter's value; nothing if there is none of this name.
    ///
    /// # Errors
    /// SSM did not answer.
    pub fn get(&self, name: &str) -> Result<Option<String>, PortError> {
        let did = format!("reading parameter {name}");
        let call = async {
            match self.client.get_parameter().name(name).send().await {
                Ok(found) => Ok(Some(found)),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_parameter_not_found()) =>
                {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        };
        let found = self.session.call(&did, call)?;
        Ok(found
            .and_then(|found| found.parameter)
            .and_then(|parameter| parameter.value))
    }

    /// Points clients to a cluster. A pointer of a newer epoch stays, and is a conflict.
    ///
    /// # Errors
    /// SSM did not answer, or the parameter is somebody else's.
    pub fn point(&self, name: &str, pointer: &Pointer) -> Result<String, PortError> {
        let text = serde_json::to_string(pointer).map_err(|error| {
            PortError::new(
                PortErrorKind::Malformed,
                format!("the pointer for {name} cannot be written as JSON: {error}"),
            )
        })?;
        let stored = self.get(name)?;
        if stored.as_deref() == Some(text.as_str()) {
            return Ok(format!(
                "parameter {name} points to {} already",
                pointer.active
            ));
        }
        if let Some(stored) = stored.as_deref() {
            refuse_newer(name, stored, pointer)?;
        }
        let call = self
            .client
            .put_parameter()
            .name(name)
            .value(text)
            .r#type(ParameterType::String)
            .overwrite(true)
            .send();
        self.session
            .call(&format!("writing parameter {name}"), call)?;
        Ok(format!(
            "parameter {name} points to {} since e{}",
            pointer.active, pointer.epoch
        ))
    }
}

/// A parameter that holds anything but a pointer may be overwritten as long as nobody has pointed with it yet: a
/// deployment fills it with a placeholder.
fn refuse_newer(name: &str, stored: &str, pointer: &Pointer) -> Result<(), PortError> {
    let Ok(stored) = serde_json::from_str::<Pointer>(stored) else {
        return Ok(());
    };
    if stored.pair != pointer.pair {
        return Err(PortError::new(
            PortErrorKind::Refused,
            format!("parameter {name} is the pointer of pair {}", stored.pair),
        ));
    }
    if stored.epoch > pointer.epoch {
        return Err(PortError::new(
            PortErrorKind::Conflict,
            format!(
                "parameter {name} points to {} since e{} already, and e{} is older",
                stored.active, stored.epoch, pointer.epoch
            ),
        ));
    }
    Ok(())
}
