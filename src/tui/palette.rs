//! The commands that are typed after `:`. What they do to a study asks first, as the keys do.

use super::app::{Deed, View};
use super::sort::Column;
use crate::base::ids::TrialId;

/// A typed command.
#[derive(Clone, Debug, PartialEq)]
pub enum Typed {
    /// Something asked of the study for this trial.
    Trial(Deed, TrialId),
    /// More trials.
    Add(u32),
    /// Selects a trial.
    Go(TrialId),
    /// Sorts by a column.
    Sort(Column),
    /// Shows a view.
    Show(View),
    /// Draws a metric.
    Metric(String),
    /// Filters trials.
    Filter(String),
    /// Leaves.
    Quit,
}

/// Every command: name, argument, sentence.
pub const COMMANDS: &[(&str, &str, &str)] = &[
    ("go", "TRIAL", "select a trial"),
    ("stop", "TRIAL", "stop it for good"),
    ("kill", "TRIAL", "stop it now, without a checkpoint"),
    ("pause", "TRIAL", "pause it, or queue a paused one again"),
    ("retry", "TRIAL", "run a failed or stopped one again"),
    ("promote", "TRIAL", "export, parity check, engine, manifest"),
    ("add", "N", "so many more trials"),
    ("sort", "COLUMN", "value, id, state, epochs, speed, loss"),
    ("view", "NAME", "studies, trials, curves, params, gpus, logs, promotion"),
    ("metric", "NAME", "the metric of the curves"),
    ("filter", "TEXT", "as after /"),
    ("quit", "", "leave the screen; trials go on"),
];

/// Reads a command.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse(line: &str) -> Result<Typed, String> {
    let line = line.trim();
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let Some((name, wants, _)) = COMMANDS.iter().find(|(n, _, _)| *n == name) else {
        let names: Vec<&str> = COMMANDS.iter().map(|c| c.0).collect();
        return Err(format!("no command {name:?}; there are {}", names.join(", ")));
    };
    let wrong = || format!(":{name} wants {wants}, not {rest:?}");
    let trial = || rest.trim_start_matches('#').parse::<u32>().map(TrialId).map_err(|_| wrong());
    Ok(match *name {
        "go" => Typed::Go(trial()?),
        "stop" => Typed::Trial(Deed::Stop, trial()?),
        "kill" => Typed::Trial(Deed::Kill, trial()?),
        "pause" => Typed::Trial(Deed::Pause, trial()?),
        "retry" => Typed::Trial(Deed::Retry, trial()?),
        "promote" => Typed::Trial(Deed::Promote, trial()?),
        "add" => Typed::Add(rest.parse().ok().filter(|n| (1..=10_000).contains(n)).ok_or_else(wrong)?),
        "sort" => Typed::Sort(Column::ALL.into_iter().find(|c| c.name() == rest).ok_or_else(wrong)?),
        "view" => Typed::Show(View::ALL.into_iter().find(|v| v.name() == rest).ok_or_else(wrong)?),
        "metric" if !rest.is_empty() => Typed::Metric(rest.to_owned()),
        "filter" => Typed::Filter(rest.to_owned()),
        "quit" => Typed::Quit,
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palette_reads_every_command_and_says_what_is_wrong() {
        assert_eq!(parse("stop #7"), Ok(Typed::Trial(Deed::Stop, TrialId(7))));
        assert_eq!(parse("  sort loss "), Ok(Typed::Sort(Column::Loss)));
        assert_eq!(parse("view gpus"), Ok(Typed::Show(View::Gpus)));
        assert_eq!(parse("filter state:failed x"), Ok(Typed::Filter("state:failed x".to_owned())));
        assert_eq!(parse("stop"), Err(":stop wants TRIAL, not \"\"".to_owned()));
        assert!(parse("add 0").is_err() && parse("sort colour").is_err() && parse("metric").is_err());
        assert!(parse("explode").unwrap_err().starts_with("no command \"explode\"; there are go, stop"));
    }
}
