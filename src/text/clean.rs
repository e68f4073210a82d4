//! What is done to a caption before it is split into tokens, as the reference tools do it.
//!
//! Of ftfy everything is done that needs no guess: entities, ligatures, widths, quotes, line ends, terminal escapes,
//! control characters, composition of accents. Not done is the repair of text that was decoded with the wrong encoding.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tokenizers::normalizers::unicode::{NFC, NFKC};
use tokenizers::{NormalizedString, Normalizer};

use super::entities;

/// How captions are cleaned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clean {
    /// Not at all; what the tokenizer's own file says still happens (transformers' default).
    #[default]
    AsIs,
    /// Lower case and nothing else (transformers' `Siglip2Tokenizer`).
    LowerCase,
    /// Punctuation deleted, whitespace collapsed, lower case (transformers' `SiglipTokenizer`).
    Siglip,
    /// ftfy, entities, whitespace collapsed (open_clip's `whitespace`).
    Whitespace,
    /// `Whitespace` in lower case (open_clip's `lower`).
    Lower,
    /// `Lower` with underscores as spaces and punctuation deleted (open_clip's and TAO's canonical text).
    Canonicalize,
}

impl Clean {
    /// The cleanings that open_clip's `tokenizer_kwargs.clean` can name.
    const OPEN_CLIP: [(&'static str, Self); 3] =
        [("whitespace", Self::Whitespace), ("lower", Self::Lower), ("canonicalize", Self::Canonicalize)];

    /// The cleaning that open_clip calls so.
    pub fn of_open_clip(name: &str) -> Option<Self> {
        Self::OPEN_CLIP.iter().find(|(known, _)| *known == name).map(|(_, clean)| *clean)
    }

    /// What open_clip calls it, if it has it.
    pub fn open_clip_name(self) -> Option<&'static str> {
        Self::OPEN_CLIP.iter().find(|(_, clean)| *clean == self).map(|(name, _)| *name)
    }

    /// The cleaned text.
    pub fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::AsIs => Cow::Borrowed(text),
            // Letter by letter, as that normaliser does: a sigma at the end of a word stays an ordinary one.
            Self::LowerCase => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
            Self::Siglip => Cow::Owned(collapse(&without_punctuation(&text.to_lowercase()))),
            Self::Whitespace => Cow::Owned(collapse(&basic(text))),
            Self::Lower => Cow::Owned(collapse(&basic(text)).to_lowercase()),
            Self::Canonicalize => {
                Cow::Owned(collapse(&without_punctuation(&basic(text).replace('_', " ")).to_lowercase()))
            }
        }
    }
}

fn without_punctuation(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_punctuation()).collect()
}

fn collapse(text: &str) -> String {
    // Python's str.split() also takes the separators U+001C to U+001F for whitespace.
    let is_space = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    text.split(is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn basic(text: &str) -> String {
    entities::unescape(&entities::unescape(&repair(text)))
}

/// Rounds of repair; only text that was escaped this often over would need more.
const ROUNDS: usize = 32;

/// ftfy's `fix_text`: line by line, until nothing changes. A line with a tag keeps its entities, and so do those after it.
fn repair(text: &str) -> String {
    let plain = |b: u8| b != b'&' && (b == b'\n' || b == b'\t' || (b' '..0x7f).contains(&b));
    if text.bytes().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut entities = true;
    for line in text.split_inclusive('\n') {
        entities &= !line.contains('<');
        let mut line = line.to_owned();
        for _ in 0..ROUNDS {
            let mut next = if entities { entities::unescape_whole(&line) } else { line.clone() };
            next = map_characters(&next);
            if !next.is_ascii() {
                next = normalized(&next, &NFC);
            }
            if next == line {
                break;
            }
            line = next;
        }
        out.push_str(&line);
    }
    out
}

fn normalized(text: &str, form: &impl Normalizer) -> String {
    let mut value = NormalizedString::from(text);
    // A Unicode form exists for every text; the trait's error is for other normalisers.
    let _ = form.normalize(&mut value);
    value.get().to_owned()
}

fn map_characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let c = entities::windows_1252(c).unwrap_or(c);
        match c {
            '\u{1b}' if rest.peek() == Some(&'[') => skip_terminal_escape(&mut rest),
            '\u{2bc}' | '\u{2018}'..='\u{201b}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            '\u{132}'..='\u{133}'
            | '\u{149}'
            | '\u{1c4}'..='\u{1cc}'
            | '\u{1f1}'..='\u{1f3}'
            | '\u{fb00}'..='\u{fb06}' => {
                out.push_str(ligature(c));
            }
            '\u{3000}' => out.push(' '),
            '\u{ff01}'..='\u{ffef}' => out.push_str(&normalized(c.encode_utf8(&mut [0; 4]), &NFKC)),
            '\r' => {
                rest.next_if_eq(&'\n');
                out.push('\n');
            }
            '\u{2028}' | '\u{2029}' => out.push('\n'),
            '\t' | '\n' | '\u{c}' => out.push(c),
            // Controls that never show.
            '\0'..='\u{1f}' | '\u{7f}' | '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}' => {}
            _ => out.push(c),
        }
    }
    out
}

/// `ESC [`, numbers, a letter; without the letter only the invisible ESC goes.
fn skip_terminal_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let mut ahead = rest.clone();
    ahead.next();
    while ahead.next_if(|c| c.is_ascii_digit() || *c == ';').is_some() {}
    if ahead.next_if(char::is_ascii_alphabetic).is_some() {
        *rest = ahead;
    }
}

fn ligature(c: char) -> &'static str {
    match c {
        '\u{132}' => "IJ",
        '\u{133}' => "ij",
        '\u{149}' => "'n",
        '\u{1c4}' => "D\u{17d}",
        '\u{1c5}' => "D\u{17e}",
        '\u{1c6}' => "d\u{17e}",
        '\u{1c7}' => "LJ",
        '\u{1c8}' => "Lj",
        '\u{1c9}' => "lj",
        '\u{1ca}' => "NJ",
        '\u{1cb}' => "Nj",
        '\u{1cc}' => "nj",
        '\u{1f1}' => "DZ",
        '\u{1f2}' => "Dz",
        '\u{1f3}' => "dz",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' => "\u{17f}t",
        _ => "st",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_entities_quotes_and_spaces_are_repaired() {
        let clean = |text| Clean::Lower.apply(text).into_owned();
        assert_eq!(clean("  A \u{201c}big\u{201d}\r\n  Dog &amp;amp; cat&#39;s "), "a \"big\" dog & cat's");
        assert_eq!(clean("caf&eacute &unknown; &"), "café &unknown; &");
        assert_eq!(clean("o\u{fb03}ce \u{ff21}\u{ff22} \u{1b}[31mred\u{1b}[0m"), "office ab red");
    }

    #[test]
    fn canonicalize_deletes_punctuation_and_underscores() {
        assert_eq!(Clean::Canonicalize.apply("A_photo, of a  CAT!"), "a photo of a cat");
        assert_eq!(Clean::Siglip.apply("A_photo, of a  CAT!"), "aphoto of a cat");
    }

    #[test]
    fn text_escaped_many_times_over_ends() {
        let nested = format!("&{}", "amp;".repeat(200_000));
        assert!(Clean::Lower.apply(&nested).len() < nested.len());
    }
}
