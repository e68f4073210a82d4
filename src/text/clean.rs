//! Cleaning of captions before they are split into tokens: open_clip's `lower` and `canonicalize`.
//!
//! Of ftfy this does what changes real captions: straight quotes, ligatures, full-width ASCII, line ends, control and
//! terminal characters, HTML entities. Not done: repair of text that was decoded with the wrong encoding, and
//! composition of combining accents.

use super::entity_table::ENTITIES;

/// ftfy's light repairs, entities, whitespace collapsed, lower case.
pub fn clean(text: &str) -> String {
    collapse(&basic(text)).to_lowercase()
}

/// [`clean`], with underscores as spaces and ASCII punctuation deleted (TAO's `canonicalize_text`).
pub fn canonicalize(text: &str) -> String {
    let kept: String = basic(text).replace('_', " ").chars().filter(|c| !c.is_ascii_punctuation()).collect();
    collapse(&kept.to_lowercase())
}

fn basic(text: &str) -> String {
    // ftfy leaves entities alone in a text that has a tag; the two passes after it do not, so the order is the same.
    unescape(&unescape(&repair(text)))
}

fn collapse(text: &str) -> String {
    // Python's str.split() also takes the separators U+001C to U+001F for whitespace.
    let is_space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn repair(text: &str) -> String {
    if text.is_ascii() && !text.bytes().any(|b| b.is_ascii_control()) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            // Terminal escapes: ESC [ numbers letter.
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                while rest.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
                rest.next_if(char::is_ascii_alphabetic);
            }
            '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            '\u{132}' => out.push_str("IJ"),
            '\u{133}' => out.push_str("ij"),
            '\u{149}' => out.push_str("\u{2bc}n"),
            '\u{fb00}' => out.push_str("ff"),
            '\u{fb01}' => out.push_str("fi"),
            '\u{fb02}' => out.push_str("fl"),
            '\u{fb03}' => out.push_str("ffi"),
            '\u{fb04}' => out.push_str("ffl"),
            '\u{fb05}' => out.push_str("\u{17f}t"),
            '\u{fb06}' => out.push_str("st"),
            // Full-width ASCII.
            '\u{ff01}'..='\u{ff5e}' => out.push(char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c)),
            '\u{3000}' => out.push(' '),
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => out.push('\n'),
            '\t' | '\n' | '\u{c}' => out.push(c),
            // Controls that never show.
            '\0'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => {}
            _ => out.push(c),
        }
    }
    out
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match numeric(rest).or_else(|| named(rest)) {
            Some((c, length)) => {
                out.extend(c);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// `&#65;`, `&#x41;`, the semicolon optional: the character (none for what HTML deletes) and the bytes it took.
fn numeric(text: &str) -> Option<(Option<char>, usize)> {
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
    let c = match u32::from_str_radix(&digits[..length], radix) {
        Ok(0x0) | Err(_) => Some('\u{fffd}'),
        // Controls that HTML deletes.
        Ok(0x1..=0x8 | 0xb | 0xe..=0x1f | 0x7f) => None,
        Ok(code) => Some(char::from_u32(code).unwrap_or('\u{fffd}')),
    };
    Some((c, end))
}

fn named(text: &str) -> Option<(Option<char>, usize)> {
    let body = text.get(1..)?;
    let length = body.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(body.len());
    let find = |name: &str| ENTITIES.binary_search_by(|(n, ..)| (*n).cmp(name)).ok().map(|i| &ENTITIES[i]);
    if body[length..].starts_with(';')
        && let Some((_, c, _)) = find(&body[..length])
    {
        return Some((Some(*c), length + 2));
    }
    // Without a semicolon the longest known prefix counts, as in browsers.
    (2..=length.min(6)).rev().find_map(|n| match find(&body[..n]) {
        Some((_, c, true)) => Some((Some(*c), n + 1)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_table_is_sorted_by_name() {
        assert!(ENTITIES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn clean_entities_quotes_and_spaces_are_repaired() {
        assert_eq!(clean("  A \u{201c}big\u{201d}\r\n  Dog &amp;amp; cat&#39;s "), "a \"big\" dog & cat's");
        assert_eq!(clean("caf&eacute &unknown; &"), "café &unknown; &");
        assert_eq!(clean("o\u{fb03}ce \u{ff21}\u{ff22} \u{1b}[31mred\u{1b}[0m"), "office ab red");
    }

    #[test]
    fn canonicalize_deletes_punctuation_and_underscores() {
        assert_eq!(canonicalize("A_photo, of a  CAT!"), "a photo of a cat");
    }
}
