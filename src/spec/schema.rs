//! What a field of the spec is, and how to find one.

use serde_json::Value;

use super::schema_table::FIELDS;

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A group of fields.
    Section,
    /// Text.
    Str,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// true or false.
    Bool,
    /// A length of time: `90m`, `2h`, `1d12h`, or seconds.
    Duration,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list.
    List(Item),
}

/// The type of a list's items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item {
    /// Text.
    Str,
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Mappings whose fields are in the table under `<path>[]`.
    Entry,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field {
    /// Dotted path; `[]` marks the entries of a list.
    pub path: &'static str,
    /// Its type.
    pub kind: Kind,
    /// Its default, as JSON. A field whose default is `null` accepts `null`.
    pub default: &'static str,
    /// Smallest value, inclusive.
    pub min: Option<f64>,
    /// Largest value, inclusive.
    pub max: Option<f64>,
    /// Left out, something else decides: specs hold `null` then, and the default is what it comes to with all other defaults.
    pub open: bool,
    /// Must be set wherever its section or entry is used.
    pub required: bool,
    /// Searched by default (`true`), never searched (`false`), or neither said.
    pub automl: Option<bool>,
    /// Worth showing first.
    pub popular: bool,
    /// One sentence for people.
    pub help: &'static str,
}

impl Field {
    pub(super) const fn new(path: &'static str, kind: Kind, default: &'static str) -> Self {
        Self {
            path,
            kind,
            default,
            min: None,
            max: None,
            open: false,
            required: false,
            automl: None,
            popular: false,
            help: "",
        }
    }
    pub(super) const fn min(mut self, min: f64) -> Self {
        self.min = Some(min);
        self
    }
    pub(super) const fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }
    pub(super) const fn open(mut self) -> Self {
        self.open = true;
        self
    }
    pub(super) const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    pub(super) const fn automl(mut self, on: bool) -> Self {
        self.automl = Some(on);
        self
    }
    pub(super) const fn popular(mut self) -> Self {
        self.popular = true;
        self
    }
    pub(super) const fn help(mut self, help: &'static str) -> Self {
        self.help = help;
        self
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        serde_json::from_str(self.default).unwrap_or(Value::Null)
    }

    /// What a spec holds where nobody sets the field.
    pub fn absent_value(&self) -> Value {
        if self.open { Value::Null } else { self.default_value() }
    }

    /// The last part of the path.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }

    /// Whether `null` is a value of the field.
    pub fn nullable(&self) -> bool {
        (self.open || self.default == "null") && self.kind != Kind::Section
    }

    /// The type in words, for messages.
    pub fn expected(&self) -> String {
        let kind = match self.kind {
            Kind::Section => "a section".to_owned(),
            Kind::Str => "text".to_owned(),
            Kind::Int => "a whole number".to_owned(),
            Kind::Float => "a number".to_owned(),
            Kind::Bool => "true or false".to_owned(),
            Kind::Duration => "a length of time such as 90m, 2h or seconds".to_owned(),
            Kind::Choice(options) => format!("one of {}", options.join(", ")),
            Kind::List(Item::Str) => "a list of texts".to_owned(),
            Kind::List(Item::Int) => "a list of whole numbers".to_owned(),
            Kind::List(Item::Float) => "a list of numbers".to_owned(),
            Kind::List(Item::Entry) => "a list of mappings".to_owned(),
        };
        if self.nullable() && !self.required { format!("{kind} or null") } else { kind }
    }
}

/// The field at a table path (`dataset.train.datasets[].image_dir`).
pub fn field(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|f| f.path == path)
}

/// The field that a concrete key names: list positions stand for any entry (`dataset.train.datasets.0.image_dir`).
pub fn field_of_key(key: &str) -> Option<&'static Field> {
    field(&table_path(key))
}

/// `a.b.0.c` → `a.b[].c`.
pub fn table_path(key: &str) -> String {
    let mut path = String::new();
    for part in key.split('.') {
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            path.push_str("[]");
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(part);
        }
    }
    path
}

/// The fields directly below `section` (`""` for the root, `"a.b[]"` for list entries).
pub fn children(section: &str) -> impl Iterator<Item = &'static Field> + '_ {
    FIELDS.iter().filter(move |f| f.path.rsplit_once('.').map_or("", |(parent, _)| parent) == section)
}

/// The whole tree of what a spec holds when nothing is set.
pub fn defaults() -> Value {
    section_defaults("")
}

/// What the fields below `section` hold when nothing is set.
pub fn section_defaults(section: &str) -> Value {
    tree(section, Field::absent_value)
}

/// The defaults of the fields below `section`, as they are documented.
pub fn documented_defaults(section: &str) -> Value {
    tree(section, Field::default_value)
}

fn tree(section: &str, of: fn(&Field) -> Value) -> Value {
    let value = |f: &'static Field| match f.kind {
        Kind::Section => tree(f.path, of),
        _ => of(f),
    };
    Value::Object(children(section).map(|f| (f.name().to_owned(), value(f))).collect())
}
