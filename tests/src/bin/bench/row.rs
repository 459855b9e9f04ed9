//! One line of the result: ours, theirs, the ratio, what is required.

use std::fmt;

use serde::Serialize;

use crate::stats::Spread;

/// What a line has to hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Ours, at the median.
    AtMost(f64),
    /// Ours through theirs, at the median.
    RatioAtMost(f64),
    /// Ours through theirs, at the median.
    RatioAtLeast(f64),
}

/// One line.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// In what.
    pub unit: &'static str,
    /// Ours.
    pub ours: Spread,
    /// Whom it is compared with.
    pub peer: Option<&'static str>,
    /// Theirs.
    pub theirs: Option<Spread>,
    /// Ours through theirs, round by round.
    pub ratio: Option<Spread>,
    /// What has to hold; nothing for information.
    pub required: Vec<Requirement>,
    /// Whether it does.
    pub met: Option<bool>,
}

impl Row {
    /// Ours alone.
    pub fn alone(
        what: impl Into<String>,
        unit: &'static str,
        ours: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        Some(Self {
            what: what.into(),
            unit,
            ours: Spread::of(ours)?,
            peer: None,
            theirs: None,
            ratio: None,
            required: Vec::new(),
            met: None,
        })
    }

    /// Ours and theirs, round by round.
    pub fn beside(
        what: impl Into<String>,
        unit: &'static str,
        peer: &'static str,
        pairs: &[(f64, Option<f64>)],
    ) -> Option<Self> {
        let mut row = Self::alone(what, unit, pairs.iter().map(|pair| pair.0))?;
        row.peer = Some(peer);
        row.theirs = Spread::of(pairs.iter().filter_map(|pair| pair.1));
        // Nothing is so many times nothing.
        let beside = |pair: &(f64, Option<f64>)| Some(pair.0 / pair.1.filter(|it| it.abs() > 0.0)?);
        row.ratio = Spread::of(pairs.iter().filter_map(beside));
        Some(row)
    }

    /// The same line with what has to hold.
    #[must_use]
    pub fn required(mut self, required: &[Requirement]) -> Self {
        let holds = |requirement: &Requirement| {
            let ratio = self.ratio.as_ref().map(|ratio| ratio.median);
            match *requirement {
                Requirement::AtMost(limit) => Some(self.ours.median <= limit),
                Requirement::RatioAtMost(limit) => Some(ratio? <= limit),
                Requirement::RatioAtLeast(limit) => Some(ratio? >= limit),
            }
        };
        // One that cannot be judged leaves the line open, unless another is missed.
        let verdicts: Vec<Option<bool>> = required.iter().map(holds).collect();
        self.met = if verdicts.contains(&Some(false)) {
            Some(false)
        } else {
            let judged: Option<Vec<bool>> = verdicts.into_iter().collect();
            judged.filter(|all| !all.is_empty()).map(|_| true)
        };
        self.required = required.to_vec();
        self
    }

    /// The cells of a table.
    pub fn cells(&self) -> [String; 6] {
        let required: Vec<String> = self
            .required
            .iter()
            .map(|requirement| match requirement {
                Requirement::AtMost(limit) => format!("≤ {limit} {}", self.unit),
                Requirement::RatioAtMost(limit) => format!("≤ {limit} ×"),
                Requirement::RatioAtLeast(limit) => format!("≥ {limit} ×"),
            })
            .collect();
        let theirs = match (&self.theirs, self.peer) {
            (Some(theirs), Some(peer)) => format!("{} ({peer})", Cell(theirs, self.unit)),
            _ => String::new(),
        };
        let ratio = self
            .ratio
            .as_ref()
            .map_or_else(String::new, |ratio| Cell(ratio, "×").to_string());
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [
            self.what.clone(),
            Cell(&self.ours, self.unit).to_string(),
            theirs,
            ratio,
            required.join(", "),
            met.to_owned(),
        ]
    }
}

/// The head of the table.
pub const HEAD: [&str; 6] = [
    "measured",
    "Understudy",
    "compared with",
    "ratio",
    "required",
    "met",
];

/// A median, and its spread where there is one.
struct Cell<'a>(&'a Spread, &'a str);

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spread {
            median,
            min,
            max,
            runs,
        } = self.0;
        write!(f, "{} {}", Number(*median), self.1)?;
        if *runs > 1 {
            write!(f, " [{}–{}]", Number(*min), Number(*max))?;
        }
        Ok(())
    }
}

/// Three digits, about.
pub struct Number(pub f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            large if large >= 100.0 => write!(f, "{:.0}", self.0),
            middle if middle >= 10.0 => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.2}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_on_a_ratio_is_judged_round_by_round() {
        let row = Row::beside(
            "CPU",
            "s",
            "MM2",
            &[(4.0, Some(10.0)), (9.0, Some(10.0)), (4.1, Some(10.0))],
        )
        .map(|row| row.required(&[Requirement::RatioAtMost(0.45)]));
        assert_eq!(row.and_then(|row| row.met), Some(true));
    }

    #[test]
    fn without_a_peer_a_ratio_is_neither_met_nor_missed() {
        let required = [Requirement::RatioAtLeast(0.1), Requirement::AtMost(1.0)];
        let met = |ours| Row::alone("CPU", "s", [ours]).and_then(|row| row.required(&required).met);
        assert_eq!((met(1.0), met(2.0)), (None, Some(false)));
    }
}
