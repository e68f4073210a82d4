//! Rows of the tables: a pattern of public names, a pattern of canonical names, and how the numbers are arranged.
//!
//! In both patterns `#` stands for a layer's number, `*` for any rest, and `@` for `weight` or `bias`; in public names `^` is
//! `scale` or `bias` and `&` is `kernel` or `bias` instead, `$` the key of C-RADIO's head, and `%` each part of a stack.

use super::how::How;

/// A pair of names.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// In the file.
    pub public: &'static str,
    /// In this crate.
    pub canonical: &'static str,
    /// How the numbers of the file are arranged.
    pub how: How,
}

pub(super) const fn row(public: &'static str, canonical: &'static str, how: How) -> Row {
    Row { public, canonical, how }
}

/// A layout.
#[derive(Debug)]
pub struct Table {
    /// As users know it.
    pub name: &'static str,
    /// Names that tell it: one of them is enough.
    pub signature: &'static [&'static str],
    /// The rows, first match first.
    pub rows: &'static [&'static [Row]],
    /// Beginnings or endings (with `*`) of names that hold no weights of the model.
    pub ignored: &'static [&'static str],
}

/// What `#`, `@` and `*` stood for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Captured<'a> {
    layer: &'a str,
    kind: &'a str,
    rest: &'a str,
}

impl Table {
    /// The public names of a canonical one, and how they become it. `head` is what `$` stands for.
    pub fn public(&self, canonical: &str, head: &str) -> Option<(Vec<String>, How)> {
        self.rows.iter().copied().flatten().find_map(|row| {
            let captured = captures(row.canonical, canonical)?;
            let parts = row.how.parts().iter().map(|(part, _)| *part);
            let parts: Vec<&str> = if row.how.parts().is_empty() { vec![""] } else { parts.collect() };
            Some((parts.into_iter().map(|part| filled(row.public, &captured, head, part)).collect(), row.how))
        })
    }

    /// Whether a tensor of this name belongs to no model.
    pub fn ignores(&self, name: &str) -> bool {
        let matches = |pattern: &&str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(ending), _) => name.ends_with(ending),
            (_, Some(beginning)) => name.starts_with(beginning),
            _ => name == *pattern,
        };
        self.ignored.iter().any(matches)
    }
}

fn captures<'a>(pattern: &str, name: &'a str) -> Option<Captured<'a>> {
    let (mut rest, mut out) = (name, Captured::default());
    for c in pattern.chars() {
        match c {
            '#' => {
                let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
                (out.layer, rest) = rest.split_at(digits);
                if out.layer.is_empty() {
                    return None;
                }
            }
            '@' => {
                out.kind = ["weight", "bias"].into_iter().find(|kind| rest.starts_with(kind))?;
                rest = &rest[out.kind.len()..];
            }
            '*' => (out.rest, rest) = (rest, ""),
            c => rest = rest.strip_prefix(c)?,
        }
    }
    rest.is_empty().then_some(out)
}

fn filled(pattern: &str, captured: &Captured<'_>, head: &str, part: &str) -> String {
    let bias = captured.kind == "bias";
    let mut out = String::new();
    for c in pattern.chars() {
        match c {
            '#' => out.push_str(captured.layer),
            '@' => out.push_str(captured.kind),
            '^' => out.push_str(if bias { "bias" } else { "scale" }),
            '&' => out.push_str(if bias { "bias" } else { "kernel" }),
            '*' => out.push_str(captured.rest),
            '$' => out.push_str(head),
            '%' => out.push_str(part),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::TABLES;
    use super::*;

    #[test]
    fn patterns_capture_layers_kinds_and_rests() {
        let found = captures("text.transformer.resblocks.#.ln_1.@", "text.transformer.resblocks.12.ln_1.bias").unwrap();
        assert_eq!((found.layer, found.kind), ("12", "bias"));
        assert_eq!(captures("visual.*", "visual.a.b").unwrap().rest, "a.b");
        assert!(captures("a.#.b", "a.x.b").is_none() && captures("a.@", "a.weights").is_none());
        assert_eq!(filled("e_#/^|&|%", &found, "", "q"), "e_12/bias|bias|q");
    }

    #[test]
    fn public_names_of_a_stack_come_in_order() {
        let table =
            super::super::hugging_face_table::SIGLIP.public("text.transformer.resblocks.3.attn.in_proj_weight", "");
        let expected = ["q", "k", "v"].map(|p| format!("text_model.encoder.layers.3.self_attn.{p}_proj.weight"));
        assert_eq!(table.unwrap().0, expected);
    }

    #[test]
    fn signatures_are_told_apart() {
        for table in TABLES {
            assert!(table.signature.iter().all(|name| !table.ignores(name)), "{}", table.name);
        }
    }
}
