//! Studies side by side: one row each, and rows that differ in their seed alone gathered into a mean and its spread.

use serde_json::{Value, json};

use super::table::{Grid, table};
use crate::base::direction::Direction;
use crate::base::units;
use crate::journal::layout::StudyDir;
use crate::state::{StudyState, snapshot};

/// What a study came to.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is a case of: rows of one group are alike but for their seed.
    pub group: String,
    /// Its folder.
    pub dir: String,
    /// One word for how it stands.
    pub state: String,
    /// The sampler.
    pub sampler: String,
    /// The seed.
    pub seed: u64,
    /// Trials at their end, and those of them that failed.
    pub trials: (usize, usize),
    /// The metric that ranks trials.
    pub metric: String,
    /// Its direction.
    pub direction: Direction,
    /// Value of the model before training.
    pub untrained: Option<f64>,
    /// Value of the spec as written.
    pub baseline: Option<f64>,
    /// Value of the best trial.
    pub best: Option<f64>,
    /// The best trial.
    pub trial: Option<String>,
    /// Seconds that controllers spent on it.
    pub seconds: f64,
}

/// The row of a study.
pub fn row(group: &str, dir: &StudyDir, state: &StudyState) -> Row {
    let best = state.best();
    let counts = state.counts();
    Row {
        group: group.to_owned(),
        dir: dir.path().display().to_string(),
        state: snapshot::phase(state, snapshot::controller_is_up(dir)).to_owned(),
        sampler: state.meta.as_ref().map_or(String::new(), |m| m.sampler.clone()),
        seed: state.meta.as_ref().map_or(0, |m| m.seed),
        trials: (counts.done(), counts.failed),
        metric: state.metric().to_owned(),
        direction: state.direction(),
        untrained: state.pretrained(),
        baseline: state.baseline().and_then(|t| t.value),
        best: best.and_then(|t| t.value),
        trial: best.map(|t| t.id.to_string()),
        seconds: state.last_event.map_or(0.0, |ts| state.elapsed(ts)),
    }
}

/// Mean and sample standard deviation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// Values.
    pub count: usize,
    /// Their mean; `None` without values.
    pub mean: Option<f64>,
    /// Their standard deviation; `None` below two values.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of the values that are there.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Self {
        let values: Vec<f64> = values.flatten().filter(|v| v.is_finite()).collect();
        let count = values.len();
        let mean = (count > 0).then(|| values.iter().sum::<f64>() / count as f64);
        let squares = mean.map(|m| values.iter().map(|v| (v - m).powi(2)).sum::<f64>());
        let deviation = squares.filter(|_| count > 1).map(|s| (s / (count - 1) as f64).sqrt());
        Self { count, mean, deviation }
    }

    fn shown(&self) -> String {
        match (self.mean, self.deviation) {
            (Some(mean), Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
            (mean, _) => value(mean),
        }
    }

    fn json(&self) -> Value {
        json!({"count": self.count, "mean": self.mean, "deviation": self.deviation})
    }
}

/// Rows of one group together.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// The metric of its rows; several names when they differ, and then no means.
    pub metric: String,
    /// Studies.
    pub studies: usize,
    /// Before training.
    pub untrained: Spread,
    /// The spec as written.
    pub baseline: Spread,
    /// The best trials.
    pub best: Spread,
    /// Studies whose best trial beats their baseline.
    pub beat_baseline: usize,
    /// Seconds of all of them.
    pub seconds: f64,
}

/// The groups in the order in which they first appear.
pub fn groups(rows: &[Row]) -> Vec<Group> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.group.as_str()) {
            names.push(&row.group);
        }
    }
    names.into_iter().map(|name| group(name, &rows.iter().filter(|r| r.group == name).collect::<Vec<_>>())).collect()
}

fn group(name: &str, rows: &[&Row]) -> Group {
    let mut metrics: Vec<&str> = rows.iter().map(|r| r.metric.as_str()).collect();
    metrics.sort_unstable();
    metrics.dedup();
    let comparable = metrics.len() == 1;
    let spread = |pick: fn(&Row) -> Option<f64>| Spread::of(rows.iter().map(|r| pick(r).filter(|_| comparable)));
    let beats = |r: &Row| r.best.zip(r.baseline).is_some_and(|(best, base)| r.direction.is_better(best, base));
    Group {
        name: name.to_owned(),
        metric: metrics.join(", "),
        studies: rows.len(),
        untrained: spread(|r| r.untrained),
        baseline: spread(|r| r.baseline),
        best: spread(|r| r.best),
        beat_baseline: rows.iter().filter(|r| beats(r)).count(),
        seconds: rows.iter().map(|r| r.seconds).sum(),
    }
}

const ROW: [&str; 11] =
    ["study", "state", "sampler", "seed", "trials", "metric", "untrained", "baseline", "best", "trial", "time"];
const GROUP: [&str; 8] = ["spec", "studies", "metric", "untrained", "baseline", "best", "beat baseline", "time"];
const RIGHT: [&str; 8] = ["seed", "trials", "untrained", "baseline", "best", "time", "studies", "beat baseline"];

fn value(v: Option<f64>) -> String {
    v.map_or("–".to_owned(), |v| format!("{v:.4}"))
}

fn row_cells(rows: &[Row], exact: bool) -> Vec<Vec<String>> {
    let value = |v: Option<f64>| if exact { v.map_or(String::new(), |v| v.to_string()) } else { value(v) };
    let cells = |r: &Row| {
        let failed = if r.trials.1 > 0 { format!(" ({} failed)", r.trials.1) } else { String::new() };
        vec![
            r.dir.clone(),
            r.state.clone(),
            r.sampler.clone(),
            r.seed.to_string(),
            format!("{}{failed}", r.trials.0),
            r.metric.clone(),
            value(r.untrained),
            value(r.baseline),
            value(r.best),
            r.trial.clone().unwrap_or_else(|| "–".to_owned()),
            if exact { format!("{:.3}", r.seconds) } else { units::duration(r.seconds) },
        ]
    };
    rows.iter().map(cells).collect()
}

fn group_cells(groups: &[Group]) -> Vec<Vec<String>> {
    let cells = |g: &Group| {
        vec![
            g.name.clone(),
            g.studies.to_string(),
            g.metric.clone(),
            g.untrained.shown(),
            g.baseline.shown(),
            g.best.shown(),
            format!("{} of {}", g.beat_baseline, g.studies),
            units::duration(g.seconds),
        ]
    };
    groups.iter().map(cells).collect()
}

/// The rows as a table; `exact` for other programs: numbers in full.
pub fn rows_grid(rows: &[Row], exact: bool) -> Grid {
    Grid::new(&ROW, row_cells(rows, exact), &RIGHT)
}

/// The rows as an aligned table.
pub fn rows_text(rows: &[Row]) -> String {
    rows_grid(rows, false).text()
}

/// The groups as an aligned table.
pub fn groups_text(groups: &[Group]) -> String {
    table(&GROUP, &group_cells(groups), &RIGHT)
}

/// The rows as a Markdown table.
pub fn rows_markdown(rows: &[Row]) -> String {
    rows_grid(rows, false).markdown()
}

/// The groups as a Markdown table.
pub fn groups_markdown(groups: &[Group]) -> String {
    Grid::new(&GROUP, group_cells(groups), &RIGHT).markdown()
}

/// A group as JSON.
pub fn group_json(group: &Group) -> Value {
    json!({
        "spec": group.name, "metric": group.metric, "studies": group.studies, "untrained": group.untrained.json(),
        "baseline": group.baseline.json(), "best": group.best.json(), "beat_baseline": group.beat_baseline,
        "seconds": group.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn study(group: &str, seed: u64, baseline: f64, best: Option<f64>, metric: &str) -> Row {
        Row {
            group: group.to_owned(),
            dir: format!("{group}/{seed}"),
            state: "ended".to_owned(),
            sampler: "gp".to_owned(),
            seed,
            trials: (3, 0),
            metric: metric.to_owned(),
            direction: Direction::Maximize,
            untrained: None,
            baseline: Some(baseline),
            best,
            trial: Some("0001".to_owned()),
            seconds: 60.0,
        }
    }

    #[test]
    fn groups_mean_and_deviation_by_hand() {
        let rows = [
            study("a", 0, 0.5, Some(0.6), "m"),
            study("b", 0, 0.5, Some(0.4), "m"),
            study("a", 1, 0.5, Some(0.8), "m"),
            study("a", 2, 0.5, None, "m"),
        ];
        let groups = groups(&rows);
        assert_eq!(groups.iter().map(|g| (g.name.as_str(), g.studies)).collect::<Vec<_>>(), [("a", 3), ("b", 1)]);
        let best = groups[0].best;
        assert_eq!(best.count, 2);
        assert!((best.mean.unwrap() - 0.7).abs() < 1e-12 && (best.deviation.unwrap() - 0.02_f64.sqrt()).abs() < 1e-12);
        assert_eq!((groups[0].beat_baseline, groups[1].beat_baseline), (2, 0));
        assert_eq!(groups[1].best.deviation, None);
        let text = groups_markdown(&groups);
        assert!(text.lines().nth(1).unwrap().starts_with("| --- | ---: |"), "{text}");
        assert!(text.contains("| a | 3 | m | – | 0.5000 ± 0.0000 | 0.7000 ± 0.1414 | 2 of 3 | 3:00 |"), "{text}");
    }

    #[test]
    fn groups_of_different_metrics_have_no_mean() {
        let rows = [study("a", 0, 0.5, Some(0.6), "m"), study("a", 1, 0.5, Some(9.0), "n")];
        let group = &groups(&rows)[0];
        assert_eq!((group.metric.as_str(), group.best.mean), ("m, n", None));
    }
}
