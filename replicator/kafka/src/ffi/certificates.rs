//! The certificates that a server shows, seen while librdkafka verifies them.

use std::ffi::{c_char, c_int, c_void};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaType;
use rdkafka_sys as rdsys;

use crate::fault::{Fault, Operation};

/// How long between two looks at what was shown.
const PAUSE: Duration = Duration::from_millis(10);

/// What the verification callback saw. It writes on a thread of librdkafka's, [`server_certificates`] reads.
#[derive(Default)]
struct Seen(Mutex<Vec<Vec<u8>>>);

impl rdkafka::ClientContext for Seen {}

/// The chain that the server at `config`'s bootstrap address shows, in DER, whether it is trusted or not; empty when
/// none was shown within `within`. Verification goes on as if nobody looked.
///
/// # Errors
/// A property that librdkafka refuses.
pub fn server_certificates(config: &ClientConfig, within: Duration) -> Result<Vec<Vec<u8>>, Fault> {
    let fault = |error| Fault::kafka(Operation::OpenClient, "certificates", error);
    let native = config.create_native_config().map_err(fault)?;
    // SAFETY: the configuration is live; the callback's opaque is the context, which `Client::new` sets and keeps for
    // as long as the client lives.
    unsafe { rdsys::rd_kafka_conf_set_ssl_cert_verify_cb(native.ptr(), Some(look)) };
    let client = Client::new(
        config,
        native,
        RDKafkaType::RD_KAFKA_PRODUCER,
        Seen::default(),
    )
    .map_err(fault)?;
    let deadline = Instant::now() + within;
    // Connections are made when there is something to ask.
    while Instant::now() < deadline {
        let answered = client.fetch_cluster_id(PAUSE).is_some();
        let seen = client.context().0.lock();
        let seen = seen.unwrap_or_else(PoisonError::into_inner);
        if answered || !seen.is_empty() {
            return Ok(seen.clone());
        }
    }
    Ok(Vec::new())
}

/// Notes a certificate of the chain and leaves the verdict as it is.
///
/// # Safety
/// Called by librdkafka: `buf` holds `size` bytes, `opaque` is the client's context.
unsafe extern "C" fn look(
    _client: *mut rdsys::rd_kafka_t,
    _broker: *const c_char,
    _broker_id: i32,
    error: *mut c_int,
    _depth: c_int,
    buf: *const c_char,
    size: usize,
    _reason: *mut c_char,
    _reason_size: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: as the function's contract says.
    unsafe {
        if !buf.is_null() && !opaque.is_null() {
            let seen = &*opaque.cast::<Seen>();
            let certificate = std::slice::from_raw_parts(buf.cast::<u8>(), size).to_vec();
            seen.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(certificate);
        }
        c_int::from(error.is_null() || *error == 0)
    }
}
