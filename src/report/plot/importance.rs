//! How much each parameter matters, as bars with the spread between the trees.

use super::{HALF, empty};
use crate::report::content::Content;
use crate::report::draw::{Anchor, Drawing, Form, Ink, Shape, cut};
use crate::report::importance::trend;
use crate::report::leaderboard::short;
use crate::search::importance::ENOUGH;

/// More parameters than this are left out: they matter least.
const MOST: usize = 16;
const ROW: f64 = 25.0;

/// The share of the metric's variance that each parameter explains.
pub fn importance(content: &Content<'_>) -> Drawing {
    let title = format!("Importance: share of the variance of {}", content.state.metric());
    let list = &content.importance[..content.importance.len().min(MOST)];
    if list.is_empty() {
        return empty(&title, &format!("{ENOUGH} trials with different values are needed"));
    }
    let height = (ROW * list.len() as f64 + 44.0).max(150.0);
    let mut drawing = Drawing::new(title, HALF, height);
    let (left, right) = (148.0, HALF - 62.0);
    let most = list.iter().map(|i| i.share + i.spread).fold(0.05, f64::max).min(1.0);
    let x = |share: f64| left + (right - left) * (share / most).clamp(0.0, 1.0);
    for (row, item) in list.iter().enumerate() {
        let y = 12.0 + ROW * row as f64;
        drawing.text((left - 8.0, y + 14.0), cut(short(&item.key), left - 12.0), Anchor::End, Ink::Text);
        let tip = format!(
            "{}\n{:.1} % ± {:.1} % of the variance\nactive in {} trials\n{}",
            item.key,
            100.0 * item.share,
            100.0 * item.spread,
            item.trials,
            match trend(item.trend) {
                "" => String::new(),
                how => format!("{} {how}", content.state.metric()),
            }
        );
        let bar = Form::Box((left, y + 3.0), (x(item.share) - left).max(1.0), ROW - 10.0);
        drawing.add(Shape::new(bar, Ink::Best).tip(tip.trim_end()));
        let middle = y + 3.0 + (ROW - 10.0) / 2.0;
        let ends = vec![(x(item.share - item.spread), middle), (x(item.share + item.spread), middle)];
        drawing.line(ends, 1.5, Ink::Text);
        let arrow = match item.trend {
            Some(t) if t > 0.3 => " ↑",
            Some(t) if t < -0.3 => " ↓",
            _ => "",
        };
        let percent = format!("{:.0} %{arrow}", 100.0 * item.share);
        drawing.text((x(item.share + item.spread) + 7.0, y + 14.0), percent, Anchor::Start, Ink::Muted);
    }
    let rest = (1.0 - content.importance.iter().map(|i| i.share).sum::<f64>()).max(0.0);
    let note = format!("the remaining {:.0} % is what parameters do together", 100.0 * rest);
    drawing.text((left, height - 14.0), note, Anchor::Start, Ink::Muted);
    drawing
}
