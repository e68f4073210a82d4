//! Text in cells: widths as a terminal counts them, and nothing that a terminal would obey.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `text` cut to `width` cells.
pub fn cut(text: &str, width: usize) -> String {
    let mut used = 0;
    text.chars()
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

/// `text` in pieces of at most `width` cells; one empty piece of an empty text.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in text.chars() {
        let cells = c.width().unwrap_or(0);
        if used + cells > width && used > 0 {
            pieces.push(String::new());
            used = 0;
        }
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
        used += cells;
    }
    pieces
}

/// `text` in exactly `width` cells, to the left.
pub fn left(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let rest = width.saturating_sub(text.width());
    text + &" ".repeat(rest)
}

/// `text` in exactly `width` cells, to the right.
pub fn right(text: &str, width: usize) -> String {
    let text = cut(text, width);
    " ".repeat(width.saturating_sub(text.width())) + &text
}

/// Cells that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// A line of somebody's output without escape sequences and control characters; of what a carriage return overwrites,
/// only the last remains.
pub fn printable(line: &str) -> String {
    let line = line.trim_end_matches(['\r', '\n']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut out = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                Some(']') => while chars.next().is_some_and(|c| c != '\u{7}' && c != '\u{1b}') {},
                _ => {}
            },
            '\t' => out.push_str("    "),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn left_and_right_fill_exactly_even_with_wide_characters() {
        assert_eq!(left("ab", 4), "ab  ");
        assert_eq!(right("ab", 4), "  ab");
        assert_eq!(left("漢字", 3), "漢 ");
        assert_eq!(width(&right("漢字", 3)), 3);
    }

    #[test]
    fn wrapped_breaks_at_the_width_and_loses_nothing() {
        assert_eq!(wrapped("abcde", 2), ["ab", "cd", "e"]);
        assert_eq!(wrapped("漢字x", 3), ["漢", "字x"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn printable_drops_escapes_and_what_was_overwritten() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\tx\u{7}\n"), "red    x");
        assert_eq!(printable("10%\r50%\r\n"), "50%");
        assert_eq!(printable("\u{1b}]0;title\u{7}text"), "text");
    }
}
