//! The importance of parameters as a table.

use super::leaderboard::short;
use super::table::Grid;
use crate::search::importance::{ENOUGH, Importance};

/// Parameters with their shares of the variance, most important first.
pub fn text(list: &[Importance], metric: &str) -> String {
    if list.is_empty() {
        return format!("{ENOUGH} trials with different values of {metric} are needed to compare parameters");
    }
    grid(list, metric, false).text()
}

/// The same as a grid; `exact` for other programs: numbers and keys in full.
pub fn grid(list: &[Importance], metric: &str, exact: bool) -> Grid {
    let percent = |x: f64| if exact { x.to_string() } else { format!("{:.1} %", 100.0 * x) };
    let row = |i: &Importance| {
        let trend = if exact { i.trend.map_or(String::new(), |t| t.to_string()) } else { trend(i.trend).to_owned() };
        let key = if exact { i.key.as_str() } else { short(&i.key) };
        vec![key.to_owned(), percent(i.share), percent(i.spread), i.trials.to_string(), trend]
    };
    let mut rows: Vec<Vec<String>> = list.iter().map(row).collect();
    if exact {
        return Grid::new(&["parameter", "share", "spread", "trials", "trend"], rows, &[]);
    }
    let rest = (1.0 - list.iter().map(|i| i.share).sum::<f64>()).max(0.0);
    rows.push(vec!["(together)".to_owned(), percent(rest), String::new(), String::new(), String::new()]);
    Grid::new(&["parameter", "share", "±", "trials", metric], rows, &["share", "±", "trials"])
}

/// How the metric goes with larger values.
pub fn trend(trend: Option<f64>) -> &'static str {
    match trend {
        None => "",
        Some(t) if t > 0.3 => "rises",
        Some(t) if t < -0.3 => "falls",
        Some(_) => "has its best in between, or does not care",
    }
}
