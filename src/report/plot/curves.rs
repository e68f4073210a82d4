//! Learning curves: the metric and the training loss of every trial by epoch.

use super::{Entry, Frame, HALF, empty, ink, legend};
use crate::journal::event::Metrics;
use crate::report::content::Content;
use crate::report::draw::{Drawing, Form, Ink, Point, Scale, Shape};
use crate::state::TrialState;

/// More curves than this only make a plot grey: the best of them are drawn.
const MOST: usize = 200;
/// Of a long curve so many points are drawn, its last among them.
const POINTS: usize = 160;

/// A trial's numbers by epoch; `NaN` where it was not finite.
type Curve = Vec<(f64, f64)>;

/// The metric by epoch, with the 95 % interval of the best trial.
pub fn metric(content: &Content<'_>) -> Drawing {
    let of = |t: &TrialState| {
        let value = |metrics: &Metrics| metrics.get(content.state.metric()).copied().flatten();
        t.curve.iter().map(|(epoch, metrics)| (f64::from(*epoch), value(metrics).unwrap_or(f64::NAN))).collect()
    };
    draw(content, &format!("{} by epoch", content.state.metric()), &of, true)
}

/// The mean training loss by epoch.
pub fn losses(content: &Content<'_>) -> Drawing {
    let of = |t: &TrialState| t.losses.iter().map(|s| (f64::from(s.epoch), s.loss.unwrap_or(f64::NAN))).collect();
    draw(content, "Training loss by epoch", &of, false)
}

fn draw(content: &Content<'_>, title: &str, curve: &dyn Fn(&TrialState) -> Curve, with_band: bool) -> Drawing {
    let trials = chosen(content);
    let curves: Vec<(&TrialState, Curve)> =
        trials.into_iter().map(|t| (t, thin(curve(t)))).filter(|(_, c)| !c.is_empty()).collect();
    let numbers = || curves.iter().flat_map(|(_, c)| c.iter());
    let last = numbers().map(|p| p.0).fold(1.0, f64::max);
    // Values are compared with each other, losses with themselves.
    let values = numbers().map(|p| p.1);
    let ends = content.best().into_iter().flat_map(|t| t.intervals.values()).flat_map(|i| [i.low, i.high]);
    let scale = if with_band { Scale::around(values.chain(ends)) } else { Scale::wide(values) };
    let Some(y) = scale else { return empty(title, "nothing was measured yet") };
    let mut drawing = Drawing::new(title, HALF, 300.0);
    let first = numbers().map(|p| p.0).fold(last, f64::min);
    let frame = Frame::within(&drawing, Scale::new(first, last), y);
    frame.draw(&mut drawing, "epoch", 7);
    if let (true, Some(best)) = (with_band, content.best()) {
        band(&frame, best, &mut drawing);
    }
    for (trial, curve) in &curves {
        let ink = ink(content, trial);
        let (width, strength) = if matches!(ink, Ink::Value(_)) { (1.3, 0.9) } else { (2.6, 1.0) };
        for piece in curve.split(|p| !p.1.is_finite()).filter(|piece| !piece.is_empty()) {
            let points: Vec<Point> = piece.iter().map(|(x, y)| frame.at(*x, *y)).collect();
            let form = if points.len() == 1 { Form::Dot(points[0], 2.5) } else { Form::Line(points, width) };
            drawing.add(Shape::new(form, ink).strength(strength).of(trial.id, content.tip(trial)));
        }
        for (epoch, _) in curve.iter().filter(|p| !p.1.is_finite()) {
            let place = (frame.at(*epoch, 1.0).0, frame.bottom() - 5.0);
            let tip = format!("trial {}: not finite at epoch {epoch}", trial.id);
            drawing.add(Shape::new(Form::Cross(place, 3.5), Ink::Status(trial.state)).of(trial.id, tip));
        }
    }
    legend(&mut drawing, &entries(content));
    drawing
}

/// The trials that are drawn: worst first, the best and the baseline last; trials without a value too, as they have curves.
fn chosen<'a>(content: &Content<'a>) -> Vec<&'a TrialState> {
    let mut trials: Vec<&TrialState> = content.state.trials.values().collect();
    trials.sort_by(|a, b| content.standing(a.id).total_cmp(&content.standing(b.id)));
    trials.drain(..trials.len().saturating_sub(MOST));
    let special = [content.baseline(), content.best()].into_iter().flatten();
    for trial in special {
        trials.retain(|t| t.id != trial.id);
        trials.push(trial);
    }
    trials
}

fn thin(curve: Curve) -> Curve {
    let every = curve.len().div_ceil(POINTS).max(1);
    let last = curve.len().saturating_sub(1);
    curve.into_iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last).map(|(_, p)| p).collect()
}

fn band(frame: &Frame, best: &TrialState, drawing: &mut Drawing) {
    let ends = best.intervals.iter().map(|(epoch, i)| (f64::from(*epoch), i.low, i.high));
    let ends: Vec<(f64, f64, f64)> = ends.filter(|e| e.1.is_finite() && e.2.is_finite()).collect();
    if ends.len() < 2 {
        return;
    }
    let clip = |(x, y): Point| (x, y.clamp(frame.top, frame.bottom()));
    let upper = ends.iter().map(|(x, _, high)| clip(frame.at(*x, *high)));
    let lower = ends.iter().rev().map(|(x, low, _)| clip(frame.at(*x, *low)));
    let area = Form::Area(upper.chain(lower).collect());
    drawing.add(Shape::new(area, Ink::Best).strength(0.14).tip("95 % interval of the best trial"));
}

fn entries(content: &Content<'_>) -> Vec<Entry> {
    let best = content.best().map(|t| (Ink::Best, false, format!("best ({})", t.id)));
    let baseline = content.baseline().filter(|t| content.best().map(|b| b.id) != Some(t.id));
    let baseline = baseline.map(|_| (Ink::Baseline, false, "baseline".to_owned()));
    let others = (Ink::Value(0.5), false, "others, the better the stronger".to_owned());
    best.into_iter().chain(baseline).chain([others]).collect()
}
