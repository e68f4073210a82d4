//! Floor 7: the command line. One file a command, or a family of commands; this file has the command tree and the way out.

pub mod action;
pub mod bench;
pub mod compare;
pub mod complete;
pub mod completions;
pub mod data;
pub mod doctor;
mod examples_table;
pub mod explain;
pub mod export;
pub mod format;
pub mod importance;
pub mod job;
mod launcher;
pub mod logs;
pub mod man;
pub mod model;
pub mod output;
mod parent;
pub mod progress;
pub mod promote;
pub mod query;
pub mod report;
pub mod reproduce;
pub mod retry;
pub mod schema;
pub mod search;
pub mod show;
pub mod space;
pub mod spec;
pub mod status;
pub mod steer;
pub mod store;
mod study;
pub mod sweep;
pub mod train;
pub mod trials;
pub mod tui;
mod tuning;
mod watcher;
pub mod weights;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::base::diagnostic::{Problem, Problems};
use crate::base::exit::ExitCode;
use crate::journal::job::Action;

/// Fine-tune CLIP models and find the hyperparameters by itself.
#[derive(Debug, Parser)]
#[command(name = "cliptune", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What an exit code or the code of an error means, and what to do; without CODE all of them.
    #[arg(long, value_name = "CODE", num_args = 0..=1, default_missing_value = "")]
    explain: Option<String>,
    #[command(flatten)]
    output: output::Args,
    #[command(subcommand)]
    command: Option<Cmd>,
}

#[derive(Debug, Subcommand)]
enum Cmd {
    /// Tune hyperparameters on a data set (or train once with --automl off).
    #[command(name = "train")]
    Train(train::Args),
    /// Measure a checkpoint, a graph or an engine.
    #[command(name = "evaluate")]
    Evaluate(action::Args),
    /// Write image and text embeddings.
    #[command(name = "inference")]
    Inference(action::Args),
    /// Search images (or texts) for a text or an image.
    #[command(name = "query")]
    Query(query::Args),
    /// Write ONNX graphs of a checkpoint, or a study for another tool.
    #[command(name = "export")]
    Export(export::Args),
    /// Build TensorRT engines of ONNX graphs.
    #[command(name = "gen_trt_engine")]
    GenTrtEngine(action::Args),
    /// A study for every spec and seed, and one report of them all.
    #[command(name = "sweep")]
    Sweep(sweep::Args),
    /// Run a trial again and compare it bit by bit.
    #[command(name = "reproduce")]
    Reproduce(reproduce::Args),
    /// How a study stands.
    #[command(name = "status")]
    Status(status::Args),
    /// The leaderboard of a study, best first.
    #[command(name = "trials")]
    Trials(trials::Args),
    /// One trial in full.
    #[command(name = "show")]
    Show(show::Args),
    /// The console output of a trial.
    #[command(name = "logs")]
    Logs(logs::Args),
    /// Trials or studies side by side.
    #[command(name = "compare")]
    Compare(compare::Args),
    /// How much each parameter of a study matters.
    #[command(name = "importance")]
    Importance(importance::Args),
    /// A report of a study: one page with plots, or Markdown, CSV, images.
    #[command(name = "report")]
    Report(report::Args),
    /// Stop a study, or one trial for good.
    #[command(name = "stop")]
    Stop(steer::StopArgs),
    /// Start no new trials, or pause one trial.
    #[command(name = "pause")]
    Pause(steer::Args),
    /// Start trials again, or put a paused trial back into the queue.
    #[command(name = "resume")]
    Resume(steer::Args),
    /// Give a study more trials, or one at a point of your choice.
    #[command(name = "add")]
    Add(steer::AddArgs),
    /// Let a waiting trial start before others.
    #[command(name = "priority")]
    Priority(steer::PriorityArgs),
    /// Run a failed trial again.
    #[command(name = "retry")]
    Retry(retry::Args),
    /// Promote a trial: checkpoint, ONNX, parity, engine, manifest.
    #[command(name = "promote")]
    Promote(promote::Args),
    /// Check a study's files, or make derived ones anew.
    #[command(name = "store")]
    Store(store::Args),
    /// Watch and steer a study in the terminal.
    #[command(name = "tui")]
    Tui(tui::Args),
    /// Ask/tell optimiser on stdin and stdout, JSON lines.
    #[command(name = "search")]
    Search(search::Args),
    /// Show or check the search space of a spec.
    #[command(name = "space")]
    Space(space::Args),
    /// Show or check a spec, or print the template of an action.
    #[command(name = "spec")]
    Spec(spec::Args),
    /// The schema of an action as JSON.
    #[command(name = "schema")]
    Schema(schema::Args),
    /// Check or inspect the data sets of a spec.
    #[command(name = "data")]
    Data(data::Args),
    /// The model types there are, and one of them in full.
    #[command(name = "model")]
    Model(model::Args),
    /// Check whether a weights file fits a model type.
    #[command(name = "weights")]
    Weights(weights::Args),
    /// Measure this machine: `bench train` is the twin of the peers' scripts.
    #[command(name = "bench")]
    Bench(bench::Args),
    /// What is here, what is missing and how to get it.
    #[command(name = "doctor")]
    Doctor(doctor::Args),
    /// Shell completions.
    #[command(name = "completions")]
    Completions(completions::Args),
    /// Write the man pages into a folder.
    #[command(name = "man")]
    Man(man::Args),
    /// Run the job of a folder (started by the controller).
    #[command(name = "job", hide = true)]
    Job(job::Args),
    /// What could stand next on a command line (asked by the shell's completion).
    #[command(name = "complete", hide = true)]
    Complete(complete::Args),
}

/// The command tree, with the examples that stand first in every long help.
pub(crate) fn command() -> clap::Command {
    examples_table::with_examples(Cli::command())
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return if e.use_stderr() { ExitCode::Usage } else { ExitCode::Ok };
        }
    };
    let worker = matches!(cli.command, Some(Cmd::Job(_)));
    let done = output::set(&cli.output, worker).and_then(|()| match (cli.explain, cli.command) {
        (Some(code), _) => explain::run(&code),
        (None, Some(command)) => dispatch(command),
        (None, None) => {
            let problem = Problem::new("no command was given").help("`cliptune --help` lists them");
            Err(Problems::one(ExitCode::Usage, problem))
        }
    });
    done.unwrap_or_else(|problems| {
        output::problems(&problems);
        problems.exit
    })
}

fn dispatch(command: Cmd) -> Result<ExitCode, Problems> {
    match command {
        Cmd::Train(args) => train::run(&args),
        Cmd::Evaluate(args) => action::run(Action::Evaluate, &args),
        Cmd::Inference(args) => action::run(Action::Inference, &args),
        Cmd::Query(args) => query::run(&args),
        Cmd::Export(args) => export::run(&args),
        Cmd::GenTrtEngine(args) => action::run(Action::GenTrtEngine, &args),
        Cmd::Sweep(args) => sweep::run(&args),
        Cmd::Reproduce(args) => reproduce::run(&args),
        Cmd::Status(args) => status::run(&args),
        Cmd::Trials(args) => trials::run(&args),
        Cmd::Show(args) => show::run(&args),
        Cmd::Logs(args) => logs::run(&args),
        Cmd::Compare(args) => compare::run(&args),
        Cmd::Importance(args) => importance::run(&args),
        Cmd::Report(args) => report::run(&args),
        Cmd::Stop(args) => steer::stop(&args),
        Cmd::Pause(args) => steer::pause(&args),
        Cmd::Resume(args) => steer::resume(&args),
        Cmd::Add(args) => steer::add(&args),
        Cmd::Priority(args) => steer::priority(&args),
        Cmd::Retry(args) => retry::run(&args),
        Cmd::Promote(args) => promote::run(&args),
        Cmd::Store(args) => store::run(&args),
        Cmd::Tui(args) => tui::run(&args),
        Cmd::Search(args) => search::run(&args),
        Cmd::Space(args) => space::run(&args),
        Cmd::Spec(args) => spec::run(&args),
        Cmd::Schema(args) => schema::run(&args),
        Cmd::Data(args) => data::run(&args),
        Cmd::Model(args) => model::run(&args),
        Cmd::Weights(args) => weights::run(&args),
        Cmd::Bench(args) => bench::run(&args),
        Cmd::Doctor(args) => doctor::run(&args),
        Cmd::Completions(args) => completions::run(&args),
        Cmd::Man(args) => man::run(&args),
        Cmd::Job(args) => job::run(&args),
        Cmd::Complete(args) => complete::run(&args),
    }
}
