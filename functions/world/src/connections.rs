//! Clients of one cluster, kept between calls and made anew after a call that failed.

use std::sync::{Mutex, PoisonError};

use understudy_kafka::{Cluster as Connection, Endpoint, Fault};
use understudy_shell::{PortError, bounded};

use crate::trouble::of_fault;

/// How many are kept.
const KEPT: usize = 4;

/// Clients of one cluster.
pub struct Connections {
    /// How the cluster is reached.
    pub endpoint: Endpoint,
    /// Clients that nobody uses now. Held for a push or a pop.
    idle: Mutex<Vec<Connection>>,
}

impl Connections {
    /// None yet; connects to nothing.
    pub const fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// What the cluster answers.
    ///
    /// # Errors
    /// Its answer, or that there is none.
    pub fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, PortError> {
        let kept = self.idle().pop();
        let asked = match kept {
            Some(kept) => Ok(kept),
            None => Connection::open(&self.endpoint),
        };
        let answered = asked.and_then(|connection| {
            let answer = question(&connection);
            if answer.is_ok() && self.idle().len() < KEPT {
                self.idle().push(connection);
            } else {
                // To let go of a client may take as long as its last connection.
                let _letting_go = bounded::start(move || drop(connection));
            }
            answer
        });
        answered.map_err(|fault| of_fault(&self.endpoint, &fault))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
