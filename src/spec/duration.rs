//! Lengths of time as people write them: `90m`, `2h`, `1d12h`, `1.5h`, or plain seconds.

/// The seconds in `text`; `None` when it is not a length of time, or not a positive one.
pub fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let count: f64 = rest[..digits].parse().ok()?;
        rest = rest[digits..].trim_start();
        let unit = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += count
            * match &rest[..unit] {
                // Seconds need no unit, but only where nothing else is said.
                "" if digits == text.len() => 1.0,
                "s" => 1.0,
                "m" | "min" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = rest[unit..].trim_start();
    }
    (total > 0.0 && total.is_finite()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_every_form_are_read_and_others_refused() {
        for (text, expected) in [
            ("90m", 5400.0),
            ("2h", 7200.0),
            ("1d12h", 129_600.0),
            ("1.5h", 5400.0),
            ("3600", 3600.0),
            ("1h 30m", 5400.0),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "0", "-2h", "2 weeks", "h", "2h30", "1.2.3h", "soon", "2é"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
