//! A drawing painted as PNG on white, with a font of its own, so that the same study gives the same bytes on every machine.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect, Stroke, StrokeDash, Transform,
};
use ttf_parser::{Face, OutlineBuilder};

use super::{Anchor, Drawing, Form, Point, Shape};

/// Latin, Greek, digits, arrows: `FONT.md`.
const FONT: &[u8] = include_bytes!("sans.ttf");

/// Pixels of the image for one of the drawing.
const SCALE: f64 = 2.0;

/// The drawing as a PNG file, its title above it.
///
/// # Errors
/// When the drawing is empty or too large to be painted.
pub fn png(drawing: &Drawing) -> std::io::Result<Vec<u8>> {
    const TITLE: f64 = 34.0;
    let failed = |why: &str| std::io::Error::other(format!("plot {:?}: {why}", drawing.title));
    let size = |pixels: f64| (SCALE * pixels).ceil().clamp(0.0, 16_384.0) as u32;
    let mut image = Pixmap::new(size(drawing.width), size(drawing.height + TITLE)).ok_or_else(|| failed("no size"))?;
    image.fill(Color::WHITE);
    let face = Face::parse(FONT, 0).map_err(|e| failed(&e.to_string()))?;
    let at = Form::Text((12.0, 22.0), drawing.title.clone(), Anchor::Start, 15.0);
    let mut canvas = Canvas { image: &mut image, face: &face, down: 0.0 };
    canvas.paint(&Shape::new(at, super::Ink::Text));
    canvas.down = TITLE;
    drawing.shapes.iter().for_each(|shape| canvas.paint(shape));
    image.encode_png().map_err(|e| failed(&e.to_string()))
}

struct Canvas<'a> {
    image: &'a mut Pixmap,
    face: &'a Face<'a>,
    /// How far below its place everything is drawn.
    down: f64,
}

impl Canvas<'_> {
    fn paint(&mut self, shape: &Shape) {
        let [r, g, b] = shape.ink.light();
        let mut paint = Paint::default();
        paint.set_color_rgba8(r, g, b, (255.0 * shape.strength.clamp(0.0, 1.0)).round() as u8);
        let scale = SCALE as f32;
        let onto = Transform::from_scale(scale, scale).pre_translate(0.0, self.down as f32);
        let stroke = |image: &mut Pixmap, path: Option<Path>, width: f64| {
            let dash = shape.dashed.then(|| StrokeDash::new(vec![5.0, 4.0], 0.0)).flatten();
            let stroke = Stroke {
                width: width as f32,
                line_cap: if shape.dashed { LineCap::Butt } else { LineCap::Round },
                line_join: LineJoin::Round,
                dash,
                ..Stroke::default()
            };
            if let Some(path) = path {
                image.stroke_path(&path, &paint, &stroke, onto, None);
            }
        };
        match &shape.form {
            Form::Line(points, width) => stroke(self.image, path(points, false), *width),
            Form::Cross((x, y), r) => {
                stroke(self.image, path(&[(x - r, y - r), (x + r, y + r)], false), 1.6);
                stroke(self.image, path(&[(x - r, y + r), (x + r, y - r)], false), 1.6);
            }
            Form::Area(points) => self.fill(path(points, true), &paint, onto),
            Form::Dot((x, y), r) => {
                self.fill(PathBuilder::from_circle(*x as f32, *y as f32, *r as f32), &paint, onto);
            }
            Form::Box((x, y), width, height) => {
                let area = Rect::from_xywh(*x as f32, *y as f32, width.max(0.1) as f32, height.max(0.1) as f32);
                self.fill(area.map(PathBuilder::from_rect), &paint, onto);
            }
            Form::Text(at, text, anchor, size) => {
                let letters = Letters::set(self.face, text, *size);
                let left = match anchor {
                    Anchor::Start => at.0,
                    Anchor::Middle => at.0 - letters.width / 2.0,
                    Anchor::End => at.0 - letters.width,
                };
                self.fill(letters.path, &paint, onto.pre_translate(left as f32, at.1 as f32));
            }
        }
    }

    fn fill(&mut self, path: Option<Path>, paint: &Paint<'_>, onto: Transform) {
        if let Some(path) = path {
            self.image.fill_path(&path, paint, FillRule::Winding, onto, None);
        }
    }
}

fn path(points: &[Point], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (i, (x, y)) in points.iter().enumerate() {
        match i {
            0 => builder.move_to(*x as f32, *y as f32),
            _ => builder.line_to(*x as f32, *y as f32),
        }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// A text as outlines from its beginning on its line.
struct Letters {
    path: Option<Path>,
    width: f64,
}

impl Letters {
    fn set(face: &Face<'_>, text: &str, size: f64) -> Self {
        let scale = size / f64::from(face.units_per_em().max(1));
        let mut pen = Pen { builder: PathBuilder::new(), scale: scale as f32, left: 0.0 };
        let mut width = 0.0;
        for letter in text.chars().filter(|c| !c.is_control()) {
            // What the font does not have is a box.
            let glyph = face.glyph_index(letter).or_else(|| face.glyph_index('□')).unwrap_or_default();
            pen.left = width as f32;
            face.outline_glyph(glyph, &mut pen);
            width += scale * f64::from(face.glyph_hor_advance(glyph).unwrap_or(0));
        }
        Self { path: pen.builder.finish(), width }
    }
}

struct Pen {
    builder: PathBuilder,
    scale: f32,
    left: f32,
}

impl Pen {
    /// Fonts count upwards, images downwards.
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        (self.left + self.scale * x, -self.scale * y)
    }
}

impl OutlineBuilder for Pen {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }
    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }
    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }
    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }
    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::draw::Ink;

    #[test]
    fn png_paints_each_shape_where_it_stands() {
        let mut drawing = Drawing::new("", 40.0, 20.0);
        drawing.add(Shape::new(Form::Box((0.0, 0.0), 10.0, 20.0), Ink::Best));
        drawing.line(vec![(10.0, 10.0), (40.0, 10.0)], 4.0, Ink::Baseline);
        let image = Pixmap::decode_png(&png(&drawing).unwrap()).unwrap();
        assert_eq!((image.width(), image.height()), (80, 108));
        let pixel = |x: u32, y: u32| {
            let p = image.pixel(x, y).unwrap();
            [p.red(), p.green(), p.blue()]
        };
        assert_eq!(pixel(5, 80), Ink::Best.light());
        assert_eq!(pixel(60, 68 + 20), Ink::Baseline.light());
        assert_eq!(pixel(60, 68 + 35), [255; 3]);
    }

    #[test]
    fn letters_of_the_font_have_outlines_and_others_a_box() {
        let face = Face::parse(FONT, 0).unwrap();
        for letter in "val/t2i_mAP 0.73 ±×–…★→αμé".chars().filter(|c| *c != ' ') {
            assert!(face.glyph_index(letter).is_some(), "{letter}");
        }
        let widths: Vec<f64> = ["", "i", "W", "語"].map(|t| Letters::set(&face, t, 12.0).width).into();
        assert!(widths[0] == 0.0 && widths[1] < widths[2] && widths[3] > 0.0, "{widths:?}");
    }
}
