//! Comma-separated values (RFC 4180), with a heading.

use std::io::{self, Write};

use super::{Kind, Values, rows_of};

/// Writes the heading.
///
/// # Errors
/// Those of `out`.
pub fn heading(out: &mut impl Write, columns: &[(&str, Kind)]) -> io::Result<()> {
    let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
    writeln!(out, "{}", names.join(","))
}

/// Writes rows. Numbers that are not finite are left empty; the values of a vector are parted by spaces.
///
/// # Errors
/// When the values do not fit the columns; those of `out`.
pub fn rows(out: &mut impl Write, columns: &[(&str, Kind)], values: &[Values<'_>]) -> io::Result<()> {
    for row in 0..rows_of(columns, values)? {
        let cells = columns.iter().zip(values).map(|((_, kind), values)| match (values, kind) {
            (Values::Text(v), _) => quoted(&v[row]),
            (Values::Whole(v), _) => v[row].to_string(),
            (Values::Number(v), _) if !v[row].is_finite() => String::new(),
            (Values::Number(v), _) => v[row].to_string(),
            (Values::Vector(v), Kind::Vector(width)) => {
                v[row * width..(row + 1) * width].iter().map(f32::to_string).collect::<Vec<_>>().join(" ")
            }
            (Values::Vector(_), _) => String::new(),
        });
        writeln!(out, "{}", cells.collect::<Vec<_>>().join(","))?;
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        let mut out = Vec::new();
        let columns = [("text", Kind::Text), ("a,b", Kind::Number), ("n", Kind::Whole), ("v", Kind::Vector(2))];
        heading(&mut out, &columns).unwrap();
        let texts = ["plain".to_owned(), "say \"a, b\"\nagain".to_owned()];
        let values = [
            Values::Text(&texts),
            Values::Number(&[0.5, f64::NAN]),
            Values::Whole(&[1, -2]),
            Values::Vector(&[1.0, 0.25, 0.0, 3.0]),
        ];
        rows(&mut out, &columns, &values).unwrap();
        let expected = "text,\"a,b\",n,v\nplain,0.5,1,1 0.25\n\"say \"\"a, b\"\"\nagain\",,-2,0 3\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert!(rows(&mut Vec::new(), &columns, &values[..3]).is_err());
    }
}
