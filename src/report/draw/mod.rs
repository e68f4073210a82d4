//! Drawings of plots, once for every medium: shapes whose colours have a meaning, written as SVG, where a style sheet says what
//! the meanings look like, or painted as PNG.

pub mod ink;
pub mod png;
pub mod scale;
pub mod svg;

pub use ink::Ink;
pub use scale::Scale;

use crate::base::ids::TrialId;

/// A point of a drawing: to the right, and down.
pub type Point = (f64, f64);

/// Which end of a text stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// Its beginning.
    Start,
    /// Its middle.
    Middle,
    /// Its end.
    End,
}

/// What a shape is.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A line through points, of this width.
    Line(Vec<Point>, f64),
    /// The area within points.
    Area(Vec<Point>),
    /// A dot of this radius.
    Dot(Point, f64),
    /// A cross of this radius: what was not finite, or failed.
    Cross(Point, f64),
    /// A box: corner, width and height.
    Box(Point, f64, f64),
    /// A text of this size in pixels, standing on its place.
    Text(Point, String, Anchor, f64),
}

/// A shape with its looks and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// What it is.
    pub form: Form,
    /// The meaning of its colour.
    pub ink: Ink,
    /// How much it covers what lies below, from 0 to 1.
    pub strength: f64,
    /// Whether a line is broken.
    pub dashed: bool,
    /// The trial it stands for.
    pub trial: Option<TrialId>,
    /// What a reader who points at it is told.
    pub tip: Option<String>,
}

impl Shape {
    /// A shape that stands for nothing.
    pub fn new(form: Form, ink: Ink) -> Self {
        Self { form, ink, strength: 1.0, dashed: false, trial: None, tip: None }
    }

    /// Lets what lies below shine through.
    #[must_use]
    pub fn strength(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// Breaks the line.
    #[must_use]
    pub fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }

    /// Says which trial it stands for, and what a reader is told of it.
    #[must_use]
    pub fn of(self, trial: TrialId, tip: impl Into<String>) -> Self {
        Self { trial: Some(trial), tip: Some(tip.into()), ..self }
    }

    /// Says what a reader is told of it.
    #[must_use]
    pub fn tip(self, tip: impl Into<String>) -> Self {
        Self { tip: Some(tip.into()), ..self }
    }
}

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// What it shows, in a few words.
    pub title: String,
    /// Pixels across.
    pub width: f64,
    /// Pixels down.
    pub height: f64,
    /// Its shapes, the later drawn over the earlier.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// An empty drawing.
    pub fn new(title: impl Into<String>, width: f64, height: f64) -> Self {
        Self { title: title.into(), width, height, shapes: Vec::new() }
    }

    /// Draws a shape.
    pub fn add(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    /// Draws a line.
    pub fn line(&mut self, points: Vec<Point>, width: f64, ink: Ink) {
        self.add(Shape::new(Form::Line(points, width), ink));
    }

    /// Writes a text of the usual size.
    pub fn text(&mut self, at: Point, text: impl Into<String>, anchor: Anchor, ink: Ink) {
        self.add(Shape::new(Form::Text(at, text.into(), anchor, TEXT), ink));
    }
}

/// Size of letters, in pixels.
pub const TEXT: f64 = 12.0;

/// Usual width of a letter.
const LETTER: f64 = 0.54 * TEXT;

/// A guess at the width of a text of the usual size: the medium's font decides.
pub fn text_width(text: &str) -> f64 {
    LETTER * text.chars().count() as f64
}

/// A text cut to so many pixels.
pub fn cut(text: &str, room: f64) -> String {
    let most = (room / LETTER).floor().max(1.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
