//! Which trial sat on which GPU or slot, and when.

use super::{FULL, empty};
use crate::base::time::seconds_between;
use crate::base::units;
use crate::report::content::Content;
use crate::report::draw::{Anchor, Drawing, Form, Ink, Scale, Shape, text_width};
use crate::state::timeline;

const ROW: f64 = 30.0;

/// Every attempt of every trial as a bar in the lane of its device.
pub fn gantt(content: &Content<'_>) -> Drawing {
    let title = "Trials on devices";
    let lanes = timeline::lanes(content.state, content.at);
    let bars = || lanes.iter().flat_map(|l| &l.bars);
    let (Some(from), Some(to)) = (bars().map(|b| b.from).min(), bars().map(|b| b.to).max()) else {
        return empty(title, "no trial was started yet");
    };
    let total = seconds_between(from, to).max(1.0);
    let mut drawing = Drawing::new(title, FULL, ROW * lanes.len() as f64 + 46.0);
    let (left, right, bottom) = (58.0, FULL - 14.0, ROW * lanes.len() as f64 + 6.0);
    let x = |seconds: f64| left + (right - left) * (seconds / total).clamp(0.0, 1.0);
    let (unit, name) = match total {
        t if t < 300.0 => (1.0, "seconds"),
        t if t < 3.0 * 3600.0 => (60.0, "minutes"),
        t if t < 4.0 * 86_400.0 => (3600.0, "hours"),
        _ => (86_400.0, "days"),
    };
    for (place, label) in Scale::new(0.0, total / unit).ticks(12) {
        let at = left + (right - left) * place;
        drawing.line(vec![(at, 4.0), (at, bottom)], 1.0, Ink::Grid);
        drawing.text((at, bottom + 16.0), label, Anchor::Middle, Ink::Muted);
    }
    let middle = (left + right) / 2.0;
    drawing.text((middle, bottom + 33.0), format!("{name} since the first trial"), Anchor::Middle, Ink::Muted);
    for (row, lane) in lanes.iter().enumerate() {
        let y = 6.0 + ROW * row as f64;
        drawing.text((left - 8.0, y + 18.0), lane.name.clone(), Anchor::End, Ink::Text);
        for bar in &lane.bars {
            let (start, end) = (x(seconds_between(from, bar.from)), x(seconds_between(from, bar.to)));
            let width = (end - start - 1.0).max(1.5);
            let lasted = units::duration(seconds_between(bar.from, bar.to));
            let value = content.state.trials.get(&bar.trial).and_then(|t| t.value);
            let value = value.map_or_else(String::new, |v| format!("\n{} {v:.4}", content.state.metric()));
            let tip = format!(
                "trial {}, attempt {}\n{} on {}, {lasted}{value}",
                bar.trial,
                bar.attempt,
                bar.status.name(),
                lane.name
            );
            let shape = Shape::new(Form::Box((start, y), width, ROW - 6.0), Ink::Status(bar.status));
            drawing.add(shape.of(bar.trial, tip.clone()));
            let label = bar.trial.0.to_string();
            if width > text_width(&label) + 6.0 {
                let at = Form::Text((start + width / 2.0, y + 16.5), label, Anchor::Middle, 11.0);
                drawing.add(Shape::new(at, Ink::OnStatus).of(bar.trial, tip));
            }
        }
    }
    drawing
}
