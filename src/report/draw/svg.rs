//! A drawing as SVG inside a page: colours are classes of the page's style sheet, and whatever stands for a trial carries its
//! number, so that a script can bring it out everywhere.

use super::{Anchor, Drawing, Form, Point, Shape, TEXT};
use crate::report::escape::escape;

/// Lines this thin are hard to point at: an invisible one of this width lies over them.
const REACH: f64 = 9.0;

/// The drawing as an element.
pub fn svg(drawing: &Drawing) -> String {
    let mut text = format!(
        "<svg class=\"plot\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
        drawing.width,
        drawing.height,
        escape(&drawing.title)
    );
    for shape in &drawing.shapes {
        element(shape, &mut text);
    }
    text.push_str("</svg>\n");
    text
}

fn element(shape: &Shape, text: &mut String) {
    let ink = shape.ink.name();
    let mut looks = match &shape.form {
        Form::Line(_, width) => format!(" class=\"line l-{ink}\" stroke-width=\"{}\"", round(*width)),
        Form::Cross(..) => format!(" class=\"line l-{ink}\" stroke-width=\"1.6\""),
        _ => format!(" class=\"f-{ink}\""),
    };
    if shape.strength < 1.0 {
        looks.push_str(&format!(" opacity=\"{}\"", round(shape.strength)));
    }
    if shape.dashed {
        looks.push_str(" stroke-dasharray=\"5 4\"");
    }
    let mut about = String::new();
    if let Some(trial) = shape.trial {
        about.push_str(&format!(" data-trial=\"{}\"", trial.0));
    }
    if let Some(tip) = &shape.tip {
        about.push_str(&format!(" data-tip=\"{}\"", escape(tip)));
    }
    match &shape.form {
        Form::Line(points, _) if !about.is_empty() => {
            let path = path(points);
            text.push_str(&format!(
                "<g{about}><path class=\"reach\" stroke-width=\"{REACH}\" d=\"{path}\"/><path{looks} d=\"{path}\"/></g>\n"
            ));
        }
        Form::Line(points, _) => text.push_str(&format!("<path{looks} d=\"{}\"/>\n", path(points))),
        Form::Area(points) => text.push_str(&format!("<path{looks}{about} d=\"{}Z\"/>\n", path(points))),
        Form::Dot((x, y), radius) => {
            text.push_str(&format!(
                "<circle{looks}{about} cx=\"{}\" cy=\"{}\" r=\"{}\"/>\n",
                round(*x),
                round(*y),
                round(*radius)
            ));
        }
        Form::Cross(at, radius) => text.push_str(&format!("<path{looks}{about} d=\"{}\"/>\n", cross(*at, *radius))),
        Form::Box((x, y), width, height) => text.push_str(&format!(
            "<rect{looks}{about} x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"2\"/>\n",
            round(*x),
            round(*y),
            round(*width),
            round(*height)
        )),
        Form::Text((x, y), words, anchor, size) => {
            let end = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let size = if *size == TEXT { String::new() } else { format!(" font-size=\"{}\"", round(*size)) };
            text.push_str(&format!(
                "<text{looks}{about} x=\"{}\" y=\"{}\"{end}{size}>{}</text>\n",
                round(*x),
                round(*y),
                escape(words)
            ));
        }
    }
}

/// Tenths of a pixel: enough for the eye, and short.
fn round(value: f64) -> f64 {
    (10.0 * value).round() / 10.0 + 0.0
}

fn path(points: &[Point]) -> String {
    let mut text = String::with_capacity(12 * points.len());
    for (i, (x, y)) in points.iter().enumerate() {
        text.push_str(&format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, round(*x), round(*y)));
    }
    text
}

fn cross((x, y): Point, radius: f64) -> String {
    let stroke = |from: Point, to: Point| path(&[from, to]);
    stroke((x - radius, y - radius), (x + radius, y + radius))
        + &stroke((x - radius, y + radius), (x + radius, y - radius))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::TrialId;
    use crate::report::draw::Ink;

    #[test]
    fn svg_escapes_what_others_wrote_and_names_trials() {
        let mut drawing = Drawing::new("<b>", 10.0, 10.0);
        drawing.text((1.0, 2.0), "a & <script>", Anchor::End, Ink::Text);
        let line = Form::Line(vec![(0.0, 0.04), (1.26, -3.0)], 1.0);
        drawing.add(Shape::new(line, Ink::Best).of(TrialId(7), "\"><img onerror=x>"));
        let text = svg(&drawing);
        assert!(text.contains("aria-label=\"&lt;b&gt;\"") && text.contains("a &amp; &lt;script&gt;"), "{text}");
        assert!(text.contains("data-trial=\"7\" data-tip=\"&quot;&gt;&lt;img onerror=x&gt;\""), "{text}");
        assert!(text.contains("d=\"M0 0L1.3 -3\""), "{text}");
        assert!(!text.contains("<script") && !text.contains("<img"));
    }
}
