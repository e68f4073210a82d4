//! A parameter in one line: `log(1e-7, 1e-3, good=1e-5)`. In a space file, and as `automl.space.KEY=…` on the command line.

use serde_json::Value;

use crate::base::yaml::{At, Entry, Kind, Node, Source};

/// What can be written, for help: the form, and what it is.
pub const FORMS: [(&str, &str); 11] = [
    ("log(low, high)", "a number, drawn by ratio"),
    ("uniform(low, high)", "a number; step=… for a grid"),
    ("int(low, high)", "a whole number; step=… for a grid"),
    ("logint(low, high)", "a whole number, drawn by ratio"),
    ("pow2(low, high)", "a power of two"),
    ("choice(a, b, …)", "one of these, without an order"),
    ("ordinal(1, 2, …)", "one of these numbers, in their order"),
    ("bool()", "false or true"),
    ("constant(value)", "always this value"),
    ("ratio(key, low, high)", "a factor of another parameter's value"),
    ("share(key, total)", "a total divided by another parameter's value"),
];

/// The fields of a space file that say the same as `text`; `at` is where they are said to stand.
///
/// # Errors
/// What cannot be understood, in words.
pub(super) fn fields(text: &str, at: At) -> Result<Vec<Entry>, String> {
    let (name, rest) = text.trim().split_once('(').unwrap_or((text.trim(), ")"));
    let inner = rest.trim_end().strip_suffix(')').ok_or_else(|| format!("`{text}` has no closing parenthesis"))?;
    let arguments: Vec<&str> = inner.split(',').map(str::trim).filter(|a| !a.is_empty()).collect();
    let named = |argument: &&&str| argument.split_once('=').is_some_and(|(key, _)| NAMED.contains(&key.trim()));
    let plain: Vec<&str> = arguments.iter().filter(|a| !named(a)).copied().collect();
    let (kind, slots): (&str, &[&str]) = match name.trim() {
        "log" | "uniform" | "float" => ("float", &["low", "high"]),
        "int" | "logint" | "pow2" => ("int", &["low", "high"]),
        "choice" => ("categorical", &[]),
        "ordinal" => ("ordinal", &[]),
        "bool" => ("bool", &[]),
        "constant" => ("constant", &["value"]),
        "ratio" => ("ratio", &["of", "low", "high"]),
        "share" => ("share", &["of", "total"]),
        _ => return Err(format!("`{text}` is none of {}", FORMS.map(|(form, _)| form).join(", "))),
    };
    let entry = |key: &str, kind: Kind| Entry { key: key.to_owned(), at, value: Node { at, kind } };
    let mut entries = vec![entry("type", Kind::Scalar(kind.into()))];
    match kind {
        "categorical" | "ordinal" => {
            let choices = plain.iter().map(|a| value(a, at)).collect::<Result<_, _>>()?;
            entries.push(entry("choices", Kind::List(choices)));
        }
        _ if plain.len() == slots.len() => {
            for (slot, argument) in slots.iter().zip(&plain) {
                entries.push(Entry { key: (*slot).to_owned(), at, value: value(argument, at)? });
            }
        }
        _ => {
            return Err(format!(
                "`{text}`: {name} takes {}",
                if slots.is_empty() { "nothing".to_owned() } else { slots.join(", ") }
            ));
        }
    }
    match name.trim() {
        "log" | "logint" => entries.push(entry("log", Kind::Scalar(true.into()))),
        "pow2" => entries.push(entry("power", Kind::Scalar(2.into()))),
        _ => {}
    }
    for argument in arguments.iter().filter(named) {
        let (key, text) = argument.split_once('=').unwrap_or((*argument, ""));
        entries.push(Entry { key: key.trim().to_owned(), at, value: value(text.trim(), at)? });
    }
    Ok(entries)
}

/// What may follow by name.
const NAMED: [&str; 4] = ["step", "default", "good", "confidence"];

fn value(text: &str, at: At) -> Result<Node, String> {
    let node = Source { name: "", text }.read().map_err(|e| format!("`{text}`: {}", e.what))?;
    match node.kind {
        Kind::Scalar(_) => Ok(Node { at, kind: node.kind }),
        _ => Err(format!("`{text}` is not a value")),
    }
}

/// Whether a line takes the parameter out of the space.
pub(super) fn is_off(node: &Node) -> bool {
    matches!(&node.kind, Kind::Scalar(Value::Bool(false)))
        || matches!(&node.kind, Kind::Scalar(Value::String(s)) if s == "off")
}
