//! In which order applications move.

use std::collections::BTreeMap;

use super::Wave;
use crate::client::{Application, Role};

/// Applications in the order in which they move: all consumers before the first producer, so that nothing is written
/// before somebody reads it; within a role lower waves first; within a wave as the pair names them.
pub fn waves(applications: &[Application]) -> Vec<Wave> {
    let mut by_turn = BTreeMap::<(Role, u32), Vec<String>>::new();
    for application in applications {
        by_turn
            .entry((application.role, application.wave))
            .or_default()
            .push(application.name.clone());
    }
    by_turn
        .into_iter()
        .zip(0..)
        .map(|(((role, _), applications), number)| Wave {
            number,
            role,
            applications,
        })
        .collect()
}
