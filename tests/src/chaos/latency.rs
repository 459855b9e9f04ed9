//! How old records are when a reader on the target gets them.

/// Everything older counts as this old.
const OLDEST_MS: usize = 120_000;

/// Ages in whole milliseconds, counted.
#[derive(Debug, Clone)]
pub struct Latency {
    counts: Vec<u64>,
    records: u64,
    max_ms: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self {
            counts: vec![0; OLDEST_MS + 1],
            records: 0,
            max_ms: 0,
        }
    }
}

impl Latency {
    /// Counts one record.
    pub fn add(&mut self, age_ms: u64) {
        let index = usize::try_from(age_ms).unwrap_or(OLDEST_MS).min(OLDEST_MS);
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.records += 1;
        self.max_ms = self.max_ms.max(age_ms);
    }

    /// The age that this share of the records does not exceed; none without records.
    pub fn quantile_ms(&self, share: f64) -> Option<u64> {
        let wanted = (self.records as f64 * share).ceil().max(1.0) as u64;
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        found.map(|index| index as u64)
    }

    /// The oldest record.
    pub fn max_ms(&self) -> u64 {
        self.max_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_records() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile_ms(0.5), None);
        (1..=100).for_each(|age| latency.add(age));
        assert_eq!(latency.quantile_ms(0.5), Some(50));
        assert_eq!(latency.quantile_ms(0.99), Some(99));
        assert_eq!(latency.quantile_ms(1.0), Some(100));
        assert_eq!(latency.max_ms(), 100);
    }
}
