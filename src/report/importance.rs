//! The importance of parameters as a table.

use super::leaderboard::short;
use super::table::table;
use crate::search::importance::{ENOUGH, Importance};

/// Parameters with their shares of the variance, most important first.
pub fn text(list: &[Importance], metric: &str) -> String {
    if list.is_empty() {
        return format!("{ENOUGH} trials with different values of {metric} are needed to compare parameters");
    }
    let heading = ["parameter", "share", "±", "trials", metric];
    let percent = |x: f64| format!("{:.1} %", 100.0 * x);
    let mut rows: Vec<Vec<String>> = list
        .iter()
        .map(|i| {
            vec![
                short(&i.key).to_owned(),
                percent(i.share),
                percent(i.spread),
                i.trials.to_string(),
                trend(i.trend).to_owned(),
            ]
        })
        .collect();
    let rest = (1.0 - list.iter().map(|i| i.share).sum::<f64>()).max(0.0);
    rows.push(vec!["(together)".to_owned(), percent(rest), String::new(), String::new(), String::new()]);
    table(&heading, &rows, &["share", "±", "trials"])
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
