//! A command line as words, as the shells break it: blanks, quotes, backslashes. No substitution.

/// The words of the last `cliptune` command of a line; the last word is the one at the cursor, empty after a blank.
pub(super) fn of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut begun) = (Vec::new(), String::new(), false);
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(c), true),
            (None | Some('"'), '\\') => {
                word.extend(characters.next());
                begun = true;
            }
            (None, c) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (_, c) => {
                word.push(c);
                begun = true;
            }
        }
    }
    words.push(word);
    let is_ours = |word: &String| word.rsplit('/').next() == Some("cliptune");
    match words.iter().rposition(is_ours) {
        Some(at) if at + 1 < words.len() => words.split_off(at),
        _ => Vec::new(),
    }
}

/// A word as it can be typed: blanks and what a shell would take for its own are escaped.
pub(super) fn quoted(word: &str) -> String {
    let mut text = String::new();
    for c in word.chars() {
        if " \t'\"\\$`&|;<>()*?[]{}!#".contains(c) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_last_command_with_quotes() {
        assert_eq!(of("cliptune show 'a b' c\\ d "), ["cliptune", "show", "a b", "c d", ""]);
        assert_eq!(of("A=1 /usr/bin/cliptune tr"), ["/usr/bin/cliptune", "tr"]);
        assert_eq!(of("cliptune status x; cliptune \"st"), ["cliptune", "st"]);
        assert!(of("cliptune").is_empty() && of("ls ").is_empty());
        assert_eq!(quoted("a b'c"), "a\\ b\\'c");
    }
}
