//! What ctrl-s writes: the table that is shown as CSV, and the screen as text.

use super::app::App;
use super::rows::Trial;

/// The trials that pass the filter, in the order shown, as CSV (RFC 4180).
pub fn csv(app: &App) -> String {
    let rows = app.visible();
    let mut keys: Vec<&String> = rows.iter().flat_map(|t| t.params.keys()).collect();
    keys.sort();
    keys.dedup();
    let heading = ["trial", "state", app.study.metric.as_str(), "best_epoch", "epochs", "budget", "seconds"];
    let heading = heading.into_iter().map(str::to_owned).chain(keys.iter().map(|k| (*k).clone()));
    let mut lines = vec![line(heading)];
    lines.extend(rows.iter().map(|t| line(cells(t, &keys))));
    lines.join("\r\n") + "\r\n"
}

fn cells<'a>(trial: &'a Trial, keys: &'a [&String]) -> impl Iterator<Item = String> + 'a {
    let optional = |v: Option<String>| v.unwrap_or_default();
    let fixed = [
        trial.id.to_string(),
        trial.status.name().to_owned(),
        optional(trial.value.map(|v| v.to_string())),
        optional(trial.best_epoch.map(|e| e.to_string())),
        trial.epochs.to_string(),
        trial.budget.to_string(),
        format!("{:.0}", trial.seconds),
    ];
    let point = keys.iter().map(move |key| {
        let value = trial.params.get(*key);
        optional(value.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
    });
    fixed.into_iter().chain(point)
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell,
    });
    quoted.collect::<Vec<_>>().join(",")
}
