//! What tools hand over.

/// What a tool found, for people and for machines.
pub trait Report: serde::Serialize + std::fmt::Display {
    /// Whether what was asked holds.
    fn holds(&self) -> bool;

    /// The report for machines.
    ///
    /// # Errors
    /// A value that JSON cannot hold.
    fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }
}
