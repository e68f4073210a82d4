//! View 2: a metric over the epochs, for the marked trials, the selected one and the best.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::ids::TrialId;
use crate::tui::app::App;
use crate::tui::rows::Trial;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::chart::{LineChart, Series};

/// Curves that are drawn when nothing is marked.
const LEADERS: usize = 5;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    format!("{}{}", app.curve_metric(), if app.log_scale { " (log)" } else { "" })
}

/// Draws the chart.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let best = app.study.best;
    let series = chosen(app, best)
        .into_iter()
        .filter_map(|(trial, index)| {
            let points = trial.curves.get(app.curve_metric())?;
            let note = if Some(trial.id) == best { " best" } else { "" };
            Some(Series {
                label: format!("#{}{note}", trial.id),
                points,
                style: theme.series(index),
                marker: theme.marker(index),
            })
        })
        .collect();
    let chart =
        LineChart { series, x_title: "epoch", log: app.log_scale, ascii: theme.ascii, axis: theme.style(Role::Muted) };
    chart.render(area, buffer);
}

/// The trials to draw, the selected one last, each with its colour: the leaders unless some are marked.
fn chosen(app: &App, best: Option<TrialId>) -> Vec<(&Trial, usize)> {
    let has_curve = |t: &&&Trial| t.curves.contains_key(app.curve_metric());
    let visible = app.visible();
    let mut list: Vec<&Trial> = if app.marked.is_empty() {
        visible.iter().filter(has_curve).take(LEADERS).copied().collect()
    } else {
        app.trials.iter().filter(|t| app.marked.contains(&t.id)).collect()
    };
    for wanted in [best, app.selected].into_iter().flatten() {
        if !list.iter().any(|t| t.id == wanted) {
            list.extend(app.trials.iter().find(|t| t.id == wanted));
        }
    }
    // Colours go by number, so that a trial keeps its colour when the order changes.
    let mut by_number: Vec<TrialId> = list.iter().map(|t| t.id).collect();
    by_number.sort();
    let colour: BTreeMap<TrialId, usize> = by_number.into_iter().enumerate().map(|(i, id)| (id, i)).collect();
    list.reverse();
    list.sort_by_key(|t| (Some(t.id) == app.selected, Some(t.id) == best));
    list.into_iter().map(|t| (t, colour[&t.id])).collect()
}
