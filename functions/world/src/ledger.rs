//! The ledger as a file. Two processes that change it at once take turns by a lock; the second finds that its condition
//! does not hold.

use std::path::{Path, PathBuf};
use std::time::Duration;

use understudy_recovery::{Ledger, PairName};
use understudy_shell::world::LedgerStore;
use understudy_shell::{PortError, PortErrorKind};

use crate::files;

/// How long another process may look and write.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

/// The ledgers of a folder, each a file `ledger-<pair>.json`. The folder is made by the first write.
#[derive(Clone, Debug)]
pub struct FileLedger {
    folder: PathBuf,
}

impl FileLedger {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
        }
    }

    fn path(&self, pair: &PairName) -> PathBuf {
        self.folder.join(format!("ledger-{pair}.json"))
    }
}

impl LedgerStore for FileLedger {
    fn read(&self, pair: &PairName) -> Result<Option<Ledger>, PortError> {
        let path = self.path(pair);
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        let ledger = serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!(
                "{} is no ledger: {error}; nobody but Understudy writes it",
                path.display()
            );
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        Ok(Some(ledger))
    }

    fn write(&self, before: u64, next: &Ledger) -> Result<(), PortError> {
        let path = self.path(&next.pair);
        let _held = files::lock(&path.with_extension("lock"), LOCK_WITHIN)?;
        let stored = self.read(&next.pair)?.map_or(0, |ledger| ledger.version);
        if stored != before {
            let text = format!(
                "{} is at version {stored} and no longer at {before}",
                path.display()
            );
            return Err(PortError::new(PortErrorKind::Conflict, text));
        }
        let bytes = serde_json::to_vec_pretty(next).map_err(|error| {
            let text = format!("the ledger of {} cannot be written: {error}", next.pair);
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        files::put(&path, &bytes)
    }
}

#[cfg(test)]
mod tests {
    use understudy_recovery::Alias;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn only_who_read_the_newest_writes() -> Outcome {
        let folder = tempfile::tempdir()?;
        let ledger = FileLedger::new(&folder.path().join("not made yet"));
        let pair = PairName::new("orders")?;
        assert_eq!(ledger.read(&pair)?, None);
        let mut next = Ledger::new(pair.clone(), Alias::new("use1")?);
        next.version = 1;
        ledger.write(0, &next)?;
        assert_eq!(ledger.read(&pair)?.as_ref(), Some(&next));
        let late = ledger.write(0, &next).map_err(|error| error.kind);
        assert_eq!(late, Err(PortErrorKind::Conflict));
        Ok(())
    }

    #[test]
    fn of_many_that_write_at_once_one_does() -> Outcome {
        let folder = tempfile::tempdir()?;
        let ledger = FileLedger::new(folder.path());
        let mut next = Ledger::new(PairName::new("orders")?, Alias::new("use1")?);
        next.version = 1;
        let won = std::thread::scope(|scope| {
            let racing: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ledger.write(0, &next).is_ok()))
                .collect();
            let won = racing.into_iter().map(|it| it.join().unwrap_or(false));
            won.filter(|won| *won).count()
        });
        assert_eq!(won, 1);
        Ok(())
    }

    #[test]
    fn what_is_no_ledger_is_named() -> Outcome {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("ledger-orders.json"), "{}")?;
        let read = FileLedger::new(folder.path()).read(&PairName::new("orders")?);
        assert_eq!(
            read.map_err(|error| error.kind),
            Err(PortErrorKind::Malformed)
        );
        Ok(())
    }
}
