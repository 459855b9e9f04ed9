//! Opening clients while a file that they are made of is being replaced.

use std::time::{Duration, Instant};

use understudy_kafka::Fault;

use crate::board::{Board, Part};
use crate::stop::Stop;

/// For how long a worker that starts goes on trying: a certificate and its key are replaced one after the other.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// What waits for clients.
pub struct Opening<'a> {
    /// Where to say so.
    pub board: &'a Board,
    /// Which part it is.
    pub part: Part,
    /// What keeps that part from being ready once the clients are there.
    pub then: &'static str,
    /// For how long it is tried.
    pub patience: Duration,
}

impl Opening<'_> {
    /// Opens clients, again and again. Most of what they are made of was tried when the flow file was read: what is refused
    /// now may be half of a rotation. `None` when told to stop before it succeeded.
    ///
    /// # Errors
    /// The last refusal, once `patience` is over.
    pub fn run<T>(
        self,
        stop: &Stop,
        say: impl Fn(&Fault) -> String,
        mut attempt: impl FnMut() -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let began = Instant::now();
        let mut refused = false;
        while !stop.is_set() {
            match attempt() {
                Ok(opened) => {
                    if refused {
                        self.board.not_ready_yet(self.part, self.then);
                    }
                    return Ok(Some(opened));
                }
                Err(fault) if began.elapsed() >= self.patience => return Err(fault),
                Err(fault) => self.board.not_ready(self.part.clone(), &say(&fault)),
            }
            refused = true;
            stop.wait(AGAIN);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use understudy_kafka::Operation;

    use super::*;

    fn refusal() -> Fault {
        Fault::Kafka {
            operation: Operation::OpenClient,
            subject: "reader of use1".to_owned(),
            code: None,
            reason: "key values mismatch".to_owned(),
        }
    }

    #[test]
    fn half_a_rotation_is_waited_out_and_what_stays_refused_is_told() {
        let (board, stop) = (Board::default(), Stop::default());
        let opening = |patience| Opening {
            board: &board,
            part: Part::Start,
            then: "connecting",
            patience,
        };
        let mut said = Vec::new();
        let opened = opening(PATIENCE).run(&stop, Fault::to_string, || {
            said.push(board.reasons());
            if said.len() == 1 {
                Err(refusal())
            } else {
                Ok(())
            }
        });
        assert_eq!(opened.ok().flatten(), Some(()));
        let meanwhile = said.concat();
        assert!(
            meanwhile.iter().any(|reason| reason.contains("use1")),
            "{meanwhile:?}"
        );
        // What is over is not said any more.
        assert!(
            board
                .reasons()
                .iter()
                .all(|reason| !reason.contains("use1"))
        );
        assert!(!board.reasons().is_empty());
        let refused = opening(Duration::ZERO).run::<()>(&stop, Fault::to_string, || Err(refusal()));
        assert!(refused.is_err_and(|fault| fault.to_string().contains("mismatch")));
        stop.set();
        let stopped = opening(PATIENCE).run(&stop, Fault::to_string, || Ok(()));
        assert!(matches!(stopped, Ok(None)));
    }
}
