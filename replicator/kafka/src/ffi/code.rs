//! Error codes as they come from the wire.

use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as rdsys;

/// The error code at a place that librdkafka filled. Brokers send numbers, and librdkafka hands them on as they are: one
/// that it has no name for is `Unknown`. As a value of the enumeration it would be none at all.
///
/// # Safety
/// The place is readable.
pub(super) unsafe fn code_at(place: *const rdsys::rd_kafka_resp_err_t) -> RDKafkaErrorCode {
    // SAFETY: readable, as the caller promises; the enumeration is an `i32` in memory.
    let number = unsafe { place.cast::<i32>().read() };
    named(number)
}

fn named(number: i32) -> RDKafkaErrorCode {
    rdsys::rd_kafka_resp_err_t::try_from(number)
        .map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_a_code() {
        for number in i32::from(i16::MIN)..=i32::from(i16::MAX) {
            assert!(!named(number).to_string().is_empty(), "{number}");
        }
        assert_eq!(named(0), RDKafkaErrorCode::NoError);
        assert_eq!(named(3), RDKafkaErrorCode::UnknownTopicOrPartition);
        assert_eq!(named(21_845), RDKafkaErrorCode::Unknown);
    }
}
