//! AWS's APIs as a test calls them: a service, an operation, JSON in and out. Nothing is signed, for nobody looks; the
//! name in the signature's scope is only how a stand-in tells services and Regions apart.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::aws::http::request;
use crate::error::{LabError, Result};
use crate::http::Answer;

/// How long a call may take; a function that is invoked takes its own time.
const LIMIT: Duration = Duration::from_secs(90);

/// The APIs of one Region.
#[derive(Debug, Clone)]
pub struct Api {
    address: SocketAddr,
    region: String,
}

impl Api {
    /// The APIs at an address.
    pub fn new(address: SocketAddr, region: &str) -> Self {
        Self {
            address,
            region: region.to_owned(),
        }
    }

    /// Calls an operation of a service that speaks JSON, by its target such as `AmazonSSM.GetParameter`.
    pub fn json(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let version = if matches!(service, "states" | "dynamodb") {
            "application/x-amz-json-1.0"
        } else {
            "application/x-amz-json-1.1"
        };
        let headers = [("Content-Type", version), ("X-Amz-Target", target)];
        let answer = self.send(service, "POST", "/", &headers, input.to_string().as_bytes())?;
        parsed(target, &answer)
    }

    /// Calls an operation of a service that speaks in forms and XML. Answers the XML.
    pub fn query(&self, service: &str, version: &str, fields: &[(&str, &str)]) -> Result<String> {
        let mut form = format!("Version={version}");
        for (name, value) in fields {
            form.push_str(&format!("&{name}={}", escaped(value)));
        }
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.send(service, "POST", "/", &headers, form.as_bytes())?;
        let what = fields.first().map_or("a query", |(_, action)| *action);
        succeeded(what, &answer).map(|()| answer.body)
    }

    /// Invokes a function. An error of its own is answered as `Err` of what it said.
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = [("Content-Type", "application/json")];
        let answer = self.send(
            "lambda",
            "POST",
            &path,
            &headers,
            event.to_string().as_bytes(),
        )?;
        let value = parsed(function, &answer)?;
        match value.get("errorType") {
            Some(_) => Err(LabError::BadAnswer {
                who: function.to_owned(),
                why: value.to_string(),
            }),
            None => Ok(value),
        }
    }

    /// What a service that speaks in paths answers.
    pub fn get(&self, service: &str, path: &str) -> Result<String> {
        let answer = self.send(service, "GET", path, &[], &[])?;
        succeeded(path, &answer).map(|()| answer.body)
    }

    /// An object of a bucket, as text; none if it is not there.
    pub fn object(&self, bucket: &str, key: &str) -> Result<Option<String>> {
        let answer = self.send("s3", "GET", &format!("/{bucket}/{key}"), &[], &[])?;
        match answer.code {
            200 => Ok(Some(answer.body)),
            404 => Ok(None),
            _ => succeeded(key, &answer).map(|()| None),
        }
    }

    /// Makes a bucket, unless it is there.
    pub fn make_bucket(&self, bucket: &str) -> Result<()> {
        // Outside of us-east-1 a bucket says where it is to be.
        let body = match self.region.as_str() {
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        let answer = self.send("s3", "PUT", &format!("/{bucket}"), &[], body.as_bytes())?;
        if answer.code == 409 {
            return Ok(());
        }
        succeeded(bucket, &answer)
    }

    fn send(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.region
        );
        let mut all = vec![("Authorization", scope.as_str())];
        all.extend_from_slice(headers);
        request(self.address, method, path, &all, body, LIMIT)
    }
}

fn succeeded(what: &str, answer: &Answer) -> Result<()> {
    if (200..300).contains(&answer.code) {
        return Ok(());
    }
    Err(LabError::BadAnswer {
        who: what.to_owned(),
        why: format!("{}: {}", answer.code, answer.body),
    })
}

fn parsed(what: &str, answer: &Answer) -> Result<Value> {
    succeeded(what, answer)?;
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&answer.body).map_err(|error| LabError::BadAnswer {
        who: what.to_owned(),
        why: format!("{error}: {}", answer.body),
    })
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
