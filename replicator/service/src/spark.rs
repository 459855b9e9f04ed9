//! A small line of lag over time, as SVG.

use std::fmt::Write;

/// Its size in the picture's own units.
const WIDTH: usize = 120;
const HEIGHT: usize = 28;
/// How many samples fill it.
const FULL: usize = 120;

/// Draws samples, oldest first, as `<svg>`; the newest is at the right edge. Nothing for fewer than two.
pub fn spark(samples: &[u64]) -> String {
    let samples = samples
        .get(samples.len().saturating_sub(FULL)..)
        .unwrap_or_default();
    if samples.len() < 2 {
        return String::new();
    }
    let top = samples.iter().copied().max().unwrap_or(0).max(1);
    let mut line = String::new();
    let first = FULL - samples.len();
    for (at, sample) in samples.iter().enumerate() {
        let x = (first + at) * WIDTH / (FULL - 1);
        let room = u128::try_from(HEIGHT - 3).unwrap_or_default();
        let y = HEIGHT as u128 - 2 - u128::from(*sample) * room / u128::from(top);
        // Writing to a string cannot fail.
        let _ = write!(line, "{x},{y} ");
    }
    let line = line.trim_end();
    let left = first * WIDTH / (FULL - 1);
    let base = HEIGHT - 1;
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"lag over the last minutes, at most {top}\">\
         <polygon points=\"{left},{base} {line} {WIDTH},{base}\"/><polyline points=\"{line}\"/></svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_samples_make_a_bounded_picture() {
        assert_eq!(spark(&[]), "");
        assert_eq!(spark(&[7]), "");
        for samples in [vec![0, 0], vec![u64::MAX; 500], vec![1, u64::MAX, 0]] {
            let picture = spark(&samples);
            assert!(
                picture.len() < 3_000 && picture.contains("<polyline"),
                "{picture}"
            );
        }
        // The highest touches the top, zero the bottom, the newest the right edge.
        assert!(
            spark(&[0, 10]).contains("points=\"118,26 120,1\""),
            "{}",
            spark(&[0, 10])
        );
    }
}
