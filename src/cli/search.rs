//! `cliptune search`: an ask/tell optimiser for other programs, JSON lines on stdin and stdout.
//!
//! With a `state_dir` every answer is in a journal before it is given, so a killed session continues where it was.

use std::io::{BufRead, Read};
use std::path::Path;

use serde_json::{Value, json};

use super::output;
use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::base::files::OwnerLock;
use crate::base::time::{Clock, SystemClock};
use crate::journal::tail::Tail;
use crate::journal::writer::Writer;
use crate::search::algorithm::{self, Algorithm, Budget, Plan};
use crate::search::asktell::{Init, Record, Request, Session};
use crate::search::scheduler::Settings;

/// Arguments of the command.
#[derive(Debug, clap::Args)]
#[command(after_help = algorithm::table())]
pub struct Args {
    /// Where to look next.
    #[arg(long, default_value = "gp")]
    pub sampler: String,
    /// How long to look.
    #[arg(long, default_value = "auto")]
    pub scheduler: String,
}

/// A session with what makes it durable.
struct Durable {
    session: Session,
    journal: Option<(Writer<Record>, OwnerLock)>,
}

/// Runs the command.
///
/// # Errors
/// Every problem that keeps it from doing its work.
pub fn run(args: &Args) -> Result<ExitCode, Problems> {
    // Names are looked up before the first line, whose numbers then say what `auto` becomes.
    let plan = Plan { trials: 50, budget: Budget::Epochs, workers: 1, max_epochs: 1, settings: Settings::default() };
    Algorithm::by_name(&args.sampler, &args.scheduler, &plan)?;
    let mut durable: Option<Durable> = None;
    let mut input = std::io::stdin().lock();
    loop {
        let line = read_line(&mut input);
        let line = line.map_err(|e| Problems::one(ExitCode::Unexpected, Problem::new(format!("stdin: {e}"))))?;
        let Some(line) = line else { break };
        if line.trim_ascii().is_empty() {
            continue;
        }
        let request = serde_json::from_slice::<Request>(&line).map_err(|e| format!("not a request: {e}"));
        let bye = matches!(request, Ok(Request::Bye));
        let reply = request.and_then(|request| answer(&mut durable, args, request));
        output::data(&reply.unwrap_or_else(|why| json!({ "error": why })).to_string());
        if bye {
            break;
        }
    }
    Ok(ExitCode::Ok)
}

/// The next line, as bytes: what is not UTF-8 is no request, but no reason to end either. `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = input.by_ref().take(LONGEST).read_until(b'\n', &mut line)?;
    if read as u64 == LONGEST {
        // What is left of it is passed over; the part that was read is no JSON, which the reply says.
        input.skip_until(b'\n')?;
    }
    Ok((read > 0).then_some(line))
}

/// Bytes of a line at most.
const LONGEST: u64 = 1 << 24;

fn answer(durable: &mut Option<Durable>, args: &Args, request: Request) -> Result<Value, String> {
    match (durable.as_mut(), request) {
        (None, Request::Init(init)) => {
            let begun = begin(args, init)?;
            begun.session.note().into_iter().for_each(output::note);
            let hello = begun.session.hello();
            *durable = Some(begun);
            Ok(hello)
        }
        (None, Request::Bye) => Ok(json!({ "ok": true })),
        (None, _) => Err("say init first".to_owned()),
        (Some(durable), request) => {
            let (record, reply) = durable.session.plan(&request)?;
            if let Some(record) = record {
                if let Some((journal, _)) = &mut durable.journal {
                    journal.append(SystemClock.now(), record.clone()).map_err(|e| e.to_string())?;
                }
                durable.session.apply(record);
            }
            Ok(reply)
        }
    }
}

fn begin(args: &Args, init: Init) -> Result<Durable, String> {
    let (folder, resume) = (init.state_dir.clone(), init.resume);
    let mut session = Session::new(&args.sampler, &args.scheduler, init)?;
    let Some(folder) = folder else { return Ok(Durable { session, journal: None }) };
    let journal = open(&folder, resume, &mut session)?;
    Ok(Durable { session, journal: Some(journal) })
}

/// Opens the journal and brings the session to where it ends.
fn open(folder: &Path, resume: bool, session: &mut Session) -> Result<(Writer<Record>, OwnerLock), String> {
    std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let owner = format!("pid {}", std::process::id());
    let lock = OwnerLock::take(&folder.join("search.lock"), &owner).map_err(|refused| match refused {
        Ok(other) => format!("{}: another search ({other}) uses this state_dir", folder.display()),
        Err(e) => e.to_string(),
    })?;
    let path = folder.join("search.jsonl");
    let mut writer = Writer::<Record>::open(&path).map_err(|e| e.to_string())?;
    let lines = Tail::new(&path).read::<Record>().map_err(|e| e.to_string())?;
    let mut records = lines.into_iter().map(|line| line.event);
    match records.next() {
        None => {
            writer.append(SystemClock.now(), session.created()).map_err(|e| e.to_string())?;
        }
        Some(_) if !resume => {
            return Err(format!("{}: holds a search already; say \"resume\": true to go on with it", path.display()));
        }
        Some(first) if !session.continues(&first) => {
            return Err(format!(
                "{}: belongs to another sampler, scheduler, space, seed, direction, fidelity, n_trials or workers",
                path.display()
            ));
        }
        Some(_) => records.for_each(|record| session.apply(record)),
    }
    Ok((writer, lock))
}
