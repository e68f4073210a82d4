//! View 0: the studies of a workspace, a row each, and how their best values rose.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};

use super::header::liveness;
use crate::base::units;
use crate::tui::app::App;
use crate::tui::rows::Overview;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::chart::{LineChart, Series};
use crate::tui::widget::text;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    match app.studies.len() {
        1 => "1 study".to_owned(),
        count => format!("{count} studies"),
    }
}

/// Draws the table above the curves.
pub(super) fn draw(app: &mut App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let rows = app.studies.len() as u16 + 1;
    let [table, chart] =
        Layout::vertical([Constraint::Max(rows.min(area.height / 2)), Constraint::Fill(1)]).areas(area);
    let heading = line(["study", "state", "metric", "best", "done", "running", "failed", "elapsed", "ETA"]);
    buffer.set_stringn(table.x, table.y, heading, table.width.into(), theme.style(Role::Muted));
    let height = usize::from(table.height.saturating_sub(1));
    app.page = height.max(1);
    let from = app.chosen.saturating_sub(height / 2).min(app.studies.len().saturating_sub(height));
    for (y, (i, study)) in (table.y + 1..table.bottom()).zip(app.studies.iter().enumerate().skip(from)) {
        buffer.set_stringn(table.x, y, row(study, theme), table.width.into(), theme.style(Role::Text));
        if i == app.chosen {
            buffer.set_style(Rect::new(table.x, y, table.width, 1), theme.selected());
        }
    }
    let points: Vec<Vec<(f64, f64)>> = app.studies.iter().map(points).collect();
    let mut series: Vec<(usize, Series<'_>)> = app
        .studies
        .iter()
        .zip(&points)
        .enumerate()
        .map(|(i, (study, points))| {
            let label = format!("{} ({})", study.study.name, study.study.metric);
            (i, Series { label, points: points.into(), style: theme.series(i), marker: theme.marker(i) })
        })
        .collect();
    series.sort_by_key(|(i, _)| *i == app.chosen);
    LineChart {
        series: series.into_iter().map(|(_, s)| s).collect(),
        x_title: "trials that ended",
        log: false,
        ascii: theme.ascii,
        axis: theme.style(Role::Muted),
    }
    .render(chart, buffer);
}

/// A staircase: the best value after each trial that ended.
fn points(study: &Overview) -> Vec<(f64, f64)> {
    let mut points = Vec::new();
    for (i, step) in study.study.history.iter().enumerate() {
        points.extend(points.last().map(|(_, best): &(f64, f64)| (i as f64 + 1.0, *best)));
        points.push((i as f64 + 1.0, step.best));
    }
    points
}

fn row(of: &Overview, theme: Theme) -> String {
    let (symbol, _, word) = liveness(&of.study, of.active, theme);
    let best = of.best.map_or_else(|| theme.pick("–", "-").to_owned(), |v| format!("{v:.4}"));
    let eta = of.study.left.filter(|_| of.active > 0).map_or_else(String::new, |left| left.short());
    line([
        &of.study.name,
        &format!("{symbol} {word}"),
        &of.study.metric,
        &best,
        &format!("{}/{}", of.over, of.trials.max(of.study.max_trials as usize)),
        &of.active.to_string(),
        &of.failed.to_string(),
        &units::duration(of.study.elapsed_s),
        &eta,
    ])
}

fn line(cells: [&str; 9]) -> String {
    let [name, state, metric, best, done, running, failed, elapsed, eta] = cells;
    [
        text::left(name, 24),
        text::left(state, 17),
        text::left(metric, 12),
        text::right(best, 8),
        text::right(done, 9),
        text::right(running, 8),
        text::right(failed, 7),
        text::right(elapsed, 9),
        text::right(eta, 9),
    ]
    .join(" ")
}
