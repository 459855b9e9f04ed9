//! The ledger: one item a pair in a DynamoDB table; in production a global table with strong consistency.
//!
//! Every write is on condition of the version that was read, every read is consistent. The item holds the document and,
//! beside it, what a person looks for in the console.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use understudy_recovery::{Ledger, PairName, Phase};
use understudy_shell::world::LedgerStore;
use understudy_shell::{PortError, PortErrorKind};

use crate::session::Session;

/// The table's key.
pub const KEY: &str = "pk";
/// The attribute that holds the JSON.
pub const DOCUMENT: &str = "document";

/// The ledger in DynamoDB.
#[derive(Clone, Debug)]
pub struct DynamoLedger {
    session: Session,
    client: Client,
    table: String,
}

impl DynamoLedger {
    /// The ledger in a table; in another Region than this one's where the table has no replica here.
    pub fn new(session: &Session, table: &str, region: Option<&str>) -> Self {
        Self {
            session: session.clone(),
            client: client(session, region),
            table: table.to_owned(),
        }
    }
}

/// A client for the table. Its endpoint is DynamoDB's own, whatever the Region: that variable names the ledger.
pub fn client(session: &Session, region: Option<&str>) -> Client {
    let mut config = aws_sdk_dynamodb::config::Builder::from(session.config());
    if let Some(region) = region {
        config = config.region(aws_config::Region::new(region.to_owned()));
    }
    Client::from_conf(config.build())
}

fn key(pair: &PairName) -> String {
    format!("ledger#{pair}")
}

impl LedgerStore for DynamoLedger {
    fn read(&self, pair: &PairName) -> Result<Option<Ledger>, PortError> {
        let call = self
            .client
            .get_item()
            .table_name(&self.table)
            .key(KEY, AttributeValue::S(key(pair)))
            .consistent_read(true)
            .send();
        let answer = self
            .session
            .call(&format!("reading the ledger of {pair}"), call)?;
        let Some(item) = answer.item() else {
            return Ok(None);
        };
        parse(pair, item).map(Some)
    }

    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        let document = serde_json::to_string(next).map_err(|error| {
            PortError::new(
                PortErrorKind::Malformed,
                format!(
                    "the ledger of {} cannot be written as JSON: {error}",
                    next.pair
                ),
            )
        })?;
        let condition = if before == 0 {
            "attribute_not_exists(#key) OR #version = :before"
        } else {
            "#version = :before"
        };
        let mut call = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(KEY, AttributeValue::S(key(&next.pair)))
            .item("pair", AttributeValue::S(next.pair.to_string()))
            .item("version", AttributeValue::N(next.version.to_string()))
            .item("epoch", AttributeValue::N(next.epoch.get().to_string()))
            .item("active", AttributeValue::S(next.active.to_string()))
            .item("phase", AttributeValue::S(phase(&next.phase)))
            .item(DOCUMENT, AttributeValue::S(document))
            .condition_expression(condition)
            .expression_attribute_names("#version", "version")
            .expression_attribute_values(":before", AttributeValue::N(before.to_string()));
        if before == 0 {
            call = call.expression_attribute_names("#key", KEY);
        }
        let written = self
            .session
            .call(&format!("writing the ledger of {}", next.pair), call.send());
        match written {
            Ok(_) => Ok(()),
            // An attempt whose answer was lost is attempted again, and then finds its own write.
            Err(error) if error.kind == PortErrorKind::Conflict => {
                if self.read(&next.pair)?.as_ref() == Some(next) {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn phase(phase: &Phase) -> String {
    match phase {
        Phase::Steady => "steady".to_owned(),
        Phase::Recovering(running) => format!("recovering {}", running.execution),
        Phase::Stuck(running) => format!("stuck {}", running.execution),
    }
}

fn parse(pair: &PairName, item: &HashMap<String, AttributeValue>) -> Result<Ledger, PortError> {
    let malformed = |why: String| {
        PortError::new(
            PortErrorKind::Malformed,
            format!(
                "the ledger's item of {pair} cannot be read: {why}; nobody but Understudy writes it"
            ),
        )
    };
    let document = item
        .get(DOCUMENT)
        .and_then(|value| value.as_s().ok())
        .ok_or_else(|| malformed(format!("it has no attribute {DOCUMENT}")))?;
    serde_json::from_str(document).map_err(|error| malformed(error.to_string()))
}
