//! View 2: a metric over the epochs, for the marked trials, the selected one and the best.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::ids::TrialId;
use crate::tui::app::{App, Over, SMOOTHING};
use crate::tui::rows::{Curve, Curves, Trial};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::chart::{LineChart, Series};

/// Curves that are drawn when nothing is marked.
const LEADERS: usize = 5;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    let log = if app.log_scale { " (log)" } else { "" };
    let smooth = SMOOTHING[app.smoothing];
    let smooth = if smooth > 0.0 { format!(", smoothed by {smooth}") } else { String::new() };
    format!("{}{log}{smooth}", app.curve_metric())
}

/// Draws the chart.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let best = app.study.best;
    let series = chosen(app, best)
        .into_iter()
        .filter_map(|(trial, index)| {
            let points = points(trial, app)?;
            let note = if Some(trial.id) == best { " best" } else { "" };
            Some(Series {
                label: format!("#{}{note}", trial.id),
                points,
                style: theme.series(index),
                marker: theme.marker(index),
            })
        })
        .collect();
    let chart = LineChart {
        series,
        x_title: app.over.title(),
        log: app.log_scale,
        ascii: theme.ascii,
        axis: theme.style(Role::Muted),
    };
    chart.render(area, buffer);
}

/// The curve of a trial as it is to be drawn.
fn points<'a>(trial: &'a Trial, app: &App) -> Option<Cow<'a, [(f64, f64)]>> {
    let curve = trial.curves.get(app.curve_metric())?;
    let weight = SMOOTHING[app.smoothing];
    if weight == 0.0 && app.over == Over::Epochs {
        return Some(Cow::Borrowed(curve));
    }
    let mut curve = over(curve, &trial.curves, app.over);
    smooth(&mut curve, weight);
    Some(Cow::Owned(curve))
}

fn over(curve: &Curve, of: &Curves, over: Over) -> Curve {
    let tick = |epoch: f64| of.ticks.binary_search_by(|t| t.epoch.total_cmp(&epoch)).ok().map(|i| of.ticks[i]);
    let place = |epoch: f64| match over {
        Over::Epochs => Some(epoch),
        Over::Steps => tick(epoch).map(|t| t.step),
        Over::Minutes => tick(epoch).map(|t| t.seconds / 60.0),
    };
    curve.iter().filter_map(|(epoch, value)| Some((place(*epoch)?, *value))).collect()
}

/// A running mean with exponential weights that counts no values before the first; gaps stay gaps.
fn smooth(curve: &mut Curve, weight: f64) {
    let (mut sum, mut share) = (0.0, 0.0);
    for (_, value) in curve.iter_mut().filter(|(_, v)| v.is_finite()) {
        sum = weight * sum + (1.0 - weight) * *value;
        share = weight * share + (1.0 - weight);
        *value = sum / share;
    }
}

/// The trials to draw, the selected one last, each with its colour: the leaders unless some are marked.
fn chosen(app: &App, best: Option<TrialId>) -> Vec<(&Trial, usize)> {
    let has_curve = |t: &&&Trial| t.curves.metrics.contains_key(app.curve_metric());
    let visible = app.visible();
    let mut list: Vec<&Trial> = if app.marked.is_empty() {
        visible.iter().filter(has_curve).take(LEADERS).copied().collect()
    } else {
        app.trials.iter().filter(|t| app.marked.contains(&t.id)).collect()
    };
    for wanted in app.pinned.iter().copied().chain(best).chain(app.selected) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::rows::Tick;

    #[test]
    fn smoothing_starts_at_the_first_value_and_keeps_gaps() {
        let mut curve = vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 3.0)];
        smooth(&mut curve, 0.5);
        assert_eq!(curve[0].1, 1.0);
        assert!(curve[1].1.is_nan());
        assert!((curve[2].1 - (0.25 * 1.0 + 0.5 * 3.0) / 0.75).abs() < 1e-12);
    }

    #[test]
    fn over_steps_leaves_out_what_has_no_step() {
        let ticks = vec![Tick { epoch: 0.0, step: 0.0, seconds: 0.0 }, Tick { epoch: 1.0, step: 8.0, seconds: 90.0 }];
        let of = Curves { ticks, ..Curves::default() };
        let curve = vec![(0.0, 0.5), (1.0, 0.6), (2.0, 0.7)];
        assert_eq!(over(&curve, &of, Over::Steps), [(0.0, 0.5), (8.0, 0.6)]);
        assert_eq!(over(&curve, &of, Over::Minutes), [(0.0, 0.5), (1.5, 0.6)]);
    }
}
