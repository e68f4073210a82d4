//! The sections of a page, in the order in which a reader asks: what came out, which trial, what made the difference, where the
//! time went, what went wrong.

use super::gallery::gallery;
use super::table::{Cell, Heading, table};
use crate::base::units;
use crate::report::content::Content;
use crate::report::draw::{Ink, svg::svg};
use crate::report::escape::escape;
use crate::report::facts::{self, ends, four};
use crate::report::leaderboard::{cell, short};
use crate::report::plot;
use crate::report::{front, trackers};
use crate::state::{TrialState, TrialStatus, winner};

/// Sparks are drawn for so many trials: beyond that nobody looks at them one by one.
const SPARKS: usize = 200;

/// A part of the page.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its anchor.
    pub(super) id: &'static str,
    /// What leads to it.
    pub(super) link: &'static str,
    title: String,
    note: String,
    body: String,
    /// Whether it shares its row.
    pub(super) half: bool,
}

impl Section {
    pub(super) fn new(
        id: &'static str,
        link: &'static str,
        title: impl Into<String>,
        note: &str,
        body: String,
    ) -> Self {
        Self { id, link, title: title.into(), note: note.to_owned(), body, half: false }
    }

    fn half(self) -> Self {
        Self { half: true, ..self }
    }

    /// The element.
    pub(super) fn html(&self) -> String {
        let note = if self.note.is_empty() {
            String::new()
        } else {
            format!("<p class=\"note\">{}</p>\n", escape(&self.note))
        };
        format!("<section id=\"{}\">\n<h2>{}</h2>\n{note}{}</section>\n", self.id, escape(&self.title), self.body)
    }
}

/// Every section that has something to say.
pub(super) fn all(content: &Content<'_>) -> Vec<Section> {
    let metric = content.state.metric();
    let mut list = vec![
        Section::new(
            "progress",
            "Progress",
            format!("Best {metric} so far"),
            "Each dot is a trial, in the order in which they ended.",
            svg(&plot::best_so_far(content)) + &statuses(content),
        )
        .half(),
        Section::new("curves", "Curves", format!("{metric} by epoch"), CURVES_NOTE, svg(&plot::metric(content))).half(),
        leaderboard(content),
    ];
    list.extend(pareto(content));
    list.extend(confirmed(content));
    list.extend(best(content));
    let importance = svg(&plot::importance(content));
    list.push(Section::new("importance", "Importance", "Importance of parameters", IMPORTANCE_NOTE, importance).half());
    let losses = svg(&plot::losses(content));
    list.push(Section::new("loss", "Loss", "Training loss by epoch", "", losses).half());
    list.extend(parallel(content));
    list.extend(slices(content));
    list.push(Section::new("gantt", "Devices", "Trials on devices", "", wide(&svg(&plot::gantt(content)))));
    list.extend(failures(content));
    list.extend(content.gallery.as_ref().map(gallery));
    list.extend(promotion(content));
    list.push(study(content));
    list
}

const CURVES_NOTE: &str = "Point at a line to find its trial everywhere on this page; press it to hold it.";
const IMPORTANCE_NOTE: &str = "Of the whole space, not of the neighbourhood of the best trial. Arrows tell whether the metric rises or falls with the parameter.";

fn wide(svg: &str) -> String {
    format!("<div class=\"wide\">{svg}</div>\n")
}

fn dot(status: TrialStatus) -> String {
    format!("<i class=\"dot\" style=\"background:var(--{})\"></i>", Ink::Status(status).name())
}

fn statuses(content: &Content<'_>) -> String {
    let seen = |s: &TrialStatus| content.state.trials.values().any(|t| t.state == *s);
    let keys: String = TrialStatus::ALL
        .into_iter()
        .filter(seen)
        .map(|s| format!("<span>{}{}</span>", dot(s).replace(" class=\"dot\"", ""), s.name()))
        .collect();
    format!("<div class=\"keys\">{keys}</div>\n")
}

fn leaderboard(content: &Content<'_>) -> Section {
    let state = content.state;
    let keys = content.keys();
    let lines = facts::leaderboard(content);
    let values: Vec<f64> = lines.iter().filter_map(|l| l.trial.value).filter(|v| v.is_finite()).collect();
    let (low, high) = values.iter().fold((0.0_f64, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
    let down = state.direction() == crate::base::direction::Direction::Maximize;
    let mut headings = vec![
        Heading::number("#"),
        Heading::new("trial"),
        Heading::new("state"),
        Heading { down, right: false, ..Heading::new(state.metric()) },
        Heading::new("95 %"),
        Heading::new("curve"),
        Heading::number("best epoch"),
        Heading::number("epochs"),
        Heading::number("time"),
    ];
    headings.extend(keys.iter().map(|k| Heading { about: Some(k.clone()), ..Heading::number(short(k)) }));
    let mut rows = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let t = line.trial;
        let marks: String = line.marks.iter().map(|m| mark(m)).collect();
        let share = |v: f64| if high > low { 64.0 * (v - low) / (high - low) } else { 0.0 };
        let value = t.value.map_or_else(
            || "–".to_owned(),
            |v| format!("{}<i class=\"bar\" style=\"width:{:.0}px\"></i>", four(v), share(v).clamp(0.0, 64.0)),
        );
        let mut cells = vec![
            Cell::number(&line.rank.map_or_else(|| "–".to_owned(), |r| r.to_string())).by(line.rank.map(|r| r as f64)),
            Cell::html(format!("{}{marks}", t.id)).by(Some(f64::from(t.id.0))),
            Cell::html(format!("{}{}", dot(t.state), escape(t.state.name()))),
            Cell::html(value).by(t.value),
            Cell::text(&t.interval().map_or_else(|| "–".to_owned(), ends)).by(t.interval().map(|i| i.low)),
            Cell::html(if i < SPARKS { spark(content, t) } else { String::new() }).by(t.value),
            Cell::number(&t.best_epoch.map_or_else(|| "–".to_owned(), |e| e.to_string()))
                .by(t.best_epoch.map(f64::from)),
            Cell::number(&format!("{}/{}", t.epochs, t.budget)).by(Some(f64::from(t.epochs))),
            Cell::number(&units::duration(t.seconds(content.at))).by(Some(t.seconds(content.at))),
        ];
        cells.extend(keys.iter().map(|k| match t.params.get(k) {
            None => Cell::number("·").by(None),
            Some(v) if v.is_number() => Cell::number(&cell(v)).by(v.as_f64()),
            Some(v) => Cell::text(&cell(v)).right(),
        }));
        rows.push((format!(" data-trial=\"{}\"", t.id.0), cells));
    }
    let note = "Press a heading to sort. Point at a row to find the trial in every plot.";
    let body = table("leaderboard-table", &headings, &rows, true);
    Section::new("leaderboard", "Leaderboard", "Leaderboard", note, body)
}

fn mark(words: &str) -> String {
    let class = if words == "best" { " best" } else { "" };
    format!("<span class=\"mark{class}\">{}</span>", escape(words))
}

/// The metric by epoch in the size of a word.
fn spark(content: &Content<'_>, trial: &TrialState) -> String {
    let series = trial.series(content.state.metric());
    let ends = series.iter().fold(None, |ends: Option<(f64, f64)>, (_, v)| {
        Some(ends.map_or((*v, *v), |(low, high)| (low.min(*v), high.max(*v))))
    });
    let Some((low, high)) = ends.filter(|_| series.len() > 1) else { return String::new() };
    let every = series.len().div_ceil(40);
    let last = (series.len() - 1) as f64;
    let y = |v: f64| if high > low { 16.0 - 14.0 * (v - low) / (high - low) } else { 9.0 };
    let points = series.iter().enumerate().filter(|(i, _)| i % every == 0 || *i + 1 == series.len());
    let points: Vec<String> = points.map(|(i, (_, v))| format!("{:.1},{:.1}", 64.0 * i as f64 / last, y(*v))).collect();
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 64 18\" aria-hidden=\"true\"><polyline class=\"line l-best\" points=\"{}\"/></svg>",
        points.join(" ")
    )
}

fn pareto(content: &Content<'_>) -> Option<Section> {
    let front = front::front(content.state).ok()?;
    let body = format!("<pre>{}</pre>\n", escape(&front.text(content.state)));
    Some(Section::new("pareto", "Pareto front", "Pareto front", "Trials that no other beats in every objective.", body))
}

fn confirmed(content: &Content<'_>) -> Option<Section> {
    let list = winner::confirmed(content.state);
    let rows: Vec<(String, Vec<Cell>)> = list
        .iter()
        .map(|c| {
            let runs: Vec<String> = c.runs.iter().map(ToString::to_string).collect();
            let cells = vec![
                Cell::text(&c.trial.to_string()),
                Cell::number(&four(c.value)),
                Cell::text(&ends(c.interval)),
                Cell::text(&runs.join(", ")),
            ];
            (format!(" data-trial=\"{}\"", c.trial.0), cells)
        })
        .collect();
    let headings =
        [Heading::new("point of"), Heading::number("mean"), Heading::new("95 %"), Heading::new("further runs")];
    let note =
        "The best points, trained again with other seeds. The winner is named among these by the further runs alone.";
    let body = table("confirmed-table", &headings, &rows, false);
    (!rows.is_empty()).then(|| Section::new("confirmed", "Confirmed", "Points trained again", note, body))
}

fn best(content: &Content<'_>) -> Option<Section> {
    let (changes, same) = facts::changes(content);
    let trial = content.best().filter(|_| !changes.is_empty())?;
    let rows: Vec<(String, Vec<Cell>)> = changes
        .iter()
        .map(|c| {
            let cells =
                vec![Cell::key(&c.key), Cell::number(&c.before), Cell::number(&c.after), Cell::number(&c.factor)];
            (String::new(), cells)
        })
        .collect();
    let headings =
        [Heading::new("key"), Heading::number("baseline"), Heading::number("best"), Heading::number("difference")];
    let mut body = table("changes-table", &headings, &rows, false);
    if !same.is_empty() {
        body.push_str(&format!(
            "<p class=\"note\" style=\"margin-top:.6rem\">Unchanged: {}</p>\n",
            escape(&same.join(", "))
        ));
    }
    body.push_str(&format!(
        "<h3>Train it once more</h3>\n<div><button type=\"button\" data-copy>copy</button><pre>cliptune train -e SPEC.yaml --automl off {}</pre></div>\n",
        escape(&facts::overrides(trial))
    ));
    if let Ok(spec) = std::fs::read_to_string(content.dir.trial(trial.id).spec()) {
        body.push_str(&format!(
            "<details><summary>The whole spec of trial {}</summary><pre>{}</pre></details>\n",
            trial.id,
            escape(&spec)
        ));
    }
    let title = format!("Trial {} against the baseline", trial.id);
    Some(Section::new(
        "best",
        "Best configuration",
        title,
        "What the best trial does differently from the spec as written.",
        body,
    ))
}

fn parallel(content: &Content<'_>) -> Option<Section> {
    let keys = content.keys();
    if keys.is_empty() {
        return None;
    }
    let left_out = keys.len().saturating_sub(plot::PARALLEL_AXES);
    let more = if left_out == 0 { String::new() } else { format!(" The {left_out} least important are left out.") };
    let note = format!("Every trial is a line, the better the stronger; blue is the best, orange the baseline.{more}");
    Some(Section::new("parallel", "Parallel", "Parallel coordinates", &note, wide(&svg(&plot::parallel(content)))))
}

fn slices(content: &Content<'_>) -> Option<Section> {
    let plots: String =
        plot::slices(content).iter().map(|(_, drawing)| format!("<div>{}</div>", svg(drawing))).collect();
    let note = format!(
        "{} against each parameter, the most important first. Later trials are stronger; a ring marks the best, orange the baseline.",
        content.state.metric()
    );
    let body = format!("<div class=\"slices\">{plots}</div>\n");
    (!plots.is_empty()).then(|| Section::new("slices", "Slices", "Slices", &note, body))
}

fn failures(content: &Content<'_>) -> Option<Section> {
    let rows: Vec<(String, Vec<Cell>)> = facts::troubles(content)
        .into_iter()
        .map(|t| {
            let cells = vec![
                Cell::text(&t.trial.to_string()),
                Cell::text(&t.kind),
                Cell::long(&t.message),
                Cell::long(&t.help),
                Cell::number(&t.attempts.to_string()),
            ];
            (format!(" data-trial=\"{}\"", t.trial.0), cells)
        })
        .collect();
    let headings = [
        Heading::new("trial"),
        Heading::new("failure"),
        Heading::new("what happened"),
        Heading::new("what to do"),
        Heading::number("attempts"),
    ];
    let body = table("failures-table", &headings, &rows, false);
    (!rows.is_empty()).then(|| Section::new("failures", "Failures", "Failures", "", body))
}

fn promotion(content: &Content<'_>) -> Option<Section> {
    let promotion = content.state.promotion.as_ref()?;
    let rows: Vec<(String, Vec<Cell>)> = promotion
        .steps
        .iter()
        .map(|s| (String::new(), vec![Cell::text(&s.step), Cell::text(&s.status), Cell::long(&s.detail)]))
        .collect();
    let headings = [Heading::new("step"), Heading::new("status"), Heading::new("detail")];
    let mut body = table("promotion-table", &headings, &rows, false);
    let entries = std::fs::read_dir(content.dir.promoted()).into_iter().flatten().flatten();
    let mut files: Vec<(String, u64)> = entries
        .filter(|e| e.file_type().is_ok_and(|t| t.is_file()))
        .filter_map(|e| Some((e.file_name().into_string().ok()?, e.metadata().ok()?.len())))
        .collect();
    files.sort();
    if !files.is_empty() {
        let list: Vec<String> = files.iter().map(|(name, size)| format!("{name} ({})", units::bytes(*size))).collect();
        body.push_str(&format!("<p class=\"note\" style=\"margin-top:.6rem\">{}</p>\n", escape(&list.join(", "))));
    }
    Some(Section::new("promotion", "Promotion", format!("Promotion of trial {}", promotion.trial), "", body))
}

fn study(content: &Content<'_>) -> Section {
    let state = content.state;
    let mut facts: Vec<(&str, String)> = Vec::new();
    if let Some(meta) = &state.meta {
        facts.push(("spec and space", format!("SHA-256 {}", meta.spec_hash)));
        facts.extend((!meta.rungs.is_empty()).then(|| ("rungs", format!("epochs {:?}", meta.rungs))));
        let fixed: Vec<String> = meta.fixed.iter().map(|(k, v)| format!("{k}={}", cell(v))).collect();
        facts.extend((!fixed.is_empty()).then(|| ("fixed by the command line", fixed.join(", "))));
    }
    if let Some(controller) = &state.controller {
        facts.push(("controller", format!("cliptune {} on {}", controller.version, controller.host)));
    }
    facts.extend(state.ended.iter().map(|why| ("ended", why.clone())));
    if let Some(provenance) = content.best().or(content.baseline()).and_then(|t| t.provenance.as_ref()) {
        let libraries: Vec<String> = provenance.libraries.iter().map(|(name, v)| format!("{name} {v}")).collect();
        facts.push(("device", provenance.device.clone()));
        facts.push(("made with", format!("cliptune {}, {}", provenance.code, libraries.join(", "))));
    }
    facts.extend(
        content
            .best()
            .into_iter()
            .flat_map(|t| &t.data)
            .map(|(split, hash)| ("data", format!("{split}: SHA-256 {hash}"))),
    );
    facts.push(("elsewhere", trackers::wandb::how(content.dir, &content.spec)));
    let rows: Vec<(String, Vec<Cell>)> =
        facts.iter().map(|(name, value)| (String::new(), vec![Cell::text(name), Cell::long(value)])).collect();
    let body = table("study-table", &[Heading::new("what"), Heading::new("")], &rows, false);
    Section::new("study", "Study", "How it was made", "", body)
}
