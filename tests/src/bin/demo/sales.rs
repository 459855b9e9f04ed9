//! The shop, and who reads what it sells: the applications, on one cluster at a time.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::ClientConfig;
use understudy_tests::chaos::Result;
use understudy_tests::{Cluster, GroupMember, Heard, LoggedProducer, client_config};

use crate::warehouse::{WAREHOUSE, Warehouse};

/// What the shop writes and the others read.
pub const SALES: &str = "sales";
/// How many partitions it has.
pub const PARTITIONS: i32 = 4;
/// Who reads it: a client built on librdkafka, which follows the pointer.
pub const CHECKOUT: &str = "checkout";
/// A group that reads only now and then, so that nobody is in it when applications are moved.
pub const AUDITOR: &str = "auditor";
/// The shop's login.
pub const SHOP: (&str, &str) = ("shop", "open-from-nine");

/// A sale: its partition and its number.
pub type Sale = (i32, u64);

/// Where the shop's numbers begin. They rise through all of its lives, so a partition is in order if its numbers rise.
#[derive(Clone, Copy)]
pub enum Life {
    /// At home, until the Region is lost.
    First,
    /// An instance that never heard of the failover and is back with the Region.
    Forgotten,
    /// On the other side.
    Away,
    /// Home again.
    Returned,
}

impl Life {
    /// Its first number.
    pub const fn begins(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Forgotten => 500_000_000,
            Self::Away => 1_000_000_000,
            Self::Returned => 2_000_000_000,
        }
    }
}

/// Starts a shop on a cluster, with its own login: it may be shut out.
pub fn open_shop(cluster: &Cluster, life: Life) -> Result<LoggedProducer> {
    let (user, password) = SHOP;
    let mut client: ClientConfig = client_config(&cluster.client_properties_of(user, password));
    client
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "500")
        .set("log_level", "3");
    let shop = LoggedProducer::start_from(life.begins(), client, SALES, PARTITIONS)?;
    Ok(shop)
}

/// All applications, at work on one cluster.
pub struct Applications {
    shop: LoggedProducer,
    checkout: GroupMember,
    warehouse: Warehouse,
}

/// What applications know once they have stopped.
pub struct Stopped {
    /// The shop's own log.
    pub heard: Heard,
    /// What each group has read, in its order.
    pub read: BTreeMap<&'static str, Vec<Sale>>,
}

impl Applications {
    /// Starts them; returns at once. Each goes on where its group stands.
    pub fn start(cluster: &Cluster, life: Life) -> Result<Self> {
        Ok(Self {
            shop: open_shop(cluster, life)?,
            warehouse: Warehouse::start(cluster, SALES)?,
            checkout: GroupMember::start(cluster, CHECKOUT, SALES)?,
        })
    }

    /// How many sales were acknowledged.
    pub fn sold(&self) -> u64 {
        self.shop.acknowledged() as u64
    }

    /// What each group has read so far, in its order.
    pub fn read(&self) -> BTreeMap<&'static str, Vec<Sale>> {
        BTreeMap::from([
            (CHECKOUT, sales(&self.checkout.read())),
            (WAREHOUSE, self.warehouse.read()),
        ])
    }

    /// Whether each group has read on in every partition; who has not, otherwise.
    pub fn are_reading(&self) -> std::result::Result<(), String> {
        for (group, read) in self.read() {
            let partitions: BTreeSet<i32> = read.iter().map(|(partition, _)| *partition).collect();
            if partitions.len() != PARTITIONS as usize {
                return Err(format!("{group} has read of partitions {partitions:?}"));
            }
        }
        Ok(())
    }

    /// They stop: consumers commit and leave their groups.
    pub fn stop(self) -> Result<Stopped> {
        let heard = self.shop.stop();
        let read = BTreeMap::from([
            (CHECKOUT, sales(&self.checkout.stop()?)),
            (WAREHOUSE, self.warehouse.stop()?),
        ]);
        Ok(Stopped { heard, read })
    }
}

fn sales(keys: &[(i32, Vec<u8>)]) -> Vec<Sale> {
    let sale = |(partition, key): &(i32, Vec<u8>)| {
        LoggedProducer::number(Some(key)).map(|number| (*partition, number))
    };
    keys.iter().filter_map(sale).collect()
}
