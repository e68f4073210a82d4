//! `cliptune data`: whether the data sets of a spec can be used, and what they are made of.

use std::path::PathBuf;

use super::format::Shape;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `check` or `inspect`.
    #[arg(value_name = "check|inspect")]
    pub verb: String,
    /// The spec.
    #[arg(value_name = "SPEC.yaml")]
    pub spec: PathBuf,
    /// The action that the spec is for.
    #[arg(long, value_name = "ACTION", default_value = "train")]
    pub action: String,
    /// Overrides.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// Every problem of the data, or what keeps it from being looked at.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    if !["check", "inspect"].contains(&args.verb.as_str()) {
        let problem = Problem::new(format!("`data {}` is not a command", args.verb)).help("check or inspect");
        return Err(Problems::one(ExitCode::Usage, problem));
    }
    #[cfg(feature = "torch")]
    return with_torch::run(args);
    #[cfg(not(feature = "torch"))]
    Err(Problems::one(
        ExitCode::Unavailable,
        Problem::new("this binary was built without the compute plane, which reads images")
            .help("build with default features"),
    ))
}

#[cfg(feature = "torch")]
mod with_torch {
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::Args;
    use crate::base::diagnostic::{Problem, Problems};
    use crate::base::exit::ExitCode;
    use crate::base::units;
    use crate::data::Sources;
    use crate::data::inspect::{Range, Report, inspect};
    use crate::data::pair_set::check_contents;
    use crate::data::problem::{DataProblem, counts};
    use crate::data::scan::Scan;
    use crate::journal::failure::Failure;
    use crate::journal::job::Action;
    use crate::report::table::Grid;
    use crate::spec::{self, Spec};

    pub(super) fn run(args: &Args) -> Result<ExitCode, Problems> {
        let action = Action::from_name(&args.action).ok_or_else(|| {
            let problem = Problem::new(format!("there is no action {}", args.action));
            Problems::one(ExitCode::Usage, problem.help("train, evaluate or inference"))
        })?;
        let resolved = spec::load(action, Some(&args.spec), &args.overrides)?;
        let splits = splits(action, &resolved.spec);
        if splits.is_empty() {
            let problem = Problem::new("the spec names no data set").help("set dataset.train.datasets");
            return Err(Problems::one(ExitCode::Data, problem));
        }
        let scratch = Scratch::new().map_err(|e| one(&Failure::io(&e)))?;
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for (name, sources, captions) in splits {
            let mut scan = Scan::of(sources, &scratch.0, captions).map_err(|e| one(&e))?;
            if args.verb == "check" {
                scan.problems.extend(check_contents(&scan.pairs));
            }
            let report = match args.verb.as_str() {
                "inspect" if scan.problems.is_empty() => {
                    inspect(&scan.pairs).map_err(|more| scan.problems.extend(more)).ok()
                }
                _ => None,
            };
            problems.extend(scan.problems.iter().map(|p| told(name, p, &scratch.0)));
            if scan.problems.len() > 1 {
                let (count, sorts) = (scan.problems.len(), counts(&scan.problems));
                problems.push(Problem::new(format!("{name}: {count} problems in all: {sorts}")));
            }
            found.push((name, scan.pairs.len(), report));
        }
        if !problems.is_empty() {
            return Err(Problems::new(ExitCode::Data, problems));
        }
        if args.verb == "check" {
            let lines =
                found.iter().map(|(name, pairs, _)| format!("{name}: {}, all readable", units::plural(*pairs, "pair")));
            let rows = found.iter().map(|(name, pairs, _)| vec![(*name).to_owned(), pairs.to_string()]);
            let pairs: serde_json::Map<_, _> = found.iter().map(|(n, p, _)| ((*n).to_owned(), json!(p))).collect();
            args.shape.print(
                || lines.collect::<Vec<_>>().join("\n"),
                |_| Grid::new(&["split", "pairs"], rows.collect(), &["pairs"]),
                || json!({"version": 1, "valid": true, "pairs": pairs}),
            );
        } else {
            let splits: serde_json::Map<_, _> = found.iter().map(|(n, _, r)| ((*n).to_owned(), json!(r))).collect();
            args.shape.print(|| table(&found), |_| grid(&found), || json!({"version": 1, "splits": splits}));
        }
        Ok(ExitCode::Ok)
    }

    /// What the action reads: name, sources, whether captions are needed.
    fn splits(action: Action, spec: &Spec) -> Vec<(&'static str, Sources<'_>, bool)> {
        let (train, val) = (Sources::from(&spec.dataset.train), Sources::from(&spec.dataset.val.datasets));
        let all = match action {
            Action::Evaluate if spec.evaluate.datasets.is_empty() => vec![("val", val, true)],
            Action::Evaluate => vec![("evaluate", Sources::from(&spec.evaluate.datasets), true)],
            Action::Inference => vec![("inference", Sources::from(&spec.inference.datasets), false)],
            _ => vec![
                ("train", train, true),
                ("val", val, true),
                ("val2", Sources::from(&spec.dataset.val2.datasets), true),
            ],
        };
        all.into_iter().filter(|(_, sources, _)| !sources.is_empty()).collect()
    }

    fn one(failure: &Failure) -> Problems {
        failure.into()
    }

    /// A problem with the split it is in. Files of archives are named without the folder they were unpacked into.
    fn told(split: &str, problem: &DataProblem, scratch: &Path) -> Problem {
        let prefix = format!("{}/", scratch.display());
        let mut text = String::new();
        for (i, part) in problem.to_string().split(&prefix).enumerate() {
            // The folder of an archive is named by a key.
            text.push_str(if i == 0 { part } else { part.split_once('/').map_or(part, |(_, rest)| rest) });
        }
        Problem::new(format!("{split}: {text}"))
    }

    /// One row a property, one column a split: there are more properties than splits.
    fn grid(found: &[(&'static str, usize, Option<Report>)]) -> Grid {
        let range = |r: &Range| format!("{} / {} / {}", r.min, r.median, r.max);
        let mut columns = vec![
            ["split", "pairs", "formats", "images", "width", "height", "words", "tokens", "captions", "repeated"]
                .map(str::to_owned),
        ];
        for (name, pairs, report) in found {
            let Some(r) = report else { continue };
            columns.push([
                (*name).to_owned(),
                pairs.to_string(),
                r.formats.iter().map(|(f, n)| format!("{n} {f}")).collect::<Vec<_>>().join(", "),
                units::bytes(r.image_bytes),
                range(&r.width),
                range(&r.height),
                range(&r.words),
                range(&r.tokens),
                format!("{} different", r.distinct_captions),
                r.repeated_captions.to_string(),
            ]);
        }
        let rows = (1..columns[0].len()).map(|i| columns.iter().map(|column| column[i].clone()).collect()).collect();
        Grid { heading: columns.iter().map(|column| column[0].clone()).collect(), rows, right: Vec::new() }
    }

    fn table(found: &[(&'static str, usize, Option<Report>)]) -> String {
        let mut text = grid(found).text() + "\n";
        text.push_str("(smallest / middle / largest)");
        for (name, _, report) in found {
            if let Some((caption, count)) = report.as_ref().and_then(|r| r.most_frequent.as_ref()) {
                let short: String = caption.chars().take(60).collect();
                text.push_str(&format!("\n{name}: \"{short}\" is the caption of {}", units::plural(*count, "image")));
            }
        }
        text
    }

    /// A folder for unpacked archives that goes with the command.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> std::io::Result<Self> {
            let path = std::env::temp_dir().join(format!("cliptune-data-{}", std::process::id()));
            std::fs::create_dir_all(&path)?;
            Ok(Self(path))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
