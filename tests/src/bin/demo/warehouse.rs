//! An application in Java that follows no pointer: a person is told, and starts it with the other cluster's address.

use std::path::PathBuf;
use std::time::Duration;

use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, Process};

use crate::sales::Sale;

/// Its group.
pub const WAREHOUSE: &str = "warehouse";
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Kafka's own console consumer, in the group until it is dropped.
pub struct Warehouse {
    process: Process,
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
        Ok(Self { process, log })
    }

    /// Lets it commit and leave the group; what it has printed.
    pub fn stop(mut self) -> Result<Vec<Sale>> {
        self.process.terminate()?;
        self.process.wait(STOPPED_WITHIN)?;
        Ok(self.read())
    }

    /// What it has printed so far: partitions and numbers, in its order.
    pub fn read(&self) -> Vec<Sale> {
        // Before its first line there is no file.
        let printed = std::fs::read_to_string(&self.log).unwrap_or_default();
        let whole = printed.rsplit_once('\n').map_or("", |(whole, _rest)| whole);
        whole.lines().filter_map(sale).collect()
    }
}

/// A line: `Partition:3`, a tab, and the value.
fn sale(line: &str) -> Option<Sale> {
    let (partition, number) = line.strip_prefix("Partition:")?.split_once('\t')?;
    Some((partition.parse().ok()?, number.parse().ok()?))
}
