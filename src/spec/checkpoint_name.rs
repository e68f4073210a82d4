//! The names of the k best checkpoints: `train.checkpointer.filename`, a pattern such as `model_best_{epoch:03d}` with
//! Python's notation, as the reference takes it.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A pattern that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field { name: String, format: Format, named: bool },
}

/// How a number is written: zero-padded to a width, with so many digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Format {
    width: usize,
    digits: Option<usize>,
}

impl Pattern {
    /// Reads a pattern of text, `{epoch}`, `{step}` and `{METRIC}`, the last three perhaps with a format (`03d`, `.4f`). With
    /// `named`, each is preceded by its name (`epoch=003`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, named: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let close = rest[open..].find('}').ok_or_else(|| "a { has no }".to_owned())? + open;
            parts.push(Part::Text(rest[..open].to_owned()));
            let (name, format) = rest[open + 1..close].split_once(':').unwrap_or((&rest[open + 1..close], ""));
            if name.is_empty() {
                return Err("{} names nothing".to_owned());
            }
            parts.push(Part::Field { name: name.to_owned(), format: Format::parse(format)?, named });
            rest = &rest[close + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        let wrong = |t: &str| t.contains(['/', '\\', '\0', '}']);
        if parts.iter().any(|p| matches!(p, Part::Text(t) if wrong(t))) {
            return Err("it must be a plain name, without / and without a lone }".to_owned());
        }
        let fixed = parts.iter().find_map(|p| match p {
            Part::Text(t) => (!t.is_empty()).then_some(t.as_str()),
            Part::Field { .. } => Some("x"),
        });
        let taken = |t: &str| ["epoch_", "step_", "."].iter().any(|start| t.starts_with(start));
        if fixed.is_none_or(taken) || matches!(text, "best" | "last") {
            return Err("it must not be best or last, nor begin with a dot, epoch_ or step_".to_owned());
        }
        Ok(Self(parts))
    }

    /// The metrics that the pattern names.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|p| match p {
            Part::Field { name, .. } if !matches!(name.as_str(), "epoch" | "step") => Some(name.as_str()),
            _ => None,
        })
    }

    /// The name of a checkpoint; a slash in a metric's name becomes an underscore, a metric that is not finite `nan`.
    pub fn name(&self, epoch: u32, step: u64, metrics: &BTreeMap<String, Option<f64>>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field { name, format, named } => {
                    if *named {
                        let _ = write!(out, "{}=", name.replace('/', "_"));
                    }
                    out.push_str(&match name.as_str() {
                        "epoch" => format.write(f64::from(epoch), 0),
                        "step" => format.write(step as f64, 0),
                        metric => format.write(metrics.get(metric).copied().flatten().unwrap_or(f64::NAN), 4),
                    });
                }
            }
        }
        out
    }
}

impl Format {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("the format {text:?} is not like 03d or .4f");
        let number = |t: &str| if t.is_empty() { Ok(0) } else { t.parse::<u8>().map(usize::from).map_err(|_| wrong()) };
        if text.is_empty() {
            return Ok(Self { width: 0, digits: None });
        }
        if let Some(width) = text.strip_suffix('d') {
            return Ok(Self { width: number(width)?, digits: Some(0) });
        }
        let (width, digits) = text.strip_suffix('f').and_then(|t| t.split_once('.')).ok_or_else(wrong)?;
        Ok(Self { width: number(width)?, digits: Some(number(digits)?) })
    }

    fn write(self, value: f64, digits: usize) -> String {
        if value.is_nan() {
            return "nan".to_owned();
        }
        format!("{value:0width$.digits$}", width = self.width, digits = self.digits.unwrap_or(digits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(pattern: &str, named: bool) -> Result<String, String> {
        let metrics = BTreeMap::from([("val/t2i_mAP".to_owned(), Some(0.123_456))]);
        Pattern::parse(pattern, named).map(|p| p.name(7, 1234, &metrics))
    }

    #[test]
    fn name_is_what_lightning_makes_of_the_pattern() {
        // lightning 2.5: ModelCheckpoint._format_checkpoint_name(pattern, {"epoch": 7, "step": 1234, …}).
        assert_eq!(name("model_best_{epoch:03d}", false).unwrap(), "model_best_007");
        assert_eq!(name("{epoch:02d}-{step}", true).unwrap(), "epoch=07-step=1234");
        assert_eq!(name("best-{val/t2i_mAP:.2f}", false).unwrap(), "best-0.12");
        assert_eq!(name("m{val/t2i_mAP:07.3f}", true).unwrap(), "mval_t2i_mAP=000.123");
        assert_eq!(name("{val/none}", false).unwrap(), "nan");
    }

    #[test]
    fn parse_refuses_what_is_no_file_name() {
        for wrong in [
            "",
            "epoch_{epoch}",
            "a/{epoch}",
            "../x",
            ".hidden",
            "best",
            "x{epoch",
            "x{}",
            "x}",
            "{epoch:3x}",
            "{epoch:999d}",
        ] {
            assert!(name(wrong, false).is_err(), "{wrong}");
        }
    }
}
