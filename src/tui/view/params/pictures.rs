//! Pictures of the parameters: the metric against each of them, and every trial as a line through all of them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;

use super::keys;
use crate::state::axis::Axis;
use crate::state::rank_compare;
use crate::tui::app::App;
use crate::tui::rows::{Trial, short};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::chart::{LineChart, Series};
use crate::tui::widget::raster::Raster;
use crate::tui::widget::text;

/// Least size of a slice with its labels.
const SLICE: (u16, u16) = (24, 7);
/// Least columns between two axes.
const APART: u16 = 10;

/// Who set a dot, the later drawn over the earlier.
const REST: usize = 0;
const LEADERS: usize = 1;
const SELECTED: usize = 2;

/// The metric against each parameter, the most important first, as many as fit.
pub(super) fn slices(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let trials = measured(app);
    let keys = keys(app);
    let Some(metric) = Axis::of_numbers(trials.iter().filter_map(|t| t.value)) else {
        return note("no values yet", theme, area, buffer);
    };
    let (across, down) = (area.width / SLICE.0, area.height / SLICE.1);
    if across == 0 || down == 0 || keys.is_empty() {
        return note("too small for slices: e expands", theme, area, buffer);
    }
    let across = across.min(keys.len() as u16);
    let down = down.min((keys.len() as u16).div_ceil(across));
    let (width, height) = (area.width / across, area.height / down);
    for (i, key) in (0..across * down).zip(&keys) {
        let place = Rect { x: area.x + i % across * width, y: area.y + i / across * height, width: width - 1, height };
        slice(app, theme, &trials, (key, &metric), place, buffer);
    }
}

fn slice(app: &App, theme: Theme, trials: &[&Trial], (key, metric): (&str, &Axis), area: Rect, buffer: &mut Buffer) {
    let muted = theme.style(Role::Muted);
    buffer.set_stringn(area.x, area.y, text::cut(short(key), area.width.into()), area.width.into(), muted);
    let Some(axis) = Axis::of(trials.iter().filter_map(|t| t.params.get(key))) else { return };
    let plot = Rect { y: area.y + 1, height: area.height - 2, ..area };
    let mut raster = Raster::new(plot.width.into(), plot.height.into(), theme.ascii);
    let (columns, rows) = raster.dots();
    for (trial, owner) in trials.iter().map(|t| (t, owner(app, t))) {
        let x = trial.params.get(key).and_then(|v| axis.place(v));
        let y = trial.value.and_then(|v| metric.place_number(v));
        if let (Some(x), Some(y)) = (x, y) {
            let (x, y) = (x * (columns - 1) as f64, (1.0 - y) * (rows - 1) as f64);
            raster.set(x.round() as i64, y.round() as i64, owner);
        }
    }
    paint(&raster, theme, plot, buffer);
    ends(&axis, theme, area, buffer);
}

/// Every trial as a line through an axis a parameter, the metric last.
pub(super) fn parallel(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let trials = measured(app);
    let mut keys = keys(app);
    keys.truncate(usize::from(area.width / APART).saturating_sub(1));
    let axes: Vec<(String, Axis)> = keys
        .into_iter()
        .filter_map(|key| Some((key.clone(), Axis::of(trials.iter().filter_map(|t| t.params.get(&key)))?)))
        .collect();
    let Some(metric) = Axis::of_numbers(trials.iter().filter_map(|t| t.value)) else {
        return note("no values yet", theme, area, buffer);
    };
    if axes.is_empty() || area.height < 6 {
        return note("too small for parallel coordinates: e expands", theme, area, buffer);
    }
    let plot = Rect { y: area.y + 2, height: area.height - 3, ..area };
    let mut raster = Raster::new(plot.width.into(), plot.height.into(), theme.ascii);
    let (columns, rows) = raster.dots();
    let x = |i: usize| (i * (columns - 1) / axes.len()) as i64;
    let y = |place: f64| ((1.0 - place) * (rows - 1) as f64).round() as i64;
    for trial in &trials {
        let places = axes.iter().map(|(key, axis)| trial.params.get(key).and_then(|v| axis.place(v)));
        let places = places.chain([trial.value.and_then(|v| metric.place_number(v))]);
        let points: Vec<Option<(i64, i64)>> = places.enumerate().map(|(i, p)| Some((x(i), y(p?)))).collect();
        for pair in points.windows(2) {
            if let [Some(from), Some(to)] = pair {
                raster.line(*from, *to, owner(app, trial));
            }
        }
    }
    paint(&raster, theme, plot, buffer);
    let last = (app.study.metric.as_str(), &metric);
    let titles: Vec<(&str, &Axis)> = axes.iter().map(|(key, axis)| (key.as_str(), axis)).chain([last]).collect();
    // From the right: the last title ends below its axis and takes of the room of the one before it.
    let mut ends = [area.right() + 1; 3];
    for (i, (key, axis)) in titles.into_iter().enumerate().rev() {
        let at = plot.x + (i * usize::from(plot.width - 1) / axes.len()) as u16;
        for row in plot.y..plot.bottom() {
            if buffer[(at, row)].symbol() == " " {
                buffer[(at, row)].set_symbol(theme.pick("│", "|")).set_style(theme.style(Role::Muted));
            }
        }
        let (low, high) = axis.ends();
        let name = if i == axes.len() { key.to_owned() } else { short(key).to_owned() };
        for ((row, label), end) in [(area.y, name), (area.y + 1, high), (plot.bottom(), low)].into_iter().zip(&mut ends)
        {
            let label = text::cut(&label, usize::from(APART) - 1);
            let left = if i == axes.len() { at + 1 - (text::width(&label) as u16).min(at + 1) } else { at };
            let left = left.max(area.x);
            let role = if row == area.y { Role::Text } else { Role::Muted };
            buffer.set_stringn(left, row, &label, usize::from(end.saturating_sub(left + 1)), theme.style(role));
            *end = left;
        }
    }
}

/// The value of every trial that ended, and the best so far as stairs.
pub(super) fn history(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let count = |i: usize| (i + 1) as f64;
    let steps = &app.study.history;
    let values: Vec<(f64, f64)> = steps.iter().enumerate().map(|(i, s)| (count(i), s.value)).collect();
    let mut best: Vec<(f64, f64)> = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        best.extend(best.last().map(|(_, before)| (count(i), *before)));
        best.push((count(i), step.best));
    }
    let series = |label: &str, points: Vec<(f64, f64)>, index| Series {
        label: label.to_owned(),
        points: points.into(),
        style: theme.series(index),
        marker: theme.marker(index),
    };
    LineChart {
        series: vec![series("trial", values, 0), series("best so far", best, 1)],
        x_title: "trials that ended",
        log: app.log_scale,
        ascii: theme.ascii,
        axis: theme.style(Role::Muted),
    }
    .render(area, buffer);
}

/// Visible trials with a value, the worst first and the selected one last, so that what matters lies on top.
fn measured(app: &App) -> Vec<&Trial> {
    let mut trials: Vec<&Trial> = app.visible().into_iter().filter(|t| t.value.is_some()).collect();
    trials.sort_by(|a, b| rank_compare(b.value, a.value, app.study.direction));
    trials.sort_by_key(|t| owner(app, t));
    trials
}

fn owner(app: &App, trial: &Trial) -> usize {
    match () {
        () if Some(trial.id) == app.selected => SELECTED,
        () if Some(trial.id) == app.study.best || app.marked.contains(&trial.id) => LEADERS,
        () => REST,
    }
}

fn paint(raster: &Raster, theme: Theme, plot: Rect, buffer: &mut Buffer) {
    let marker = |owner| ['.', '+', '*'][owner];
    let role = |owner| [Role::Muted, Role::Good, Role::Active][owner];
    for (x, y, symbol, owner) in raster.cells(marker) {
        let cell = &mut buffer[(plot.x + x as u16, plot.y + y as u16)];
        cell.set_char(symbol).set_style(theme.style(role(owner)));
    }
}

fn ends(axis: &Axis, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (low, high) = axis.ends();
    let half = usize::from(area.width / 2).saturating_sub(1);
    let muted = theme.style(Role::Muted);
    let bottom = area.bottom() - 1;
    buffer.set_stringn(area.x, bottom, text::cut(&low, half), half, muted);
    let high = text::cut(&high, half);
    buffer.set_stringn(area.right() - text::width(&high) as u16, bottom, &high, half, muted);
}

fn note(what: &str, theme: Theme, area: Rect, buffer: &mut Buffer) {
    buffer.set_stringn(area.x, area.y, what, area.width.into(), theme.style(Role::Muted));
}

/// A value as a cell of the table shows it.
pub(super) fn cell(value: Option<&Value>, theme: Theme) -> String {
    match value {
        None => theme.pick("·", ".").to_owned(),
        Some(Value::Number(n)) => n.as_f64().map_or_else(|| n.to_string(), crate::base::units::number),
        Some(Value::String(s)) => text::printable(s),
        Some(other) => other.to_string(),
    }
}
