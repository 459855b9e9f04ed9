//! When certificates end, before brokers or clients refuse each other for it.

use std::fs;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use understudy_domain::{CertificateEnd, not_after};
use understudy_kafka::Endpoint;
use understudy_kafka::ffi::certificates::server_certificates;
use understudy_shell::bounded;

use crate::clock::Until;

/// Up to how many of the brokers that are listed are asked, side by side: each renews its certificate at its own time.
const BROKERS: usize = 12;

/// When the first one ends, of those that brokers show within `within` and of our own, in seconds since 1970; nothing where
/// there are none. Asked are the brokers that `bootstrap.servers` lists, the first [`BROKERS`] of them.
pub fn first_end(endpoint: &Endpoint, within: Duration) -> Option<i64> {
    if !endpoint.uses_tls() {
        return None;
    }
    let until = Until::within(within);
    let bootstrap = endpoint.bootstrap();
    let addresses = bootstrap.split(',').map(str::trim);
    let addresses = addresses.filter(|it| !it.is_empty()).take(BROKERS);
    let configs: Vec<ClientConfig> = addresses.map(|address| endpoint.probe(address)).collect();
    let own = configs.first().and_then(own_end);
    let asked: Vec<_> = configs
        .into_iter()
        .map(|config| bounded::start(move || shown_end(&config, until.left())))
        .collect();
    let shown = asked
        .into_iter()
        .filter_map(|asked| asked.wait(until.left()).flatten());
    shown.chain(own).min()
}

/// When the first certificate ends of the chain that a broker shows.
fn shown_end(config: &ClientConfig, within: Duration) -> Option<i64> {
    let chain = server_certificates(config, within).ok()?;
    chain.iter().filter_map(|der| not_after(der).ok()).min()
}

/// When the certificate ends that we show.
fn own_end(config: &ClientConfig) -> Option<i64> {
    let pem = match config.get("ssl.certificate.pem") {
        Some(pem) => pem.to_owned(),
        None => fs::read_to_string(config.get("ssl.certificate.location")?).ok()?,
    };
    CertificateEnd::of_pem(&pem).map(|end| end.ms() / 1_000)
}
