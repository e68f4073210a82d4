//! The value of every trial in the order in which they ended, and the best so far as stairs.

use super::{Entry, Frame, HALF, empty, legend};
use crate::report::content::Content;
use crate::report::draw::{Drawing, Form, Ink, Scale, Shape};
use crate::state::timeline;

/// How the best value rose from trial to trial.
pub fn best_so_far(content: &Content<'_>) -> Drawing {
    let state = content.state;
    let title = format!("Best {} so far", state.metric());
    let steps = timeline::best_so_far(state);
    let baseline = state.baseline().and_then(|t| t.value);
    let untrained = state.pretrained();
    let shown = steps.iter().map(|s| s.value).chain(baseline).chain(untrained);
    let (Some(y), false) = (Scale::around(shown), steps.is_empty()) else {
        return empty(&title, "no trial has ended with a value yet");
    };
    let mut drawing = Drawing::new(title, HALF, 300.0);
    let frame = Frame::within(&drawing, Scale::new(0.5, steps.len() as f64 + 0.5), y);
    frame.draw(&mut drawing, "trials that ended", 8.min(steps.len()));
    let mut entries: Vec<Entry> = vec![(Ink::Best, false, "best so far".to_owned())];
    for (value, ink, name) in [(baseline, Ink::Baseline, "baseline"), (untrained, Ink::Other, "before training")] {
        if let Some(value) = value {
            let ends = vec![frame.at(0.5, value), frame.at(steps.len() as f64 + 0.5, value)];
            let tip = format!("{name}: {value:.4}");
            drawing.add(Shape::new(Form::Line(ends, 1.5), ink).dashed().tip(tip));
            entries.push((ink, true, format!("{name} {value:.4}")));
        }
    }
    let mut stairs = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let x = (i + 1) as f64;
        if let Some((_, y)) = stairs.last().copied() {
            stairs.push((frame.at(x, step.best).0, y));
        }
        stairs.push(frame.at(x, step.best));
    }
    stairs.push((frame.left + frame.width, stairs[stairs.len() - 1].1));
    drawing.line(stairs, 2.5, Ink::Best);
    let radius = if steps.len() > 150 { 2.0 } else { 4.0 };
    for (i, step) in steps.iter().enumerate() {
        let Some(trial) = state.trials.get(&step.trial) else { continue };
        let dot = Form::Dot(frame.at((i + 1) as f64, step.value), radius);
        drawing.add(Shape::new(dot, Ink::Status(trial.state)).of(trial.id, content.tip(trial)));
    }
    legend(&mut drawing, &entries);
    drawing
}
