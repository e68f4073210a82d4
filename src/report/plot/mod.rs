//! The plots of a report, one file each. Pure: content in, drawing out.

mod best;
mod curves;
mod gantt;
mod importance;
mod parallel;
mod slices;

pub use best::best_so_far;
pub use curves::{losses, metric};
pub use gantt::gantt;
pub use importance::importance;
pub use parallel::{MOST as PARALLEL_AXES, parallel};
pub use slices::slices;

use super::content::Content;
use super::draw::{Anchor, Drawing, Form, Ink, Point, Scale, Shape, cut, text_width};
use crate::state::TrialState;
use crate::state::axis::Axis;

/// Width of a plot that shares its row with another.
pub const HALF: f64 = 480.0;
/// Width of a plot that has a row of its own.
pub const FULL: f64 = 980.0;

/// The area of a plot within its drawing, with a scale along each side.
#[derive(Clone, Debug)]
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Scale,
    y: Scale,
}

impl Frame {
    /// The frame of a drawing of this size, with room for a legend above, numbers to the left and below.
    fn within(drawing: &Drawing, x: Scale, y: Scale) -> Self {
        let (left, top) = (52.0, 30.0);
        Self { left, top, width: drawing.width - left - 12.0, height: drawing.height - top - 40.0, x, y }
    }

    fn at(&self, x: f64, y: f64) -> Point {
        (self.left + self.width * self.x.place(x), self.top + self.height * (1.0 - self.y.place(y)))
    }

    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    /// Grid and numbers; `title` says what is counted along the bottom.
    fn draw(&self, drawing: &mut Drawing, title: &str, ticks: usize) {
        for (place, label) in self.y.ticks(5) {
            let y = self.top + self.height * (1.0 - place);
            drawing.line(vec![(self.left, y), (self.left + self.width, y)], 1.0, Ink::Grid);
            drawing.text((self.left - 7.0, y + 4.0), label, Anchor::End, Ink::Muted);
        }
        for (place, label) in self.x.whole_ticks(ticks) {
            let x = self.left + self.width * place;
            drawing.text((x, self.bottom() + 16.0), label, Anchor::Middle, Ink::Muted);
        }
        drawing.line(vec![(self.left, self.bottom()), (self.left + self.width, self.bottom())], 1.0, Ink::Muted);
        let middle = self.left + self.width / 2.0;
        drawing.text((middle, self.bottom() + 34.0), title, Anchor::Middle, Ink::Muted);
    }
}

/// One thing that a plot shows: its colour, whether its line is broken, its name.
type Entry = (Ink, bool, String);

/// What colours and lines stand for, above a plot.
fn legend(drawing: &mut Drawing, entries: &[Entry]) {
    let mut x = 10.0;
    for (ink, dashed, name) in entries {
        let name = cut(name, drawing.width - x - 22.0);
        let line = Shape::new(Form::Line(vec![(x, 11.0), (x + 16.0, 11.0)], 2.5), *ink);
        drawing.add(if *dashed { line.dashed() } else { line });
        drawing.text((x + 21.0, 15.0), name.clone(), Anchor::Start, Ink::Muted);
        x += 21.0 + text_width(&name) + 12.0;
        if x > drawing.width - 60.0 {
            break;
        }
    }
}

/// Whether a plot shows a trial as one of the two that matter, and how.
fn ink(content: &Content<'_>, trial: &TrialState) -> Ink {
    match () {
        () if content.best().map(|t| t.id) == Some(trial.id) => Ink::Best,
        () if content.baseline().map(|t| t.id) == Some(trial.id) => Ink::Baseline,
        () => Ink::Value(0.85 * content.standing(trial.id)),
    }
}

/// The axis of a parameter over some trials; those in which it is `null` have no place on it.
fn axis(key: &str, trials: &[&TrialState]) -> Option<Axis> {
    Axis::of(trials.iter().filter_map(|t| t.params.get(key)).filter(|v| !v.is_null()))
}

/// A drawing with nothing but the reason for that.
fn empty(title: &str, why: &str) -> Drawing {
    let mut drawing = Drawing::new(title, HALF, 120.0);
    drawing.text((HALF / 2.0, 64.0), why, Anchor::Middle, Ink::Muted);
    drawing
}

/// Every plot of a study, with its file name.
pub fn all(content: &Content<'_>) -> Vec<(String, Drawing)> {
    let named = |name: &str, drawing| (name.to_owned(), drawing);
    let mut list = vec![
        named("best_so_far", best_so_far(content)),
        named("curves", metric(content)),
        named("loss", losses(content)),
        named("importance", importance(content)),
        named("parallel", parallel(content)),
        named("gantt", gantt(content)),
    ];
    let slices = slices(content).into_iter();
    list.extend(slices.map(|(key, drawing)| (format!("slice_{}", key.replace(['/', '\\'], "_")), drawing)));
    list
}
