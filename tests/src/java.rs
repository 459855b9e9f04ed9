//! How a JVM is started: class path, logging, class data sharing.

use crate::error::Result;
use crate::jars::Kafka;

/// Options for a command line tool: quick to start, quiet.
pub(crate) fn tool_options(kafka: &Kafka) -> Result<Vec<String>> {
    let mut options = common(kafka, "WARN")?;
    options.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256M"].map(str::to_owned));
    Ok(options)
}

/// Options for a broker or another long-lived class.
pub(crate) fn server_options(kafka: &Kafka, jvm: &[String]) -> Result<Vec<String>> {
    let mut options = common(kafka, "INFO")?;
    options.extend(jvm.iter().cloned());
    Ok(options)
}

fn common(kafka: &Kafka, log_level: &str) -> Result<Vec<String>> {
    let dir = kafka.dir().display();
    let logging = if kafka.is_before_4() {
        format!("-Dlog4j.configuration=file:{dir}/log4j.properties")
    } else {
        format!("-Dlog4j2.configurationFile={dir}/log4j2.properties")
    };
    Ok(vec![
        "-cp".to_owned(),
        kafka.class_path()?,
        "-Djava.awt.headless=true".to_owned(),
        format!("-Dlab.log.level={log_level}"),
        logging,
    ])
}
