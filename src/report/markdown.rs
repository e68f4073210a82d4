//! A report as Markdown: the words and tables of the page, for a wiki or a pull request.

use super::content::Content;
use super::escape::markdown as escape;
use super::facts::{self, ends, four};
use super::front;
use super::importance::trend;
use super::leaderboard::cell;
use crate::base::units;

/// The report.
pub fn report(content: &Content<'_>) -> String {
    let mut text = format!("# {}\n\n{}\n\n", escape(content.name()), escape(&facts::verdict(content)));
    for fact in facts::summary(content) {
        let note = if fact.note.is_empty() { String::new() } else { format!(" ({})", escape(&fact.note)) };
        text.push_str(&format!("- {}: **{}**{note}\n", escape(&fact.name), escape(&fact.value)));
    }
    leaderboard(content, &mut text);
    if let Ok(front) = front::front(content.state) {
        text.push_str(&format!("\n## Pareto front\n\n```\n{}\n```\n", front.text(content.state)));
    }
    best(content, &mut text);
    if !content.importance.is_empty() {
        let rows = content.importance.iter().map(|i| {
            let percent = |x: f64| format!("{:.1} %", 100.0 * x);
            vec![i.key.clone(), percent(i.share), percent(i.spread), trend(i.trend).to_owned()]
        });
        section(
            "Importance of parameters",
            &["parameter", "share", "±", content.state.metric()],
            rows.collect(),
            &mut text,
        );
    }
    let troubles = facts::troubles(content);
    if !troubles.is_empty() {
        let rows = troubles.into_iter().map(|t| vec![t.trial.to_string(), t.kind, t.message, t.help]);
        section("Failures", &["trial", "what", "message", "what to do"], rows.collect(), &mut text);
    }
    if let Some(gallery) = &content.gallery {
        let rows =
            gallery.metrics.iter().map(|m| vec![m.name.clone(), four(m.value), m.interval.map_or(String::new(), ends)]);
        section("Evaluation", &["metric", "value", "95 %"], rows.collect(), &mut text);
        for group in &gallery.groups {
            let rows = group.queries.iter().map(|q| {
                let rank = q.rank.map_or_else(|| "–".to_owned(), |r| r.to_string());
                vec![q.asked.text.clone(), rank, q.expected.as_ref().map_or_else(String::new, |p| p.text.clone())]
            });
            section(&group.title, &["query", "rank", "expected"], rows.collect(), &mut text);
        }
    }
    text
}

fn leaderboard(content: &Content<'_>, text: &mut String) {
    let keys = content.keys();
    let mut heading = vec!["trial", "state", content.state.metric(), "95 %", "epoch", "epochs", "time"];
    heading.extend(keys.iter().map(|k| facts::column(k)));
    let rows = facts::leaderboard(content).into_iter().map(|line| {
        let t = line.trial;
        let marks = if line.marks.is_empty() { String::new() } else { format!(" ({})", line.marks.join(", ")) };
        let mut row = vec![
            t.id.to_string(),
            format!("{}{marks}", t.state.name()),
            t.value.map_or_else(|| "–".to_owned(), four),
            t.interval().map_or_else(|| "–".to_owned(), ends),
            t.best_epoch.map_or_else(|| "–".to_owned(), |e| e.to_string()),
            format!("{}/{}", t.epochs, t.budget),
            units::duration(t.seconds(content.at)),
        ];
        row.extend(keys.iter().map(|k| t.params.get(k).map_or_else(|| "·".to_owned(), cell)));
        row
    });
    section("Leaderboard", &heading, rows.collect(), text);
}

fn best(content: &Content<'_>, text: &mut String) {
    let (changes, same) = facts::changes(content);
    let Some(best) = content.best().filter(|_| !changes.is_empty()) else { return };
    let rows = changes.into_iter().map(|c| vec![c.key, c.before, c.after, c.factor]).collect();
    section("Best configuration against the baseline", &["key", "baseline", "best", ""], rows, text);
    if !same.is_empty() {
        text.push_str(&format!("\nUnchanged: {}\n", escape(&same.join(", "))));
    }
    text.push_str(&format!("\n```\ncliptune train -e SPEC.yaml --automl off {}\n```\n", facts::overrides(best)));
}

fn section(title: &str, heading: &[&str], rows: Vec<Vec<String>>, text: &mut String) {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    text.push_str(&format!("\n## {}\n\n", escape(title)));
    text.push_str(&line(&mut heading.iter().map(|h| escape(h))));
    text.push_str(&line(&mut heading.iter().map(|_| "---".to_owned())));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(|c| escape(c))));
    }
}
