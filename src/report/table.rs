//! Tables: as aligned text, as comma-separated values, as Markdown.

use unicode_width::UnicodeWidthStr;

/// Rows under a heading, columns two spaces apart; columns named in `right` are set to the right.
pub fn table(heading: &[&str], rows: &[Vec<String>], right: &[&str]) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|h| h.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for ((cell, width), name) in cells.zip(&widths).zip(heading) {
            let gap = " ".repeat(width.saturating_sub(cell.width()));
            let (before, after) = if right.contains(name) { (gap.as_str(), "") } else { ("", gap.as_str()) };
            text.push_str(&format!("{before}{cell}{after}  "));
        }
        text.trim_end().to_owned()
    };
    let mut lines = vec![line(&mut heading.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A heading and rows, in whatever form they are wanted.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    /// Names of the columns.
    pub heading: Vec<String>,
    /// Rows of as many cells.
    pub rows: Vec<Vec<String>>,
    /// Columns that are set to the right.
    pub right: Vec<String>,
}

impl Grid {
    /// A grid.
    pub fn new(heading: &[&str], rows: Vec<Vec<String>>, right: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { heading: owned(heading), rows, right: owned(right) }
    }

    /// Aligned columns.
    pub fn text(&self) -> String {
        let heading: Vec<&str> = self.heading.iter().map(String::as_str).collect();
        let right: Vec<&str> = self.right.iter().map(String::as_str).collect();
        table(&heading, &self.rows, &right)
    }

    /// Comma-separated values as RFC 4180 has them, but with line feeds.
    pub fn csv(&self) -> String {
        let cell = |text: &String| match text.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.clone(),
        };
        let line = |cells: &Vec<String>| cells.iter().map(cell).collect::<Vec<_>>().join(",") + "\n";
        std::iter::once(&self.heading).chain(&self.rows).map(line).collect()
    }

    /// A Markdown table.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
            format!("| {} |", cells.join(" | "))
        };
        let rule = |name: &String| if self.right.contains(name) { "---:" } else { "---" }.to_owned();
        let rule: Vec<String> = self.heading.iter().map(rule).collect();
        let mut lines = vec![line(&self.heading), line(&rule)];
        lines.extend(self.rows.iter().map(|row| line(row)));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_by_display_width() {
        let rows = vec![vec!["é".to_owned(), "1".to_owned()], vec!["long".to_owned(), "23".to_owned()]];
        assert_eq!(table(&["name", "n"], &rows, &["n"]), "name   n\né      1\nlong  23");
    }

    #[test]
    fn grid_quotes_what_would_break_a_row() {
        let rows = vec![vec!["a, \"b\"".to_owned(), "1".to_owned()], vec!["c|d".to_owned(), "2".to_owned()]];
        let grid = Grid::new(&["name", "n"], rows, &["n"]);
        assert_eq!(grid.csv(), "name,n\n\"a, \"\"b\"\"\",1\nc|d,2\n");
        assert_eq!(grid.markdown(), "| name | n |\n| --- | ---: |\n| a, \"b\" | 1 |\n| c\\|d | 2 |");
        assert_eq!(grid.text(), "name    n\na, \"b\"  1\nc|d     2");
    }
}
