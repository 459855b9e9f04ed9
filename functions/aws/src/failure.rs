//! What an SDK's error is to a recovery. Never holds a secret: the service's own code and message, or why it was not
//! reached.

use std::error::Error;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use understudy_shell::{PortError, PortErrorKind};

/// The error of a call. `did` says in words what was asked for.
pub fn of<E>(did: &str, error: &SdkError<E, HttpResponse>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (kind, why) = match error {
        SdkError::ConstructionFailure(failure) => (
            PortErrorKind::Refused,
            format!("no call could be made: {}", chain_of(failure)),
        ),
        SdkError::TimeoutError(_) => (PortErrorKind::TimedOut, "no answer in time".to_owned()),
        SdkError::DispatchFailure(failure) => {
            let kind = if failure.is_timeout() {
                PortErrorKind::TimedOut
            } else {
                PortErrorKind::Unreachable
            };
            let why = failure
                .as_connector_error()
                .map_or_else(|| "no connection".to_owned(), |error| chain(error));
            (kind, format!("not reached: {why}"))
        }
        SdkError::ResponseError(_) => (
            PortErrorKind::Malformed,
            "its answer cannot be read".to_owned(),
        ),
        SdkError::ServiceError(refused) => {
            let code = refused.err().code().unwrap_or("an unnamed error");
            let said = refused.err().message().unwrap_or("without a word");
            let status = refused.raw().status().as_u16();
            (kind_of(code, status), format!("{code}: {said}"))
        }
        _ => (PortErrorKind::Refused, "an unknown failure".to_owned()),
    };
    PortError::new(kind, format!("{did}: {why}"))
}

fn kind_of(code: &str, status: u16) -> PortErrorKind {
    match code {
        "ConditionalCheckFailedException"
        | "ReplicatedWriteConflictException"
        | "TransactionConflictException"
        | "ResourceInUseException"
        | "ResourceConflictException" => PortErrorKind::Conflict,
        "ResourceNotFoundException"
        | "ParameterNotFound"
        | "NoSuchKey"
        | "NoSuchBucket"
        | "NoSuchHostedZone"
        | "NoSuchResourceException"
        | "ClusterNotFoundException"
        | "EntityNotFoundException"
        | "ServiceNotFoundException"
        | "StateMachineDoesNotExist"
        | "ExecutionDoesNotExist"
        | "TaskDoesNotExist"
        | "TaskTimedOut"
        | "InvalidToken"
        | "NotFound"
        | "NotFoundException" => PortErrorKind::Missing,
        "AccessDenied"
        | "AccessDeniedException"
        | "AuthorizationError"
        | "AuthorizationErrorException"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "KMSAccessDeniedException"
        | "KmsAccessDeniedException"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => PortErrorKind::NotPermitted,
        _ if status == 403 => PortErrorKind::NotPermitted,
        // Throttled, or ill: the same call may succeed a little later.
        _ if status == 429 || status >= 500 || code.contains("Throttl") => {
            PortErrorKind::Unreachable
        }
        _ => PortErrorKind::Refused,
    }
}

fn chain_of(failure: &dyn std::fmt::Debug) -> String {
    let text = format!("{failure:?}");
    text.chars().take(200).collect()
}

/// An error and what led to it, said once.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let kinds = [
            (
                "ConditionalCheckFailedException",
                400,
                PortErrorKind::Conflict,
            ),
            (
                "ReplicatedWriteConflictException",
                400,
                PortErrorKind::Conflict,
            ),
            ("AccessDeniedException", 400, PortErrorKind::NotPermitted),
            ("Forbidden", 403, PortErrorKind::NotPermitted),
            ("ParameterNotFound", 400, PortErrorKind::Missing),
            ("ThrottlingException", 400, PortErrorKind::Unreachable),
            ("InternalServerError", 500, PortErrorKind::Unreachable),
            ("ValidationException", 400, PortErrorKind::Refused),
        ];
        for (code, status, kind) in kinds {
            assert_eq!(kind_of(code, status), kind, "{code}");
        }
    }
}
