//! Values that a flow file only points at: `${env:NAME}`, `${file:PATH}`, `${secretsmanager:ARN:KEY}`.

/// Where a value is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file's content.
    File(String),
    /// AWS Secrets Manager.
    SecretsManager(SecretArn),
}

/// A secret of AWS Secrets Manager, and which of its fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretArn {
    /// The whole ARN.
    pub arn: String,
    /// The Region that holds it: part of the ARN.
    pub region: String,
    /// The field of a JSON secret; the whole string without one.
    pub key: Option<String>,
}

/// Why a reference cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefError {
    /// A provider nobody knows.
    #[error(
        "${{{0}:…}} is not a known source of secrets; use ${{env:NAME}}, ${{file:PATH}} or ${{secretsmanager:ARN:KEY}}"
    )]
    UnknownProvider(String),
    /// No name, path or ARN.
    #[error("${{{0}:}} names nothing")]
    Empty(String),
    /// Not the ARN of a secret.
    #[error(
        "{0:?} is not the ARN of a secret; it looks like arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME, \
         with :KEY behind it for one field of a JSON secret"
    )]
    NotAnArn(String),
}

/// Why a field cannot be taken from a secret. Never holds the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFieldError {
    /// A field of something that has none.
    #[error(
        "the secret is not a JSON object, so it has no key {0:?}; leave the key out for the whole of it"
    )]
    NotAnObject(String),
    /// No such field.
    #[error("the secret has no key {0:?}")]
    NoKey(String),
    /// A field that is no plain value.
    #[error("the secret's key {0:?} holds neither text nor a number nor a boolean")]
    NotText(String),
}

impl SecretRef {
    /// Reads a value of a flow file; `None` for one that stands for itself.
    ///
    /// # Errors
    /// It looks like a reference and is none that can be followed.
    pub fn parse(value: &str) -> Result<Option<Self>, SecretRefError> {
        let inner = value
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let Some((provider, name)) = inner.and_then(|inner| inner.split_once(':')) else {
            return Ok(None);
        };
        if !matches!(provider, "env" | "file" | "secretsmanager") {
            return Err(SecretRefError::UnknownProvider(provider.to_owned()));
        }
        if name.is_empty() {
            return Err(SecretRefError::Empty(provider.to_owned()));
        }
        Ok(Some(match provider {
            "env" => Self::Env(name.to_owned()),
            "file" => Self::File(name.to_owned()),
            _ => Self::SecretsManager(SecretArn::parse(name)?),
        }))
    }
}

impl SecretArn {
    fn parse(text: &str) -> Result<Self, SecretRefError> {
        let mut parts = text.splitn(8, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (arn, partition, service, region, account, kind, name) =
            (next(), next(), next(), next(), next(), next(), next());
        let key = parts.next();
        let whole = arn == "arn"
            && service == "secretsmanager"
            && kind == "secret"
            && key != Some("")
            && ![partition, region, account, name].contains(&"");
        if !whole {
            return Err(SecretRefError::NotAnArn(text.to_owned()));
        }
        Ok(Self {
            arn: [arn, partition, service, region, account, kind, name].join(":"),
            region: region.to_owned(),
            key: key.map(str::to_owned),
        })
    }

    /// What of the secret is meant.
    ///
    /// # Errors
    /// The secret has no such field.
    pub fn pick(&self, secret: &str) -> Result<String, SecretFieldError> {
        let Some(key) = &self.key else {
            return Ok(secret.to_owned());
        };
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(secret)
            .map_err(|_not_json| SecretFieldError::NotAnObject(key.clone()))?;
        match fields.get(key) {
            Some(serde_json::Value::String(text)) => Ok(text.clone()),
            Some(plain @ (serde_json::Value::Number(_) | serde_json::Value::Bool(_))) => {
                Ok(plain.to_string())
            }
            Some(_) => Err(SecretFieldError::NotText(key.clone())),
            None => Err(SecretFieldError::NoKey(key.clone())),
        }
    }
}
