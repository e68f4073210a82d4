//! View 1: a row a trial. Columns that do not fit are left out, the least important first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use crate::base::ids::TrialId;
use crate::base::units;
use crate::tui::app::App;
use crate::tui::rows::Trial;
use crate::tui::sort;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{bars, text};

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    let shown = app.visible().len();
    let all = app.trials.len();
    if app.filter_text.is_empty() {
        units::plural(all, "trial")
    } else {
        format!("{shown} of {all}, /{}", app.filter_text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Id,
    State,
    Value,
    Trend,
    Budget,
    Rung,
    Rates,
    Speed,
    Loss,
    Time,
    Slot,
}

/// Columns from the left: title, cells, and a rank: the higher, the sooner it is left out.
const COLUMNS: [(Column, &str, usize, u8); 11] = [
    (Column::Id, "id", 6, 0),
    (Column::State, "st", 2, 0),
    (Column::Value, "value", 7, 1),
    (Column::Trend, "trend", 8, 5),
    (Column::Budget, "budget", 12, 3),
    (Column::Rung, "rung", 6, 4),
    (Column::Rates, "lr v/t", 15, 2),
    (Column::Speed, "img/s", 6, 6),
    (Column::Loss, "loss", 7, 7),
    (Column::Time, "time", 8, 8),
    (Column::Slot, "slot", 8, 9),
];

fn columns(width: usize, rungs: bool) -> Vec<(Column, &'static str, usize)> {
    let mut chosen = COLUMNS.to_vec();
    chosen.retain(|c| rungs || c.0 != Column::Rung);
    while chosen.len() > 2 && chosen.iter().map(|c| c.2 + 1).sum::<usize>() > width {
        let least = chosen.iter().enumerate().max_by_key(|(_, c)| c.3).map_or(0, |(i, _)| i);
        chosen.remove(least);
    }
    chosen.into_iter().map(|(column, title, cells, _)| (column, title, cells)).collect()
}

/// Draws the table.
pub(super) fn draw(app: &mut App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = columns(area.width.into(), !app.study.rungs.is_empty());
    let titles = columns.iter().map(|(c, title, cells)| {
        let arrow = if app.reversed { theme.pick("▴", "^") } else { theme.pick("▾", "v") };
        let title = if sorted_by(app.column) == Some(*c) { format!("{title}{arrow}") } else { (*title).to_owned() };
        aligned(*c, &title, *cells) + " "
    });
    buffer.set_stringn(area.x, area.y, titles.collect::<String>(), area.width.into(), theme.style(Role::Muted));
    let height = usize::from(area.height.saturating_sub(1));
    app.page = height.max(1);
    let rows = app.visible();
    if rows.is_empty() {
        let note = if app.trials.is_empty() { "no trials yet" } else { "no trial passes the filter" };
        buffer.set_stringn(area.x + 1, area.y + 1, note, area.width.into(), theme.style(Role::Muted));
        return;
    }
    let (from, selected) = window(app, &rows, height);
    for (i, trial) in rows.iter().enumerate().skip(from).take(height) {
        let y = area.y + 1 + (i - from) as u16;
        let line = row(app, theme, trial, &columns, area.width.into());
        buffer.set_line(area.x, y, &line, area.width);
        if i == selected {
            buffer.set_style(Rect::new(area.x, y, area.width, 1), theme.selected());
        }
    }
}

/// The first row shown and the selected row: the selection is always visible, in the middle where possible.
fn window(app: &App, rows: &[&Trial], height: usize) -> (usize, usize) {
    let selected = rows.iter().position(|t| Some(t.id) == app.selected).unwrap_or(0);
    let from = selected.saturating_sub(height / 2).min(rows.len().saturating_sub(height));
    (from, selected)
}

/// The trial in the `row`th row of a table that is `height` rows high, titles included.
pub fn row_at(app: &App, row: usize, height: usize) -> Option<TrialId> {
    let rows = app.visible();
    let (from, _) = window(app, &rows, height.checked_sub(1)?);
    rows.get(from + row.checked_sub(1)?).map(|t| t.id)
}

/// The column whose title stands `x` cells from the left of a table so many cells wide.
pub fn column_at(app: &App, x: usize, width: usize) -> Option<sort::Column> {
    let mut from = 0;
    let (column, ..) = columns(width, !app.study.rungs.is_empty()).into_iter().find(|(_, _, cells)| {
        from += cells + 1;
        x < from
    })?;
    sort::Column::ALL.into_iter().find(|c| sorted_by(*c) == Some(column))
}

fn sorted_by(column: sort::Column) -> Option<Column> {
    Some(match column {
        sort::Column::Value => Column::Value,
        sort::Column::Id => Column::Id,
        sort::Column::State => Column::State,
        sort::Column::Epochs => Column::Budget,
        sort::Column::Speed => Column::Speed,
        sort::Column::Loss => Column::Loss,
    })
}

fn aligned(column: Column, cell: &str, cells: usize) -> String {
    match column {
        Column::Value | Column::Speed | Column::Loss | Column::Time => text::right(cell, cells),
        _ => text::left(cell, cells),
    }
}

fn row<'a>(app: &App, theme: Theme, trial: &Trial, columns: &[(Column, &str, usize)], width: usize) -> Line<'a> {
    let mut line = Line::default();
    let mut used = 0;
    for (column, _, cells) in columns {
        // A failure needs the room of what the trial has no numbers for.
        if let (Some((code, message)), Column::Trend | Column::Budget | Column::Rates) = (&trial.failure, column) {
            let cause = format!("{}: {message}", code.replace('_', " "));
            line.push_span(Span::styled(text::cut(&cause, width.saturating_sub(used)), theme.style(Role::Bad)));
            return line;
        }
        let (cell, style) = cell(app, theme, trial, *column);
        line.push_span(Span::styled(aligned(*column, &cell, *cells) + " ", style));
        used += cells + 1;
    }
    line
}

fn cell(app: &App, theme: Theme, trial: &Trial, column: Column) -> (String, Style) {
    let none = || theme.pick("–", "-").to_owned();
    let plain = theme.style(Role::Text);
    let (symbol, role) = theme.status(trial.status);
    match column {
        Column::Id => {
            let mark = match (app.marked.contains(&trial.id), app.pinned.contains(&trial.id)) {
                (true, _) => theme.pick('▸', '>'),
                (false, true) => theme.pick('↑', '^'),
                (false, false) => ' ',
            };
            (format!("{mark}{}", trial.id), plain)
        }
        Column::State => (symbol.to_string(), theme.style(role)),
        Column::Value => (trial.value.map_or_else(none, |v| format!("{v:.4}")), plain),
        Column::Trend => {
            let values: Vec<f64> =
                trial.curves.get(&app.study.metric).into_iter().flatten().map(|point| point.1).collect();
            (bars::sparkline(&values, 8, theme.ascii), theme.style(role))
        }
        Column::Budget => {
            let bar = bars::bar(f64::from(trial.epochs), f64::from(trial.budget), 6, theme.ascii);
            let style = if trial.status.is_active() { theme.style(role) } else { plain };
            (format!("{bar} {}/{}", trial.epochs, trial.budget), style)
        }
        Column::Rung => (rung(&app.study.rungs, trial, theme), plain),
        Column::Rates => {
            let rate = |r: Option<f64>| r.map_or_else(none, units::number);
            (format!("{}/{}", rate(trial.rates.0), rate(trial.rates.1)), plain)
        }
        Column::Speed => (trial.images_per_s.map_or_else(none, |v| format!("{v:.0}")), plain),
        Column::Loss => (trial.loss.map_or_else(none, |v| format!("{v:.4}")), plain),
        Column::Time => (units::duration(trial.seconds), plain),
        Column::Slot => (trial.slot.clone(), theme.style(Role::Muted)),
    }
}

/// The rungs that a trial has reached, of all: `■■□`; numbers where there are too many.
fn rung(rungs: &[u32], trial: &Trial, theme: Theme) -> String {
    let reached = rungs.iter().filter(|rung| **rung <= trial.epochs).count();
    if rungs.len() > 6 {
        return format!("{reached}/{}", rungs.len());
    }
    let (full, empty) = (theme.pick('■', '#'), theme.pick('□', '.'));
    (0..rungs.len()).map(|i| if i < reached { full } else { empty }).collect()
}
