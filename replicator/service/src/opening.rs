//! Opening clients while a file that they are made of is being replaced.

use std::time::{Duration, Instant};

use understudy_kafka::Fault;

use crate::board::{Board, Part};
use crate::stop::Stop;

/// For how long a worker that starts goes on trying: a certificate and its key are replaced one after the other.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long until it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Opens clients, again and again for `patience`. Their properties were tried when the flow file was read: what is
/// refused now may be half of a rotation. `None` when told to stop before it succeeded.
///
/// # Errors
/// The last refusal, once `patience` is over.
pub fn open<T>(
    board: &Board,
    part: Part,
    patience: Duration,
    stop: &Stop,
    mut attempt: impl FnMut() -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    let began = Instant::now();
    while !stop.is_set() {
        match attempt() {
            Ok(opened) => return Ok(Some(opened)),
            Err(fault) if began.elapsed() >= patience => return Err(fault),
            Err(fault) => board.not_ready(part.clone(), &fault.to_string()),
        }
        stop.wait(AGAIN);
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use understudy_kafka::Operation;

    use super::*;

    fn refusal() -> Fault {
        Fault::Kafka {
            operation: Operation::OpenClient,
            subject: "reader".to_owned(),
            code: None,
            reason: "key values mismatch".to_owned(),
        }
    }

    #[test]
    fn half_a_rotation_is_waited_out_and_what_stays_refused_is_told() {
        let (board, stop) = (Board::default(), Stop::default());
        let mut attempts = 0;
        let opened = open(&board, Part::Start, PATIENCE, &stop, || {
            attempts += 1;
            if attempts == 1 {
                Err(refusal())
            } else {
                Ok(attempts)
            }
        });
        assert_eq!(opened.ok().flatten(), Some(2));
        let said = board.reasons();
        assert!(said.iter().any(|reason| reason.contains("mismatch")));
        let refused = open::<()>(
            &board,
            Part::Start,
            Duration::ZERO,
            &stop,
            || Err(refusal()),
        );
        assert!(refused.is_err_and(|fault| fault.to_string().contains("mismatch")));
        stop.set();
        let stopped = open(&board, Part::Start, PATIENCE, &stop, || Ok(()));
        assert!(matches!(stopped, Ok(None)));
    }
}
