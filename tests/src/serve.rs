//! Serving what a producer was told, without spinning.

use std::thread;
use std::time::Duration;

use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// Sleeps for `pause`, then serves every delivery report that has come.
///
/// rdkafka's `poll` with a time limit spins through what is left of the last millisecond; without one it serves a single
/// report.
pub(crate) fn sleep_and_serve<C: ProducerContext>(producer: &BaseProducer<C>, pause: Duration) {
    thread::sleep(pause);
    loop {
        let before = producer.in_flight_count();
        producer.poll(Duration::ZERO);
        if producer.in_flight_count() >= before {
            return;
        }
    }
}
