//! Signals about clusters, kept in the store's folder: what probers on this machine saw.

use std::path::{Path, PathBuf};
use std::time::Duration;

use understudy_recovery::Alias;
use understudy_recovery::health::{Signal, Vantage};
use understudy_shell::world::Signals;
use understudy_shell::{PortError, PortErrorKind};

use crate::files;

/// How many looks of one vantage are kept.
const KEPT: usize = 12;
/// How long another prober may look and write.
const LOCK_WITHIN: Duration = Duration::from_secs(5);

/// Signals in a folder, each cluster's a file `signals/<alias>.json`.
#[derive(Clone, Debug)]
pub struct FileSignals {
    folder: PathBuf,
}

impl FileSignals {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.join("signals"),
        }
    }

    fn path(&self, about: &Alias) -> PathBuf {
        self.folder.join(format!("{about}.json"))
    }
}

impl Signals for FileSignals {
    fn publish(&self, about: &Alias, signal: &Signal) -> Result<(), PortError> {
        let path = self.path(about);
        let _held = files::lock(&path.with_extension("lock"), LOCK_WITHIN)?;
        let mut kept = match self.recent(about) {
            Ok(kept) => kept,
            // What cannot be read is begun anew: a look that is not kept would be worse.
            Err(error) if error.kind == PortErrorKind::Malformed => Vec::new(),
            Err(error) => return Err(error),
        };
        kept.push(signal.clone());
        kept.sort_by_key(|signal| signal.at_ms);
        for vantage in Vantage::ALL {
            let count = kept.iter().filter(|it| it.vantage == vantage).count();
            let mut surplus = count.saturating_sub(KEPT);
            kept.retain(|it| {
                let goes = it.vantage == vantage && surplus > 0;
                surplus = surplus.saturating_sub(usize::from(goes));
                !goes
            });
        }
        let bytes = serde_json::to_vec_pretty(&kept).map_err(|error| {
            let text = format!("a signal about {about} cannot be written: {error}");
            PortError::new(PortErrorKind::Malformed, text)
        })?;
        files::put(&path, &bytes)
    }

    fn recent(&self, about: &Alias) -> Result<Vec<Signal>, PortError> {
        let path = self.path(about);
        let Some(bytes) = files::read(&path)? else {
            return Ok(Vec::new());
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let text = format!("{} holds no signals: {error}", path.display());
            PortError::new(PortErrorKind::Malformed, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use understudy_recovery::health::Saw;

    use super::*;

    #[test]
    fn the_newest_of_each_vantage_stay() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let signals = FileSignals::new(folder.path());
        let about = Alias::new("use1")?;
        assert!(signals.recent(&about)?.is_empty());
        let signal = |vantage, at_ms| Signal {
            vantage,
            saw: Saw::Serves,
            at_ms,
            path_proven: true,
        };
        signals.publish(&about, &signal(Vantage::Active, 0))?;
        for at_ms in 1..=20 {
            signals.publish(&about, &signal(Vantage::Standby, at_ms))?;
        }
        let times: Vec<i64> = signals.recent(&about)?.iter().map(|it| it.at_ms).collect();
        let kept: Vec<i64> = std::iter::once(0).chain(9..=20).collect();
        assert_eq!(times, kept);
        Ok(())
    }
}
