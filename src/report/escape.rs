//! Words of others in formats with signs of their own: captions, names and messages are anybody's.

/// For text and for quoted attributes of HTML. Control characters, which no text needs, become spaces.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Marks that turn the direction of text would let a name look like another.
            c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// For a cell of a Markdown table: one line, without marks that would be taken for the table's, for HTML or for links.
pub fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut letters = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = letters.next() {
        // Within a word an underscore is one.
        let within = c == '_' && before.is_alphanumeric() && letters.peek().is_some_and(|n| n.is_alphanumeric());
        match c {
            '_' if within => out.push('_'),
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '<' => out.push_str("&lt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        before = c;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_words_stay_words() {
        assert_eq!(
            escape("</script><img src=x onerror='a(\"b\")'>"),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a(&quot;b&quot;)&#39;&gt;"
        );
        assert_eq!(escape("a\u{0}b\u{202e}c&amp;"), "a b c&amp;amp;");
        assert_eq!(markdown("a|b\n`c` <i> [x](y)"), "a\\|b \\`c\\` &lt;i> \\[x\\](y)");
        assert_eq!(markdown("val/t2i_mAP _it_"), "val/t2i_mAP \\_it\\_");
    }
}
