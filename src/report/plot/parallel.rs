//! Parallel coordinates: every trial as a line through an axis a parameter, the metric last.

use super::{FULL, axis, empty, ink};
use crate::base::units;
use crate::report::content::Content;
use crate::report::draw::{Anchor, Drawing, Form, Ink, Point, Shape, cut};
use crate::report::leaderboard::short;
use crate::state::axis::Axis;

/// More axes than this would touch each other; the least important parameters are left out.
pub const MOST: usize = 11;
/// More lines than this only make a plot grey: the best of them are drawn.
const LINES: usize = 300;

/// Every trial with a value as a line.
pub fn parallel(content: &Content<'_>) -> Drawing {
    let title = "Parallel coordinates";
    let mut trials = content.ranked();
    trials.drain(..trials.len().saturating_sub(LINES));
    // The value itself is read off: equal distances are equal differences.
    let metric = Axis::of_numbers(trials.iter().filter_map(|t| t.value)).map(|axis| match axis {
        Axis::Numbers { low, high, .. } => Axis::Numbers { low, high, log: false },
        choices @ Axis::Choices(_) => choices,
    });
    let axes: Vec<(String, Axis)> = content
        .keys()
        .into_iter()
        .filter_map(|key| {
            let axis = axis(&key, &trials)?;
            Some((key, axis))
        })
        .take(MOST)
        .collect();
    let (Some(metric), false) = (metric, axes.is_empty()) else {
        return empty(title, "no trial with parameters has a value yet");
    };
    let mut drawing = Drawing::new(title, FULL, 340.0);
    let (left, right, top, bottom) = (58.0, FULL - 62.0, 56.0, 308.0);
    let x = |i: usize| left + (right - left) * i as f64 / axes.len() as f64;
    let y = |place: f64| bottom - (bottom - top) * place;
    for trial in &trials {
        let places = axes.iter().map(|(key, axis)| trial.params.get(key).and_then(|v| axis.place(v)));
        let places = places.chain([trial.value.and_then(|v| metric.place_number(v))]);
        let points: Vec<Option<Point>> = places.enumerate().map(|(i, p)| Some((x(i), y(p?)))).collect();
        let ink = ink(content, trial);
        let (width, strength) = if matches!(ink, Ink::Value(_)) { (1.3, 0.75) } else { (2.8, 1.0) };
        // A parameter that had no effect in a trial is a gap in its line.
        for piece in points.split(Option::is_none).filter(|piece| !piece.is_empty()) {
            let points: Vec<Point> = piece.iter().copied().flatten().collect();
            let form = if points.len() == 1 { Form::Dot(points[0], 2.5) } else { Form::Line(points, width) };
            drawing.add(Shape::new(form, ink).strength(strength).of(trial.id, content.tip(trial)));
        }
    }
    let gap = (right - left) / axes.len() as f64;
    let last = (content.state.metric(), &metric);
    for (i, (key, axis)) in axes.iter().map(|(key, axis)| (key.as_str(), axis)).chain([last]).enumerate() {
        drawing.line(vec![(x(i), top - 4.0), (x(i), bottom + 4.0)], 1.2, Ink::Muted);
        let name = if i == axes.len() { key.to_owned() } else { short(key).to_owned() };
        // Titles take turns on two lines, so that each has the room of two.
        let line = if i % 2 == 0 { 14.0 } else { 30.0 };
        drawing.add(
            Shape::new(Form::Text((x(i), line), cut(&name, 2.0 * gap - 8.0), Anchor::Middle, 12.0), Ink::Text)
                .tip(key.to_owned()),
        );
        for (place, label) in labels(axis) {
            let at = match place {
                p if p >= 1.0 => top - 8.0,
                p if p <= 0.0 => bottom + 18.0,
                p => y(p) + 4.0,
            };
            let (dx, anchor) =
                if (0.001..0.999).contains(&place) { (5.0, Anchor::Start) } else { (0.0, Anchor::Middle) };
            drawing.text((x(i) + dx, at), cut(&label, gap - 6.0), anchor, Ink::Muted);
        }
    }
    drawing
}

/// What stands along an axis, by place: its ends, and every choice when there are few.
fn labels(axis: &Axis) -> Vec<(f64, String)> {
    match axis {
        Axis::Numbers { low, high, .. } if low == high => vec![(0.5, units::number(*low))],
        Axis::Choices(names) if names.len() == 1 => vec![(0.5, names[0].clone())],
        Axis::Choices(names) if names.len() <= 6 => {
            let most = (names.len() - 1) as f64;
            names.iter().enumerate().map(|(i, name)| (i as f64 / most, name.clone())).collect()
        }
        _ => {
            let (low, high) = axis.ends();
            vec![(0.0, low), (1.0, high)]
        }
    }
}
