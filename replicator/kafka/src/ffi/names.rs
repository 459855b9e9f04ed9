//! The property names that librdkafka knows.

use std::ffi::CStr;

use rdkafka_sys as rdsys;

/// The error librdkafka left for the calling thread.
pub(crate) fn last_error() -> rdsys::RDKafkaRespErr {
    // SAFETY: reads a thread-local.
    unsafe { rdsys::rd_kafka_last_error() }
}

/// The names of client properties, sorted; to find the one that somebody meant.
pub fn property_names() -> Vec<String> {
    let mut names = Vec::new();
    // SAFETY: the configuration is made, dumped and destroyed here; the dump is an array of `count` C strings
    // (name, value, name, value, …) that is freed with the function made for it.
    unsafe {
        let conf = rdsys::rd_kafka_conf_new();
        let mut count = 0_usize;
        let dump = rdsys::rd_kafka_conf_dump(conf, &raw mut count);
        for at in (0..count).step_by(2) {
            names.push(CStr::from_ptr(*dump.add(at)).to_string_lossy().into_owned());
        }
        rdsys::rd_kafka_conf_dump_free(dump, count);
        rdsys::rd_kafka_conf_destroy(conf);
    }
    // Properties without a default are not dumped; these are the ones that a connection may need.
    names.extend(
        [
            "bootstrap.servers",
            "compression.type",
            "linger.ms",
            "client.rack",
            "sasl.username",
            "sasl.password",
            "sasl.oauthbearer.config",
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.cipher.suites",
            "ssl.crl.location",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keystore.location",
            "ssl.keystore.password",
        ]
        .map(str::to_owned),
    );
    names.sort();
    names.dedup();
    names
}
