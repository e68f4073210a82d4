//! `cliptune complete LINE`: what could stand next on a command line, one candidate a line, with a tab and what it is.
//! The scripts of `cliptune completions` ask it at every press of the tab key, so it only reads, and says nothing when in
//! doubt.

mod candidates;
mod words;

use clap::{Arg, Command};

use super::{command, output};
use crate::base::diagnostic::Problems;
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command line up to the cursor, from its program on.
    #[arg(value_name = "LINE", allow_hyphen_values = true)]
    pub line: String,
    /// Characters at which the shell itself breaks words: of candidates only what comes after the last one is printed.
    #[arg(long, value_name = "CHARACTERS", default_value = "")]
    pub breaks: String,
}

/// Something that could stand next, and what it is.
pub(super) type Candidate = (String, String);

/// Runs the command.
///
/// # Errors
/// Never: where nothing is known, nothing is printed.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let words = words::of(&args.line);
    let cut = broken(words.last().map_or("", String::as_str), &args.breaks);
    for (word, what) in candidates(&words) {
        let word = words::quoted(word.get(cut..).unwrap_or(&word));
        output::data(&if what.is_empty() { word } else { format!("{word}\t{what}") });
    }
    Ok(ExitCode::Ok)
}

/// How many bytes of the word the shell has taken already.
fn broken(word: &str, breaks: &str) -> usize {
    word.char_indices().rfind(|(_, c)| breaks.contains(*c)).map_or(0, |(at, c)| at + c.len_utf8())
}

/// What could stand in the place of the last word.
fn candidates(words: &[String]) -> Vec<Candidate> {
    let mut root = command();
    root.build();
    let Some((current, before)) = words.split_last() else { return Vec::new() };
    let place = walk(&root, before);
    let mut found = match place.value_of {
        Some(arg) => candidates::values(arg, current, &place),
        None if current.starts_with('-') => options(&place, current),
        None => following(&place, current),
    };
    found.retain(|(word, _)| word.starts_with(current.as_str()));
    found
}

/// Where the last word stands.
pub(super) struct Place<'a> {
    command: &'a Command,
    /// The option whose value it is.
    value_of: Option<&'a Arg>,
    /// What the places before it hold, by the name of the argument.
    pub(super) given: Vec<(&'a str, String)>,
    /// Places that are taken.
    taken: usize,
}

fn walk<'a>(root: &'a Command, words: &[String]) -> Place<'a> {
    let mut place = Place { command: root, value_of: None, given: Vec::new(), taken: 0 };
    for word in words.iter().skip(1) {
        if let Some(arg) = place.value_of.take() {
            place.given.push((arg.get_id().as_str(), word.clone()));
        } else if word.starts_with('-') && word.len() > 1 {
            place.value_of =
                option(place.command, word).filter(|arg| arg.get_action().takes_values() && !word.contains('='));
        } else if let Some(below) = place.command.find_subcommand(word) {
            (place.command, place.taken) = (below, 0);
        } else {
            if let Some(arg) = position(place.command, place.taken) {
                place.given.push((arg.get_id().as_str(), word.clone()));
            }
            place.taken += 1;
        }
    }
    place
}

/// The argument at a place; the last one may take more than one.
fn position(command: &Command, place: usize) -> Option<&Arg> {
    let all: Vec<&Arg> = command.get_positionals().collect();
    let last = all.last().filter(|arg| matches!(arg.get_action(), clap::ArgAction::Append));
    all.get(place).or(last).copied()
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    let find = |is: &dyn Fn(&Arg) -> bool| command.get_arguments().find(|arg| is(arg));
    match word.strip_prefix("--") {
        Some(long) => {
            let long = long.split('=').next().unwrap_or(long);
            find(&|arg| arg.get_long() == Some(long))
        }
        // Of several letters in one word only the last one can take a value.
        None => find(&|arg| arg.get_short() == word.chars().last()),
    }
}

fn options(place: &Place<'_>, current: &str) -> Vec<Candidate> {
    if let (true, Some((name, value))) = (current.starts_with("--"), current.split_once('=')) {
        let Some(arg) = option(place.command, current) else { return Vec::new() };
        let values = candidates::values(arg, value, place);
        return values.into_iter().map(|(word, what)| (format!("{name}={word}"), what)).collect();
    }
    let shown = place.command.get_arguments().filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), help(arg.get_help())))).collect()
}

/// Commands, or values of the argument at this place.
fn following(place: &Place<'_>, current: &str) -> Vec<Candidate> {
    let below = place.command.get_subcommands().filter(|c| !c.is_hide_set());
    let mut found: Vec<Candidate> = below.map(|c| (c.get_name().to_owned(), help(c.get_about()))).collect();
    if let Some(arg) = position(place.command, place.taken) {
        found.extend(candidates::values(arg, current, place));
    }
    found
}

fn help(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Vec<String> {
        candidates(&words::of(line)).into_iter().map(|(word, _)| word).collect()
    }

    #[test]
    fn commands_and_options_follow_the_tree() {
        assert_eq!(of("cliptune tr"), ["train", "trials"]);
        assert_eq!(of("cd x && ./bin/cliptune -q store re"), ["rebuild"]);
        assert_eq!(of("cliptune train --res"), ["--results-dir", "--resume"]);
        assert!(of("cliptune trials --f").contains(&"--format".to_owned()));
        assert_eq!(of("cliptune trials --format "), ["table", "csv", "json", "md"]);
        assert_eq!(of("cliptune trials --format=c"), ["--format=csv"]);
        assert_eq!(of("cliptune --progress p"), ["plain"]);
        assert_eq!(of("cliptune --explain loc"), ["locked"]);
        assert!(!of("cliptune ").contains(&"job".to_owned()), "hidden");
    }

    #[test]
    fn keys_go_section_by_section_then_values() {
        assert_eq!(of("cliptune train -e s.yaml train.optim.vi"), ["train.optim.vision_lr="]);
        assert!(of("cliptune train -e s.yaml tr").contains(&"train.".to_owned()));
        assert_eq!(of("cliptune train -e s.yaml train.loss_type=c"), ["train.loss_type=clip"]);
        assert_eq!(of("cliptune train -e s.yaml a=1 ~train.optim.text"), ["~train.optim.text_lr"]);
        assert_eq!(of("cliptune train -e s.yaml automl.space.train.optim.vi"), ["automl.space.train.optim.vision_lr="]);
        assert_eq!(of("cliptune spec template gen"), ["gen_trt_engine"]);
        assert_eq!(of("cliptune schema eva"), ["evaluate"]);
    }

    #[test]
    fn what_the_shell_has_taken_is_left_out() {
        assert_eq!(broken("train.loss_type=c", " =:"), "train.loss_type=".len());
        assert_eq!(broken("train.loss_type", " =:"), 0);
    }
}
