//! A call to a service of which one or two operations are wanted, in AWS's JSON protocol: its SDK would take longer to
//! compile than everything else here together.

use std::fmt;
use std::time::SystemTime;

use aws_sdk_dynamodb::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_types::SdkConfig;
use serde_json::Value;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// A service that speaks JSON.
#[derive(Clone, Copy, Debug)]
pub struct JsonService {
    /// What its host begins with, and what calls are signed for: `events`.
    pub name: &'static str,
    /// What its operations are called behind: `AWSEvents`.
    pub target: &'static str,
}

/// What a service refused, by its own code and message.
#[derive(Debug)]
struct Refused(ErrorMetadata);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Refused {}

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

impl JsonService {
    /// What an operation answers, within the session's bound. `config` says in which Region, and where that is reached.
    ///
    /// # Errors
    /// It did not answer in time, or refused.
    pub fn call(
        self,
        session: &Session,
        config: &SdkConfig,
        operation: &'static str,
        input: &Value,
    ) -> Result<Value, PortError> {
        let region = config.region().map_or("", AsRef::as_ref);
        let did = format!("asking {}:{operation} in {region}", self.name);
        let unmade = |why: String| {
            PortError::new(
                PortErrorKind::Refused,
                format!("{did}: no call could be made: {why}"),
            )
        };
        let endpoint = config
            .endpoint_url()
            .map_or_else(|| host(self.name, region), str::to_owned);
        let client = config
            .http_client()
            .ok_or_else(|| unmade("no client".to_owned()))?;
        let body = input.to_string();
        let (target, region) = (format!("{}.{operation}", self.target), region.to_owned());
        let call = async {
            let credentials = session
                .credentials()
                .await
                .map_err(SdkError::<Refused, HttpResponse>::construction_failure)?;
            let identity = Identity::from(credentials);
            let url = format!("{}/", endpoint.trim_end_matches('/'));
            let serializer = move |body: String| -> Result<HttpRequest, BoxError> {
                let mut request = HttpRequest::new(body.clone().into());
                request.set_method("POST")?;
                request.set_uri(url.as_str())?;
                let headers = [
                    ("content-type", "application/x-amz-json-1.1"),
                    ("x-amz-target", target.as_str()),
                ];
                for (name, value) in headers {
                    request
                        .headers_mut()
                        .try_insert(name.to_owned(), value.to_owned())?;
                }
                let parameters = SigningParams::builder()
                    .identity(&identity)
                    .region(&region)
                    .name(self.name)
                    .time(SystemTime::now())
                    .settings(SigningSettings::default())
                    .build()?;
                let signable = SignableRequest::new(
                    "POST",
                    url.as_str(),
                    headers.into_iter(),
                    SignableBody::Bytes(body.as_bytes()),
                )?;
                let (signature, _) = sign(signable, &parameters.into())?.into_parts();
                for (name, value) in signature.headers() {
                    request
                        .headers_mut()
                        .try_insert(name.to_owned(), value.to_owned())?;
                }
                Ok(request)
            };
            let builder = Operation::builder()
                .service_name(self.name)
                .operation_name(operation)
                .http_client(client)
                .endpoint_url(&endpoint)
                .no_auth()
                .no_retry()
                .serializer(serializer)
                .deserializer(answer);
            let builder = match config.sleep_impl() {
                Some(sleep) => builder.sleep_impl(sleep),
                None => builder,
            };
            let builder = match config.timeout_config() {
                Some(limits) => builder.timeout_config(limits.clone()),
                None => builder,
            };
            builder.build().invoke(body).await
        };
        session.call(&did, call)
    }
}

/// Under AWS's own name.
fn host(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{service}.{region}.amazonaws.com{suffix}")
}

fn answer(response: &HttpResponse) -> Result<Value, OrchestratorError<Refused>> {
    let bytes = response.body().bytes().unwrap_or_default();
    let body = serde_json::from_slice(bytes);
    if response.status().is_success() {
        return body.map_err(|error| OrchestratorError::response(error.into()));
    }
    let body: Value = body.unwrap_or_default();
    let text = |names: [&str; 2]| {
        names
            .into_iter()
            .find_map(|name| body.get(name).and_then(Value::as_str))
    };
    let code = text(["__type", "code"]).map_or("an unnamed error", |code| {
        code.rsplit_once('#').map_or(code, |(_, code)| code)
    });
    let refused = ErrorMetadata::builder()
        .code(code)
        .message(text(["message", "Message"]).unwrap_or("without a word"))
        .build();
    Err(OrchestratorError::operation(Refused(refused)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stand_in::StandIn;

    const EVENTS: JsonService = JsonService {
        name: "events",
        target: "AWSEvents",
    };

    #[test]
    fn a_call_is_answered_or_refused_by_name() -> Result<(), Box<dyn std::error::Error>> {
        let missing = r#"{"__type": "com.amazonaws.events#ResourceNotFoundException", "message": "no such rule"}"#;
        let (session, asked) =
            StandIn::saying(&[(200, r#"{"State": "ENABLED"}"#), (400, missing)])?;
        let ask = || {
            let input = json!({ "Name": "look-again" });
            EVENTS.call(&session, session.config(), "DescribeRule", &input)
        };
        assert_eq!(ask()?, json!({ "State": "ENABLED" }));
        let refused = ask().map_err(|error| (error.kind, error.text));
        let Err((kind, text)) = refused else {
            return Err("it was not refused".into());
        };
        assert_eq!(kind, PortErrorKind::Missing);
        assert_eq!(
            text,
            "asking events:DescribeRule in us-west-2: ResourceNotFoundException: no such rule"
        );
        assert_eq!(
            asked.asked().first().map(String::as_str),
            Some(r#"{"Name":"look-again"}"#)
        );
        let signed = asked.header("authorization").into_iter().next();
        let signed = signed.ok_or("it was not signed")?;
        assert!(
            signed.contains("/us-west-2/events/aws4_request, "),
            "{signed}"
        );
        let headers = "SignedHeaders=content-type;host;x-amz-date;x-amz-target, ";
        assert!(signed.contains(headers), "{signed}");
        let targets = asked.header("x-amz-target");
        assert_eq!(targets, ["AWSEvents.DescribeRule"; 2]);
        Ok(())
    }

    #[test]
    fn an_answer_that_is_no_json_is_no_answer() -> Result<(), Box<dyn std::error::Error>> {
        let (session, _) = StandIn::saying(&[(200, "<html>"), (502, "<html>")])?;
        let ask = || {
            let answer = EVENTS.call(&session, session.config(), "DescribeRule", &json!({}));
            answer.map_err(|error| error.kind)
        };
        assert_eq!(ask(), Err(PortErrorKind::Malformed));
        assert_eq!(ask(), Err(PortErrorKind::Unreachable));
        Ok(())
    }

    #[test]
    fn a_service_is_reached_under_awss_name() {
        assert_eq!(
            host("events", "us-west-2"),
            "https://events.us-west-2.amazonaws.com"
        );
        assert_eq!(
            host("glue", "cn-north-1"),
            "https://glue.cn-north-1.amazonaws.com.cn"
        );
    }
}
