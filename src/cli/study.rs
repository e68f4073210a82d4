//! What the commands about a study share: opening it, naming a trial, sending a command to its controller.

use std::path::Path;
use std::time::{Duration, Instant};

use super::output;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::ids::TrialId;
use crate::base::time::Timestamp;
use crate::base::units;
use crate::journal::event::StudyEvent;
use crate::journal::layout::StudyDir;
use crate::journal::spool::{self, Command};
use crate::journal::tail::Tail;
use crate::state::reader;
use crate::state::snapshot;
use crate::state::study::StudyState;
use crate::state::trial::TrialState;

/// How long a controller may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The study in a folder, as its journals tell.
pub(super) fn open(path: &Path) -> Result<(StudyDir, StudyState), Problems> {
    let dir = StudyDir::new(path);
    if !dir.exists() {
        let problem = Problem::new(format!("there is no study in {}", path.display()));
        return Err(Problems::one(ExitCode::NotFound, problem.help("give the results_dir of a `cliptune train`")));
    }
    let state = reader::load(&dir).map_err(|e| {
        let problem = Problem::new(e.to_string());
        let problem = match e.kind() {
            std::io::ErrorKind::InvalidData => problem.help("`cliptune store check STUDY_DIR` names all damage"),
            _ => problem,
        };
        Problems::one(ExitCode::Unexpected, problem)
    })?;
    Ok((dir, state))
}

/// The moment that a study is looked at: now while somebody runs it, otherwise when it last gave a sign of life, so that the
/// clocks of trials that a dead controller left do not run on.
pub(super) fn moment(dir: &StudyDir, state: &StudyState) -> Timestamp {
    let signs = state.trials.values().filter(|t| t.state.is_active()).filter_map(TrialState::last_heartbeat);
    match signs.chain(state.last_event).max() {
        Some(last) if !snapshot::controller_is_up(dir) => last,
        _ => Timestamp::now(),
    }
}

/// A trial of the study.
pub(super) fn trial(state: &StudyState, id: TrialId) -> Result<&TrialState, Problems> {
    state.trials.get(&id).ok_or_else(|| {
        let has = units::plural(state.trials.len(), "trial");
        Problems::one(
            ExitCode::NotFound,
            Problem::new(format!("there is no trial {id}")).help(format!("the study has {has}")),
        )
    })
}

/// Drops a command into the study's spool and waits for the controller's answer. One that still makes sense later waits for
/// the next controller when there is none.
pub(super) fn send(path: &Path, about: Option<TrialId>, command: &Command) -> Result<ExitCode, Problems> {
    let (dir, state) = open(path)?;
    if let Some(id) = about {
        trial(&state, id)?;
    }
    let failed = |e: std::io::Error| Problems::one(ExitCode::Unexpected, Problem::new(e.to_string()));
    let can_wait = !matches!(command, Command::Stop | Command::Pause | Command::Resume);
    if !snapshot::controller_is_up(&dir) && can_wait {
        spool::drop_command(&dir.commands(), command).map_err(failed)?;
        output::note("no controller runs the study: carried out when `cliptune train … --resume` continues it");
        return Ok(ExitCode::Ok);
    }
    if !snapshot::controller_is_up(&dir) {
        let problem = Problem::new(format!("no controller runs the study in {}", path.display()));
        return Err(Problems::one(
            ExitCode::NotFound,
            problem.help("`cliptune train … --resume` continues it; then send the command again"),
        ));
    }
    let mut journal = Tail::new(dir.journal());
    journal.read::<StudyEvent>().map_err(failed)?;
    let sent = spool::drop_command(&dir.commands(), command).map_err(failed)?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for line in journal.read::<StudyEvent>().map_err(failed)? {
            match line.event {
                StudyEvent::CommandAccepted { id, command } if id == sent => {
                    output::note(&format!("accepted: {command}"));
                    return Ok(ExitCode::Ok);
                }
                StudyEvent::CommandRejected { id, why } if id == sent => {
                    return Err(Problems::one(ExitCode::Usage, Problem::new(why)));
                }
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    output::note("sent; the controller has not answered yet");
    Ok(ExitCode::Ok)
}
