//! `cliptune space`: the search space of a spec, as a study would use it.

use std::path::Path;

use serde_json::{Value, json};

use super::format::Shape;
use super::output;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::with_path;
use crate::base::units::{number, plural};
use crate::journal::job::Action;
use crate::journal::layout::StudyDir;
use crate::report::table::Grid;
use crate::search::space::domain::text;
use crate::search::space::{CONFIDENCE, Domain, Earlier, Fixed, Link, Parameter, Space, show_condition};
use crate::spec::{self, Resolved};
use crate::study::history::observations;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `show` or `check`.
    #[arg(value_name = "show|check", value_parser = ["show", "check"])]
    pub verb: String,
    /// The spec.
    #[arg(value_name = "SPEC.yaml")]
    pub spec: std::path::PathBuf,
    /// Overrides, for example `automl.search_space=lora`.
    #[arg(value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How the result is printed.
    #[command(flatten)]
    pub shape: Shape,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let resolved = load_spec(&args.spec, &args.overrides)?;
    let (space, fixed) = of_spec(&resolved)?;
    let object = || {
        json!({
            "version": 1,
            "search_space": space.name(),
            "space": space.to_json(),
            "fixed": fixed.fixed,
            "dropped": fixed.dropped,
        })
    };
    if args.verb == "show" || args.shape.is_json() {
        args.shape.print(|| table(&space), |_| grid(&space), object);
    }
    if !args.shape.is_json() {
        remarks(&fixed).iter().for_each(|line| output::note(line));
        if args.verb == "check" {
            let searched = plural(space.len(), "parameter");
            output::note(&format!("search space {}: {searched}, nothing wrong", space.name()));
        }
    }
    Ok(ExitCode::Ok)
}

/// The train spec with overrides, of which `automl.space.KEY=LINE` is short for one more entry of `automl.space`.
///
/// # Errors
/// Everything wrong with the spec.
pub fn load_spec(path: &Path, overrides: &[String]) -> Result<Resolved, Problems> {
    const PREFIX: &str = "automl.space.";
    let (lines, mut rest): (Vec<String>, Vec<String>) = overrides.iter().cloned().partition(|o| o.starts_with(PREFIX));
    let resolved = spec::load(Action::Train, Some(path), &rest)?;
    if lines.is_empty() {
        return Ok(resolved);
    }
    let mut all = resolved.spec.automl.space.clone();
    all.extend(lines.iter().map(|line| line[PREFIX.len()..].to_owned()));
    rest.retain(|o| !o.starts_with("automl.space="));
    // A list of texts in JSON is YAML as well.
    rest.push(format!("automl.space={}", json!(all)));
    spec::load(Action::Train, Some(path), &rest)
}

/// The space that a study of this spec searches: the one it names, with its changes, checked against the schema, without
/// the parameters that the command line gives.
///
/// # Errors
/// Everything wrong with the space, and an override that leaves nothing of it.
pub fn of_spec(resolved: &Resolved) -> Result<(Space, Fixed), Problems> {
    let setting = resolved.get("automl.search_space").map_or_else(|| "default".to_owned(), text);
    let mut space = load(&setting)?;
    let mut problems = Vec::new();
    for line in &resolved.spec.automl.space {
        let Some((key, text)) = line.split_once('=') else {
            let problem = Problem::new(format!("automl.space: `{line}` has no `=`"));
            problems.push(problem.help("write KEY=log(1e-7,1e-4), or KEY=off"));
            continue;
        };
        match space.with_line(key.trim(), text) {
            Ok(changed) => space = changed,
            Err(found) => problems.extend(found.list),
        }
    }
    if !problems.is_empty() {
        return Err(Problems::new(ExitCode::Usage, problems));
    }
    let keys: Vec<String> = space.params().iter().map(|p| p.key.clone()).collect();
    let given = keys.iter().filter(|key| resolved.is_from_command_line(key));
    let given: Vec<(&str, &Value)> = given.filter_map(|key| Some((key.as_str(), resolved.get(key)?))).collect();
    let fixed = space.fix_all(given)?;
    space = with_earlier(space, resolved)?;
    space.check_against(|point| {
        let values: Vec<(String, Value)> = point.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let tried = resolved.with(&values);
        tried.map(|_| ()).map_err(|problems| problems.list.into_iter().map(|p| p.what).collect())
    })?;
    Ok((space, fixed))
}

/// The space with what the studies of `automl.warm_start` found; a study that exists keeps what they had found when it began.
fn with_earlier(space: Space, resolved: &Resolved) -> Result<Space, Problems> {
    let automl = &resolved.spec.automl;
    if automl.warm_start.is_empty() {
        return Ok(space);
    }
    let own = resolved.get("results_dir").map(text).filter(|path| !path.is_empty()).map(StudyDir::new);
    if let Some(own) = own.filter(StudyDir::exists)
        && let Ok(written) = std::fs::read_to_string(own.space())
    {
        let written = Space::parse_yaml(&written, &own.space().display().to_string())?;
        return Ok(space.with_earlier(written.earlier().to_vec()));
    }
    let (mut earlier, mut problems) = (Vec::new(), Vec::new());
    for path in &automl.warm_start {
        match super::study::open(path) {
            Ok((_, state)) if state.metric() == automl.metric && state.direction() == automl.direction => {
                let found = observations(&state).into_iter().filter_map(|o| Some((o.params, o.value?))).collect();
                earlier.extend(Earlier::of_study(found, automl.direction));
            }
            Ok((_, state)) => {
                let what = format!("automl.warm_start: {} ranks its trials by {}", path.display(), state.metric());
                let help = format!("studies of {} in the same direction can be learned from", automl.metric);
                problems.push(Problem::new(what).help(help));
            }
            Err(found) => problems.extend(found.list),
        }
    }
    if problems.is_empty() { Ok(space.with_earlier(earlier)) } else { Err(Problems::new(ExitCode::Usage, problems)) }
}

/// The bundled space of this name, the space that the train schema marks (`schema`), or that of the file at this path: a
/// space file, or a schema in JSON.
///
/// # Errors
/// When there is none of these, and everything wrong with the file.
pub fn load(setting: &str) -> Result<Space, Problems> {
    if setting == "schema" {
        return Space::from_schema(&spec::json_schema::json_schema(Action::Train).to_string(), setting);
    }
    let path = Path::new(setting);
    let ends = |list: &[&str]| path.extension().is_some_and(|e| list.iter().any(|l| e == *l));
    let looks_like_a_path = setting.contains('/') || ends(&["yaml", "yml", "json"]);
    if !looks_like_a_path && !path.is_file() {
        return Space::bundled(setting);
    }
    let text = std::fs::read_to_string(path).map_err(with_path(path)).map_err(|e| {
        let help = "automl.search_space is the name of a bundled space or the path of a space file";
        Problems::one(ExitCode::NotFound, Problem::new(e.to_string()).help(help))
    })?;
    if ends(&["json"]) { Space::from_schema(&text, setting) } else { Space::parse_yaml(&text, setting) }
}

/// One line for each parameter that the command line took out of the search.
pub fn remarks(fixed: &Fixed) -> Vec<String> {
    let given = fixed.fixed.iter().map(|(key, value)| format!("{key} = {} (given, not searched)", text(value)));
    given.chain(fixed.dropped.iter().map(|key| format!("{key} has no effect then, not searched"))).collect()
}

/// The parameters of a space as a table, then its forbidden combinations.
pub fn table(space: &Space) -> String {
    let mut lines = vec![grid(space).text()];
    lines.extend(space.constraints().iter().map(|f| format!("never: {}", f.describe())));
    if !space.earlier().is_empty() {
        lines.push(format!("earlier studies: {}", plural(space.earlier().len(), "point")));
    }
    lines.join("\n")
}

/// The parameters of a space.
fn grid(space: &Space) -> Grid {
    let rows = space.params().iter().map(|p| row(p).to_vec()).collect();
    Grid::new(&["parameter", "values", "scale", "good", "active when"], rows, &[])
}

fn row(parameter: &Parameter) -> [String; 5] {
    let step = |step: Option<String>| step.map_or_else(|| "linear".to_owned(), |s| format!("step {s}"));
    let (values, scale) = match &parameter.domain {
        Domain::Float { low, high, log: true, .. } => {
            (format!("{} … {}", number(*low), number(*high)), "log".to_owned())
        }
        Domain::Float { low, high, step: by, .. } => {
            (format!("{} … {}", number(*low), number(*high)), step(by.map(number)))
        }
        Domain::Int { low, high, log: true, .. } => (format!("{low} … {high}"), "log".to_owned()),
        Domain::Int { low, high, step: by, .. } => (format!("{low} … {high}"), step(Some(by.to_string()))),
        Domain::Categorical(list) | Domain::Ordinal(list) => {
            (list.iter().map(text).collect::<Vec<_>>().join(", "), parameter.domain.kind().to_owned())
        }
        Domain::Bool => ("false, true".to_owned(), "bool".to_owned()),
        Domain::Constant(value) => (text(value), "constant".to_owned()),
    };
    let values = match &parameter.link {
        None => values,
        Some(Link::Factor(of)) => format!("{of} × {values}"),
        Some(Link::Share(of)) => format!("{values} / {of}"),
    };
    let mut good = parameter.good.as_ref().map_or_else(String::new, |v| v.as_f64().map_or_else(|| text(v), number));
    if !good.is_empty() && parameter.confidence != CONFIDENCE {
        good.push_str(&format!(" (confidence {})", number(parameter.confidence)));
    }
    let when = parameter.when.iter().map(show_condition).collect::<Vec<_>>().join(" and ");
    [parameter.key.clone(), values, scale, good, when]
}
