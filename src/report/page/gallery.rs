//! What the best model finds: the metrics of an evaluation, and queries with their answers as pictures or words.

use super::sections::Section;
use super::table::{Cell, Heading, table};
use crate::report::escape::escape;
use crate::report::facts::{ends, four};
use crate::report::retrieval::{Gallery, Piece, Query};

/// The section of what a search with the best model finds.
pub(super) fn gallery(gallery: &Gallery) -> Section {
    let mut body = String::new();
    let rows: Vec<(String, Vec<Cell>)> = gallery
        .metrics
        .iter()
        .map(|m| {
            let interval = m.interval.map_or_else(String::new, ends);
            (String::new(), vec![Cell::key(&m.name), Cell::number(&four(m.value)), Cell::text(&interval)])
        })
        .collect();
    let headings = [Heading::new("metric"), Heading::number("value"), Heading::new("95 %")];
    if gallery.groups.is_empty() {
        body.push_str(&table("evaluation-table", &headings, &rows, false));
    } else {
        let metrics = table("evaluation-table", &headings, &rows, true);
        for group in &gallery.groups {
            let queries: String = group.queries.iter().map(query).collect();
            body.push_str(&format!("<h3>{}</h3>\n<div class=\"gallery\">\n{queries}</div>\n", escape(&group.title)));
        }
        body.push_str(&format!("<details><summary>All metrics of the evaluation</summary>{metrics}</details>\n"));
    }
    let note = format!("From {}. A green frame is a right answer.", gallery.source.display());
    Section::new("retrieval", "Retrieval", "Retrieval with the best model", &note, body)
}

fn query(query: &Query) -> String {
    let rank =
        query.rank.map_or_else(String::new, |r| format!("<span class=\"mark\">first right answer at rank {r}</span>"));
    let asked = match &query.asked {
        Piece { picture: Some(_), .. } => format!("<div class=\"row\">{}</div>", figure(&query.asked, None)),
        asked => format!("<p>“{}”</p>", escape(&asked.text)),
    };
    let expected = query.expected.iter().filter(|_| query.found.iter().all(|p| p.right != Some(true)));
    let answers: Vec<(&Piece, Option<&str>)> =
        query.found.iter().map(|p| (p, None)).chain(expected.map(|p| (p, Some("expected")))).collect();
    let answers = if answers.iter().any(|(p, _)| p.picture.is_some()) {
        format!("<div class=\"row\">{}</div>", answers.iter().map(|(p, role)| figure(p, *role)).collect::<String>())
    } else {
        let item = |(piece, role): &(&Piece, Option<&str>)| {
            let class = if is_right(piece, *role) { " class=\"right\"" } else { "" };
            format!("<li{class}>{}{}</li>", escape(&piece.text), about(piece, *role))
        };
        format!("<ol class=\"answers\">{}</ol>", answers.iter().map(item).collect::<String>())
    };
    format!("<div class=\"query\">{asked}{answers}<p class=\"sub\">{rank}</p></div>\n")
}

fn is_right(piece: &Piece, role: Option<&str>) -> bool {
    piece.right == Some(true) || role.is_some()
}

fn about(piece: &Piece, role: Option<&str>) -> String {
    let score = piece.score.map(|s| format!("{s:.3}"));
    let words: Vec<String> = role.map(str::to_owned).into_iter().chain(score).collect();
    if words.is_empty() { String::new() } else { format!(" <span>{}</span>", escape(&words.join(" "))) }
}

fn figure(piece: &Piece, role: Option<&str>) -> String {
    let class = if is_right(piece, role) { " class=\"right\"" } else { "" };
    let text = escape(&piece.text);
    let image = piece.picture.as_ref().map_or_else(
        || format!("<div class=\"words\">{text}</div>"),
        |data| format!("<img alt=\"{text}\" loading=\"lazy\" src=\"{}\">", escape(data)),
    );
    format!("<figure{class} data-tip=\"{text}\">{image}<figcaption>{}</figcaption></figure>", about(piece, role).trim())
}
