//! The table, for a terminal and for a page.

use crate::row::{HEAD, Row};

/// Aligned columns.
pub fn text(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(padded.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let line = |cells: [String; 6]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(HEAD.map(str::to_owned));
    text.push_str(&line(HEAD.map(|_| "---".to_owned())));
    text.extend(rows.iter().map(|row| line(row.cells())));
    text
}
