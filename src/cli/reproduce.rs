//! `cliptune reproduce`: runs a trial again from what it recorded, and says whether the result is the same to the last bit.

use std::path::{Path, PathBuf};

use super::{job, output, study};
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::{self, with_path};
use crate::base::ids::TrialId;
use crate::base::units;
use crate::journal::checkpoint;
use crate::journal::event::JobEvent;
use crate::journal::job::Job;
use crate::journal::layout::{JobDir, StudyDir};
use crate::journal::tail::Tail;
use crate::state::{StudyState, TrialState};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the study.
    #[arg(value_name = "STUDY_DIR")]
    pub study: PathBuf,
    /// The trial.
    #[arg(value_name = "TRIAL")]
    pub trial: TrialId,
    /// Where it is run again; `<STUDY_DIR>/reproduced/<TRIAL>` otherwise.
    #[arg(long, value_name = "DIR")]
    pub results_dir: Option<PathBuf>,
}

/// Runs the command: exit code 0 when everything is equal to the last bit, 10 when something is not.
///
/// # Errors
/// When the trial has nothing to compare with, or running it again fails.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    let (dir, state) = study::open(&args.study)?;
    let original = study::trial(&state, args.trial)?;
    if original.curve.is_empty() && original.losses.is_empty() {
        let problem = Problem::new(format!("trial {} has no results to compare with", args.trial));
        return Err(Problems::one(ExitCode::Usage, problem.help("choose a trial that trained at least one epoch")));
    }
    let target = args.results_dir.clone().unwrap_or_else(|| dir.path().join("reproduced").join(args.trial.to_string()));
    let again = JobDir(std::path::absolute(&target).unwrap_or(target));
    prepare(&dir, args.trial, &again)?;
    output::note(&format!("running trial {} again in {}", args.trial, again.path().display()));
    let code = job::run(&job::Args { dir: again.0.clone() })?;
    if code != ExitCode::Ok {
        return Ok(code);
    }
    let repeated = read(&state, args.trial, &again).map_err(unexpected)?;
    if let (Some(then), Some(now)) = (&original.provenance, &repeated.provenance) {
        for difference in then.differences(now) {
            output::note(&format!("made of something else: {difference}"));
        }
    }
    for (split, hash) in &original.data {
        if repeated.data.get(split) != Some(hash) {
            output::note(&format!("made of something else: the {split} data set changed"));
        }
    }
    let (equal, differences) = compare(original, &repeated, &dir.trial(args.trial), &again);
    for difference in &differences {
        output::data(difference);
    }
    if differences.is_empty() {
        output::data(&format!("trial {} is reproduced to the last bit: {}", args.trial, equal.join(", ")));
        return Ok(ExitCode::Ok);
    }
    output::note(&format!(
        "trial {} is not reproduced: {}",
        args.trial,
        units::plural(differences.len(), "difference")
    ));
    Ok(ExitCode::Rejected)
}

/// The same spec, byte by byte, and the same job from its beginning.
fn prepare(dir: &StudyDir, trial: TrialId, again: &JobDir) -> Result<(), Problems> {
    if again.job().exists() {
        let problem = Problem::new(format!("{} holds a job already", again.path().display()));
        return Err(Problems::one(ExitCode::Usage, problem.help("remove it, or give another --results-dir")));
    }
    let from = dir.trial(trial);
    let written = (|| {
        let job = Job::read(&from)?;
        let spec = std::fs::read(from.spec()).map_err(with_path(&from.spec()))?;
        std::fs::create_dir_all(again.path()).map_err(with_path(again.path()))?;
        files::atomic_write(&again.spec(), &spec)?;
        Job { attempt: 1, resume: false, ..job }.write(again)
    })();
    written.map_err(unexpected)
}

/// What the repeated job reported, folded as the trial was.
fn read(state: &StudyState, trial: TrialId, again: &JobDir) -> std::io::Result<TrialState> {
    let mut fresh = StudyState { meta: state.meta.clone(), ..StudyState::new() };
    fresh.expect_trial(trial, Default::default(), 0);
    for line in Tail::new(again.events()).read::<JobEvent>()? {
        fresh.apply_job(trial, &line);
    }
    fresh.trials.remove(&trial).ok_or_else(|| std::io::Error::other("the job left no events"))
}

/// What is equal, and what is not.
fn compare(a: &TrialState, b: &TrialState, first: &JobDir, again: &JobDir) -> (Vec<String>, Vec<String>) {
    let (mut values, mut differences) = (0, Vec::new());
    let shown = |v: Option<f64>| v.map_or_else(|| "nothing".to_owned(), |v| format!("{v:?}"));
    let mut same = |what: String, a: Option<f64>, b: Option<f64>| {
        values += 1;
        if a.map(f64::to_bits) != b.map(f64::to_bits) {
            differences.push(format!("{what} was {}, is {}", shown(a), shown(b)));
        }
    };
    for (epoch, metrics) in &a.curve {
        let now = b.curve.iter().find(|(e, _)| e == epoch).map(|(_, m)| m);
        for (name, value) in metrics {
            same(format!("epoch {epoch}: {name}"), *value, now.and_then(|m| m.get(name).copied().flatten()));
        }
    }
    for stats in &a.losses {
        let now = b.losses.iter().find(|s| s.epoch == stats.epoch).and_then(|s| s.loss);
        same(format!("epoch {}: train loss", stats.epoch), stats.loss, now);
    }
    let mut equal = vec![units::plural(values, "value")];
    for path in a.checkpoints.keys().filter(|path| b.checkpoints.contains_key(*path)) {
        let hash = |job: &JobDir| weights(&job.path().join(path));
        match (hash(first), hash(again)) {
            (Ok(a), Ok(b)) if a == b => equal.push(format!("weights of {}", path.display())),
            (Ok(_), Ok(_)) => differences.push(format!("{}: the weights differ", path.display())),
            (Err(why), _) | (_, Err(why)) => differences.push(why),
        }
    }
    (equal, differences)
}

/// The hash of a checkpoint's weights, which its seal vouches for.
fn weights(folder: &Path) -> Result<String, String> {
    let folder = crate::journal::layout::CheckpointDir(folder.to_owned());
    checkpoint::verify(&folder)?;
    files::sha256(&folder.model()).map_err(|e| e.to_string())
}

fn unexpected(e: std::io::Error) -> Problems {
    Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()))
}
