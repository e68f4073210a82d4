//! Tables of a page.

use crate::report::escape::escape;

/// A cell: what is shown, and what it is sorted by.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    html: String,
    value: Option<String>,
    class: &'static str,
}

impl Cell {
    /// A text.
    pub(super) fn text(text: &str) -> Self {
        Self { html: escape(text), ..Self::default() }
    }

    /// HTML that was put together from escaped parts.
    pub(super) fn html(html: String) -> Self {
        Self { html, ..Self::default() }
    }

    /// Set to the right.
    pub(super) fn number(text: &str) -> Self {
        Self { class: "num", ..Self::text(text) }
    }

    /// A long text, which may take several lines.
    pub(super) fn long(text: &str) -> Self {
        Self { class: "wrap", ..Self::text(text) }
    }

    /// The name of a key.
    pub(super) fn key(text: &str) -> Self {
        Self { class: "key", ..Self::text(text) }
    }

    /// Sorts by this instead of by what is shown; `None` stands last.
    pub(super) fn by(self, value: Option<f64>) -> Self {
        Self { value: Some(value.filter(|v| v.is_finite()).map_or_else(String::new, |v| v.to_string())), ..self }
    }

    /// Sets it to the right.
    pub(super) fn right(self) -> Self {
        Self { class: "num", ..self }
    }

    fn write(&self, out: &mut String) {
        let class = if self.class.is_empty() { String::new() } else { format!(" class=\"{}\"", self.class) };
        let value = self.value.as_ref().map_or_else(String::new, |v| format!(" data-value=\"{}\"", escape(v)));
        out.push_str(&format!("<td{class}{value}>{}</td>", self.html));
    }
}

/// A heading: its words, whether its numbers stand to the right, and whether large values come first when it is pressed.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub(super) text: String,
    pub(super) right: bool,
    pub(super) down: bool,
    /// The full name, where the words are short.
    pub(super) about: Option<String>,
}

impl Heading {
    pub(super) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), right: false, down: false, about: None }
    }

    pub(super) fn number(text: &str) -> Self {
        Self { right: true, ..Self::new(text) }
    }
}

/// A table of rows, each with attributes of its own.
pub(super) fn table(id: &str, headings: &[Heading], rows: &[(String, Vec<Cell>)], bounded: bool) -> String {
    let free = if bounded { "" } else { " free" };
    let mut out = format!("<div class=\"scroll{free}\"><table id=\"{id}\"><thead><tr>");
    for heading in headings {
        let class = if heading.right { " class=\"num\"" } else { "" };
        let sort = if heading.down { "down" } else { "up" };
        let about = heading.about.as_ref().map_or_else(String::new, |a| format!(" data-tip=\"{}\"", escape(a)));
        out.push_str(&format!("<th{class} data-sort=\"{sort}\"{about}>{}</th>", escape(&heading.text)));
    }
    out.push_str("</tr></thead><tbody>\n");
    for (attributes, cells) in rows {
        out.push_str(&format!("<tr{attributes}>"));
        cells.iter().for_each(|cell| cell.write(&mut out));
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    out
}
