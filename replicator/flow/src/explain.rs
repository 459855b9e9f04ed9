//! A cluster's answer, in words for whoever has to do something about it.

use understudy_kafka::{Endpoint, Fault};

/// A fault together with what the cluster's clients complain about, and what to do.
pub fn explain(endpoint: &Endpoint, fault: &Fault) -> String {
    if let Some(reason) = endpoint.lacks() {
        return format!(
            "cluster {}: nothing to log in with: {reason}",
            endpoint.alias
        );
    }
    let mut text = format!("cluster {}: {fault}", endpoint.alias);
    match fault {
        Fault::Denied { .. } => {
            text = format!("{text}; grant it to {}", endpoint.principal());
        }
        Fault::TimedOut { .. } | Fault::Kafka { .. } => {
            if let Some(complaint) = endpoint.watch.complaint() {
                text = format!("{text}; {}; {}", complaint.reason, complaint.advice);
            }
        }
        Fault::Fenced { .. }
        | Fault::RecordRefused { .. }
        | Fault::OutOfOrder { .. }
        | Fault::TimestampAltered { .. }
        | Fault::Name(_) => {}
    }
    text
}
