//! An application in Java that follows no pointer: a person is told, and starts it with the other cluster's address.

use std::path::PathBuf;

use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, Process};

/// Its group.
pub const WAREHOUSE: &str = "warehouse";

/// Kafka's own console consumer, in the group until it is dropped.
pub struct Warehouse {
    _process: Process,
    log: PathBuf,
}

impl Warehouse {
    /// Starts it; returns at once.
    pub fn start(cluster: &Cluster, topic: &str) -> Result<Self> {
        let log = cluster.dir().join("warehouse.log");
        let bootstrap = cluster.bootstrap();
        let jvm = ["-Xmx128M", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];
        let arguments = [
            "--bootstrap-server",
            &bootstrap,
            "--topic",
            topic,
            "--group",
            WAREHOUSE,
            "--consumer-property",
            "auto.offset.reset=earliest",
            "--consumer-property",
            "auto.commit.interval.ms=500",
            "--property",
            "print.partition=true",
        ];
        let process = cluster.kafka().start_class(
            WAREHOUSE,
            &jvm.map(str::to_owned),
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            arguments,
            &log,
        )?;
        Ok(Self {
            _process: process,
            log,
        })
    }

    /// What it has printed so far: partitions and numbers, in its order.
    pub fn read(&self) -> Vec<(i32, u64)> {
        // Before its first line there is no file.
        let printed = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = printed.rsplit_once('\n').map_or("", |(whole, _rest)| whole);
        whole.lines().filter_map(sale).collect()
    }
}

/// A line: `Partition:3`, a tab, and the value.
fn sale(line: &str) -> Option<(i32, u64)> {
    let (partition, number) = line.strip_prefix("Partition:")?.split_once('\t')?;
    Some((partition.parse().ok()?, number.parse().ok()?))
}
