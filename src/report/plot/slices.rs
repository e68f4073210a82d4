//! Slices: the metric against one parameter, a small plot for each.

use crate::report::content::Content;
use crate::report::draw::{Anchor, Drawing, Form, Ink, Scale, Shape, cut};
use crate::report::leaderboard::short;
use crate::state::TrialState;
use crate::state::axis::Axis;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 190.0;

/// A drawing for every parameter, the most important first.
pub fn slices(content: &Content<'_>) -> Vec<(String, Drawing)> {
    let trials = content.ranked();
    let Some(metric) = Scale::around(trials.iter().filter_map(|t| t.value)) else { return Vec::new() };
    let keys = content.keys().into_iter();
    keys.filter_map(|key| {
        let axis = super::axis(&key, &trials)?;
        let drawing = slice(content, &trials, (&key, &axis), &metric);
        Some((key, drawing))
    })
    .collect()
}

fn slice(content: &Content<'_>, trials: &[&TrialState], (key, axis): (&str, &Axis), metric: &Scale) -> Drawing {
    let mut drawing = Drawing::new(short(key), WIDTH, HEIGHT);
    let (left, top, width, bottom) = (46.0, 10.0, WIDTH - 58.0, HEIGHT - 42.0);
    for (place, label) in metric.ticks(4) {
        let y = bottom - (bottom - top) * place;
        drawing.line(vec![(left, y), (left + width, y)], 1.0, Ink::Grid);
        drawing.text((left - 6.0, y + 4.0), label, Anchor::End, Ink::Muted);
    }
    drawing.line(vec![(left, bottom), (left + width, bottom)], 1.0, Ink::Muted);
    // The later a trial, the stronger its dot: where the search went is seen.
    let last = content.state.trials.keys().next_back().map_or(1.0, |id| f64::from(id.0).max(1.0));
    for trial in trials {
        let x = trial.params.get(key).and_then(|v| axis.place(v));
        let (Some(x), Some(value)) = (x, trial.value) else { continue };
        let at = (left + 6.0 + (width - 12.0) * x, bottom - (bottom - top) * metric.place(value));
        let tip = content.tip(trial);
        let dot = |radius, ink| Shape::new(Form::Dot(at, radius), ink).of(trial.id, tip.clone());
        if content.best().map(|t| t.id) == Some(trial.id) {
            drawing.add(dot(7.0, Ink::Text));
            drawing.add(dot(5.0, Ink::Best));
        } else if content.baseline().map(|t| t.id) == Some(trial.id) {
            drawing.add(dot(4.5, Ink::Baseline));
        } else {
            drawing.add(dot(4.0, Ink::Value(0.15 + 0.85 * f64::from(trial.id.0) / last)).strength(0.9));
        }
    }
    for (place, label, anchor) in ends(axis) {
        let room = if anchor == Anchor::Middle { width / 3.0 } else { width / 2.0 };
        drawing.text((left + width * place, bottom + 15.0), cut(&label, room), anchor, Ink::Muted);
    }
    let log = if matches!(axis, Axis::Numbers { log: true, .. }) { " (log)" } else { "" };
    let name = cut(&format!("{}{log}", short(key)), width + 40.0);
    let name = Form::Text((left + width / 2.0, HEIGHT - 8.0), name, Anchor::Middle, 12.0);
    drawing.add(Shape::new(name, Ink::Text).tip(key.to_owned()));
    drawing
}

fn ends(axis: &Axis) -> Vec<(f64, String, Anchor)> {
    let (low, high) = axis.ends();
    match axis {
        _ if low == high => vec![(0.5, low, Anchor::Middle)],
        Axis::Choices(names) if names.len() == 3 => {
            vec![(0.0, low, Anchor::Start), (0.5, names[1].clone(), Anchor::Middle), (1.0, high, Anchor::End)]
        }
        _ => vec![(0.0, low, Anchor::Start), (1.0, high, Anchor::End)],
    }
}
