//! `--json` and `--format`: one way to choose how a read command shows its result.

use super::output;
use crate::report::table::Grid;

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns, for people.
    Table,
    /// Comma-separated values with a heading, numbers in full.
    Csv,
    /// One versioned JSON object.
    Json,
    /// A Markdown table.
    Md,
}

/// The options of every command that shows a table.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Shape {
    /// How the result is printed on stdout.
    #[arg(long, value_enum, value_name = "KIND", default_value = "table")]
    pub format: Format,
    /// One versioned JSON object on stdout; short for `--format json`.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

impl Shape {
    /// What was chosen.
    pub fn get(self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    /// Whether JSON was chosen.
    pub fn is_json(self) -> bool {
        self.get() == Format::Json
    }

    /// Prints a result that people see as `text`.
    pub(super) fn print(
        self,
        text: impl FnOnce() -> String,
        grid: impl FnOnce(bool) -> Grid,
        json: impl FnOnce() -> serde_json::Value,
    ) {
        match self.get() {
            Format::Table => output::data(&text()),
            Format::Csv => output::data(grid(true).csv().trim_end()),
            Format::Md => output::data(&grid(false).markdown()),
            Format::Json => output::json(&json()),
        }
    }
}
