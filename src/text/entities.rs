//! HTML character references, as Python's `html.unescape` and ftfy's `unescape_html` resolve them.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Name (with its `;`, if it has one) and code points in hexadecimal: the HTML standard's list, a line each.
const LIST: &str = include_str!("entities.txt");

/// The longest name is 31 bytes; the standard's pattern stops at 32.
const LONGEST_NAME: usize = 32;

fn named() -> &'static HashMap<&'static str, String> {
    static NAMED: OnceLock<HashMap<&'static str, String>> = OnceLock::new();
    NAMED.get_or_init(|| {
        let character = |hex: &str| u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
        LIST.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, codes)| (name, codes.split(' ').filter_map(character).collect()))
            .collect()
    })
}

/// Every reference resolved, also those without their semicolon, as browsers do.
pub(super) fn unescape(text: &str) -> String {
    replace(text, |rest| numeric(rest).or_else(|| by_name(rest)))
}

/// Only what is certainly a reference: it ends in a semicolon. Names in capitals stand for capital letters.
pub(super) fn unescape_whole(text: &str) -> String {
    replace(text, |rest| {
        let end = 1 + rest.get(1..)?.find(|c: char| !c.is_ascii_alphanumeric() && c != '#')?;
        if rest.as_bytes()[end] != b';' || end > 26 {
            return None;
        }
        if rest.starts_with("&#") {
            return numeric(&rest[..=end]).filter(|(_, length)| *length == end + 1);
        }
        let name = &rest[1..=end];
        if let Some(value) = named().get(name) {
            return Some((value.clone(), end + 1));
        }
        let lower = name.to_ascii_lowercase();
        let capital = name == name.to_ascii_uppercase() && by_name(rest).is_none();
        let value = named().get(lower.as_str()).filter(|_| capital)?;
        Some((value.to_uppercase(), end + 1))
    })
}

/// Replaces what `resolve` knows at each `&`: the text and the bytes it stands for.
fn replace(text: &str, resolve: impl Fn(&str) -> Option<(String, usize)>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (value, length) = resolve(rest).unwrap_or_else(|| ("&".to_owned(), 1));
        out.push_str(&value);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// `&#65;`, `&#x41;`, the semicolon optional.
fn numeric(text: &str) -> Option<(String, usize)> {
    let digits = text.strip_prefix("&#")?;
    let (radix, digits, lead) = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => (16, hex, 3),
        None => (10, digits, 2),
    };
    let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    if length == 0 {
        return None;
    }
    let end = lead + length + usize::from(digits[length..].starts_with(';'));
    let value = match u32::from_str_radix(&digits[..length], radix) {
        Ok(0) | Err(_) => "\u{fffd}".to_owned(),
        Ok(code) => match char::from_u32(code) {
            None => "\u{fffd}".to_owned(),
            Some(c @ '\u{80}'..='\u{9f}') => windows_1252(c).unwrap_or(c).to_string(),
            // What HTML deletes: controls and code points that are no characters.
            Some('\u{1}'..='\u{8}' | '\u{b}' | '\u{e}'..='\u{1f}' | '\u{7f}' | '\u{fdd0}'..='\u{fdef}') => {
                String::new()
            }
            Some(_) if code & 0xfffe == 0xfffe => String::new(),
            Some(c) => c.to_string(),
        },
    };
    Some((value, end))
}

fn by_name(text: &str) -> Option<(String, usize)> {
    let body = text.get(1..)?;
    let stop = |c: char| matches!(c, '\t' | '\n' | '\u{c}' | ' ' | '<' | '&' | '#' | ';');
    let length = body.find(stop).unwrap_or(body.len());
    let whole = length + usize::from(body[length..].starts_with(';'));
    if let Some(value) = body.get(..whole).and_then(|name| named().get(name)) {
        return Some((value.clone(), whole + 1));
    }
    // Without a semicolon the longest known beginning counts.
    (2..=length.min(LONGEST_NAME)).rev().find_map(|n| Some((named().get(body.get(..n)?)?.clone(), n + 1)))
}

/// The character that Windows-1252 has at a C1 control, if `c` is one that it defines.
pub(super) fn windows_1252(c: char) -> Option<char> {
    const TABLE: &[char; 32] = &[
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    TABLE.get(u32::from(c).checked_sub(0x80)? as usize).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unescape_follows_python_html_unescape() {
        for (text, expected) in [
            ("&lt;b&gt; &notit; &amp", "<b> ¬it; &"),
            ("&NotEqualTilde;", "\u{2242}\u{338}"),
            ("&#128;&#x80;&#0;&#xD800;&#x1F600;&#11;", "€€\u{fffd}\u{fffd}😀"),
            ("a & b &#; &#x; &;", "a & b &#; &#x; &;"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn unescape_whole_wants_the_semicolon_and_reads_capitals() {
        assert_eq!(
            unescape_whole("P&EACUTE;REZ BUNDESSTRA&SZLIG;E this&not that"),
            "PÉREZ BUNDESSTRASSE this&not that"
        );
        assert_eq!(unescape_whole("&ntilde; &Ntilde; &NTILDE; &nTILDE;"), "ñ Ñ Ñ &nTILDE;");
    }
}
