//! What Kafka answered, as a step sees it.

use rdkafka::error::RDKafkaErrorCode as Code;
use understudy_flow::chain::chain;
use understudy_flow::explain::explain;
use understudy_flow::flow_record::FlowError;
use understudy_flow::stored_state::StateError;
use understudy_kafka::{Endpoint, Fault};
use understudy_shell::{PortError, PortErrorKind};

/// What a cluster answered.
pub fn of_fault(endpoint: &Endpoint, fault: &Fault) -> PortError {
    PortError::new(kind(fault), explain(endpoint, fault))
}

/// Why a flow's record was not read or changed.
pub fn of_flow(endpoint: &Endpoint, error: &FlowError) -> PortError {
    let kind = match error {
        FlowError::Fault(fault) => return of_fault(endpoint, fault),
        FlowError::NoFlow(_) => PortErrorKind::Missing,
        FlowError::Decode(_) => PortErrorKind::Malformed,
        FlowError::SameCluster { .. }
        | FlowError::OtherSlots { .. }
        | FlowError::Changing { .. }
        | FlowError::RoundTrip { .. }
        | FlowError::OtherGeneration { .. }
        | FlowError::OtherCluster { .. }
        | FlowError::NotRunning { .. } => PortErrorKind::Refused,
    };
    PortError::new(kind, chain(error))
}

/// Why a flow's state was not read.
pub fn of_state(endpoint: &Endpoint, error: &StateError) -> PortError {
    match error {
        StateError::Fault(fault) => of_fault(endpoint, fault),
        StateError::Decode { .. } | StateError::Fold { .. } => {
            PortError::new(PortErrorKind::Malformed, chain(error))
        }
    }
}

/// What kind of trouble it is.
pub const fn kind(fault: &Fault) -> PortErrorKind {
    match fault {
        Fault::Fenced { .. } => PortErrorKind::Conflict,
        Fault::Denied { .. } => PortErrorKind::NotPermitted,
        Fault::TimedOut { .. } => PortErrorKind::TimedOut,
        Fault::Kafka {
            code: Some(code), ..
        } => kind_of_code(*code),
        Fault::Kafka { code: None, .. }
        | Fault::RecordRefused { .. }
        | Fault::TimestampAltered { .. }
        | Fault::OutOfOrder { .. }
        | Fault::Name(_) => PortErrorKind::Refused,
    }
}

/// What kind of trouble a code of Kafka is.
pub const fn kind_of_code(code: Code) -> PortErrorKind {
    match code {
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::BrokerNotAvailable
        | Code::Resolve
        | Code::NetworkException
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::NotController
        | Code::NotCoordinator
        | Code::CoordinatorNotAvailable
        | Code::CoordinatorLoadInProgress => PortErrorKind::Unreachable,
        Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::MessageTimedOut
        | Code::TimedOutQueue => PortErrorKind::TimedOut,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => PortErrorKind::NotPermitted,
        // Without an authorizer there are no ACLs.
        Code::SecurityDisabled
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::GroupIdNotFound => PortErrorKind::Missing,
        _ => PortErrorKind::Refused,
    }
}
