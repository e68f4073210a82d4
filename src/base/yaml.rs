//! YAML as a tree that remembers where each piece stands, so that a problem can point at it.
//!
//! Nesting is bounded and there are no aliases: a spec is untrusted input and cannot blow up.

use std::path::PathBuf;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::Value;

use super::diagnostic::{Location, Problem};

/// Deepest nesting that is read.
pub const MAX_DEPTH: usize = 64;

/// A place in the text: line from 1, column from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct At {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

/// A piece of YAML.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub at: At,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of pieces.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value.
    Scalar(Value),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the text; keys may repeat.
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: At,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The tree as plain JSON.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => Value::Object(entries.iter().map(|e| (e.key.clone(), e.value.to_json())).collect()),
        }
    }
}

/// The text with its name, for problems that point into it.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// Its file, or another name.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
}

impl Source<'_> {
    /// A problem at a place of the text.
    pub fn problem(&self, at: At, what: impl Into<String>, help: impl Into<String>) -> Problem {
        let snippet = at.line.checked_sub(1).and_then(|i| self.text.lines().nth(i));
        // A terminal is shown neither control characters of an untrusted file nor lines without end.
        let snippet = snippet.filter(|line| line.chars().count() <= 200);
        let snippet = snippet.map(|line| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect());
        let at = Location { file: PathBuf::from(self.name), line: at.line.max(1), column: at.column.max(1) };
        Problem::new(what).help(help).at(at, snippet)
    }

    /// The first document of the text.
    ///
    /// # Errors
    /// Text that is not YAML, keys that are not text, aliases, nesting beyond [`MAX_DEPTH`].
    pub fn read(&self) -> Result<Node, Problem> {
        let mut events = Events { parser: Parser::new_from_str(self.text), source: *self };
        loop {
            let (event, span) = events.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
                Event::StreamEnd | Event::DocumentEnd => {
                    return Ok(Node { at: place(&span), kind: Kind::Scalar(Value::Null) });
                }
                other => {
                    let root = events.node(other, &span, 0)?;
                    events.end()?;
                    return Ok(root);
                }
            }
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    source: Source<'a>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.parser.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(e)) => {
                let at = At { line: e.marker().line(), column: e.marker().col() + 1 };
                Err(self.source.problem(
                    at,
                    format!("not valid YAML: {}", e.info()),
                    "look at the indentation and quotes",
                ))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// Reads on to the end, so that what follows the first document is seen as well.
    fn end(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) => {
                    let help = "keep one document in a file";
                    return Err(self.source.problem(place(&span), "a second document begins here", help));
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Problem> {
        let at = place(span);
        if depth > MAX_DEPTH {
            return Err(self.source.problem(at, "nested too deeply", "a spec needs a handful of levels"));
        }
        let kind = match event {
            Event::Scalar(text, style, ..) => Kind::Scalar(scalar(&text, style)),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Kind::List(items),
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    let (event, span) = self.next()?;
                    let key = match event {
                        Event::MappingEnd => break Kind::Map(entries),
                        Event::Scalar(text, ..) => text.into_owned(),
                        _ => return Err(self.source.problem(place(&span), "a key must be text", "write key: value")),
                    };
                    let (event, value_span) = self.next()?;
                    entries.push(Entry { key, at: place(&span), value: self.node(event, &value_span, depth + 1)? });
                }
            }
            _ => return Err(self.source.problem(at, "anchors and aliases are not used here", "write the value out")),
        };
        Ok(Node { at, kind })
    }
}

fn place(span: &Span) -> At {
    At { line: span.start.line(), column: span.start.col() + 1 }
}

/// A scalar by the core schema of YAML 1.2; `1e-4` is a number.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::from(text);
    }
    match text {
        "" | "~" | "null" => return Value::Null,
        "true" | "True" => return Value::Bool(true),
        "false" | "False" => return Value::Bool(false),
        _ => {}
    }
    if let Ok(int) = text.parse::<i64>() {
        return Value::from(int);
    }
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    match text.parse::<f64>() {
        Ok(float) if numeric && float.is_finite() => Value::from(float),
        _ => Value::from(text),
    }
}
