//! How long work is shown on stderr: bars where people look at a terminal, a line now and then elsewhere, or nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::output;
use crate::base::rank::Rank;
use crate::base::task::{self, Unit, Watcher};
use crate::base::units;

/// How work is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    /// Bars; plain lines where stderr is no terminal.
    Bars,
    /// Lines.
    Plain,
    /// Nothing but the result.
    None,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Bars => "bars",
            Self::Plain => "plain",
            Self::None => "none",
        })
    }
}

struct Shown {
    /// Never `Auto`.
    mode: Mode,
    bars: MultiProgress,
}

static SHOWN: OnceLock<Shown> = OnceLock::new();

/// Chooses for this process; `auto` and `bars` are settled by what stderr is.
pub(super) fn set(mode: Mode) {
    let follows = Rank::of_environment().is_ok_and(|rank| rank.is_some_and(|rank| !rank.leads()));
    let mode = match mode {
        // Of several processes that train one model, the first one speaks.
        _ if follows => Mode::None,
        Mode::Auto | Mode::Bars if output::is_interactive() => Mode::Bars,
        Mode::Auto | Mode::Bars => Mode::Plain,
        other => other,
    };
    if SHOWN.set(Shown { mode, bars: MultiProgress::new() }).is_ok() {
        match mode {
            Mode::Bars => task::watch(Box::new(Bars::default())),
            Mode::Plain | Mode::Auto => task::watch(Box::new(Plain::new(QUIET, Box::new(output::note)))),
            Mode::None => task::watch(Box::new(Nothing)),
        }
    }
}

/// What was chosen.
pub(super) fn mode() -> Mode {
    SHOWN.get().map_or(Mode::Plain, |shown| shown.mode)
}

/// The bars of this process, for whoever adds one.
pub(super) fn bars() -> MultiProgress {
    SHOWN.get().map(|shown| shown.bars.clone()).unwrap_or_default()
}

/// Prints with the bars out of the way.
pub(super) fn aside(print: impl FnOnce()) {
    match SHOWN.get().filter(|shown| shown.mode == Mode::Bars) {
        Some(shown) => shown.bars.suspend(print),
        None => print(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bar for each task.
#[derive(Default)]
struct Bars(Mutex<BTreeMap<u64, ProgressBar>>);

fn style(total: u64, unit: Unit) -> ProgressStyle {
    let template = match (total, unit) {
        (0, Unit::Items) => "{spinner} {prefix}  {pos}  {msg}",
        (0, Unit::Bytes) => "{spinner} {prefix}  {bytes}  {msg}",
        (_, Unit::Items) => "{prefix}  {bar:24} {pos}/{len}  ETA {eta}  {msg}",
        (_, Unit::Bytes) => "{prefix}  {bar:24} {bytes}/{total_bytes}  {bytes_per_sec}  ETA {eta}  {msg}",
    };
    // The templates are constants; a broken one would only fall back to the default look.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Watcher for Bars {
    fn begin(&self, task: u64, what: &str, total: u64, unit: Unit) {
        let bar = bars().add(ProgressBar::new(total)).with_style(style(total, unit)).with_prefix(what.to_owned());
        // The estimate and what moves by itself go on between two steps.
        bar.enable_steady_tick(Duration::from_millis(250));
        locked(&self.0).insert(task, bar);
    }

    fn at(&self, task: u64, done: u64, note: &str) {
        if let Some(bar) = locked(&self.0).get(&task) {
            if bar.message() != note {
                bar.set_message(note.to_owned());
            }
            bar.set_position(done);
        }
    }

    fn end(&self, task: u64) {
        if let Some(bar) = locked(&self.0).remove(&task) {
            bar.finish_and_clear();
        }
    }

    fn line(&self, text: &str) {
        output::note(text);
    }
}

/// Work that is quicker than this is not told of in lines, nor more often than this.
const QUIET: Duration = Duration::from_secs(10);

/// A line for work that takes its time.
struct Plain {
    quiet: Duration,
    print: Box<dyn Fn(&str) + Send + Sync>,
    tasks: Mutex<BTreeMap<u64, Told>>,
}

struct Told {
    what: String,
    total: u64,
    unit: Unit,
    done: u64,
    last: Instant,
    spoken: bool,
}

impl Told {
    fn line(&self) -> String {
        let shown = |n: u64| if self.unit == Unit::Bytes { units::bytes(n) } else { n.to_string() };
        match self.total {
            0 => format!("{}: {}", self.what, shown(self.done)),
            total => format!("{}: {} of {}", self.what, shown(self.done), shown(total)),
        }
    }
}

impl Plain {
    fn new(quiet: Duration, print: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { quiet, print, tasks: Mutex::default() }
    }
}

impl Watcher for Plain {
    fn begin(&self, task: u64, what: &str, total: u64, unit: Unit) {
        let told = Told { what: what.to_owned(), total, unit, done: 0, last: Instant::now(), spoken: false };
        locked(&self.tasks).insert(task, told);
    }

    fn at(&self, task: u64, done: u64, note: &str) {
        let line = locked(&self.tasks).get_mut(&task).and_then(|told| {
            told.done = done;
            if told.last.elapsed() < self.quiet {
                return None;
            }
            (told.last, told.spoken) = (Instant::now(), true);
            Some(if note.is_empty() { told.line() } else { format!("{}, {note}", told.line()) })
        });
        if let Some(line) = line {
            (self.print)(&line);
        }
    }

    fn end(&self, task: u64) {
        let line = locked(&self.tasks).remove(&task).filter(|told| told.spoken).map(|told| told.line());
        if let Some(line) = line {
            (self.print)(&line);
        }
    }

    fn line(&self, text: &str) {
        (self.print)(text);
    }
}

/// Shows nothing.
struct Nothing;

impl Watcher for Nothing {
    fn begin(&self, _: u64, _: &str, _: u64, _: Unit) {}
    fn at(&self, _: u64, _: u64, _: &str) {}
    fn end(&self, _: u64) {}
    fn line(&self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn told(quiet: Duration, work: impl FnOnce(&Plain)) -> Vec<String> {
        let lines = Arc::new(Mutex::new(Vec::<String>::new()));
        let sink = Arc::clone(&lines);
        work(&Plain::new(quiet, Box::new(move |text| locked(&sink).push(text.to_owned()))));
        std::mem::take(&mut *locked(&lines))
    }

    #[test]
    fn lines_tell_of_long_work_how_far_it_is_and_of_short_work_nothing() {
        let work = |plain: &Plain| {
            plain.begin(7, "images", 20, Unit::Items);
            plain.at(7, 5, "");
            plain.at(7, 20, "loss 0.5");
            plain.end(7);
            plain.begin(8, "model.safetensors", 0, Unit::Bytes);
            plain.at(8, 2048, "");
            plain.end(8);
        };
        assert_eq!(
            told(Duration::ZERO, work),
            [
                "images: 5 of 20",
                "images: 20 of 20, loss 0.5",
                "images: 20 of 20",
                "model.safetensors: 2.0 KiB",
                "model.safetensors: 2.0 KiB"
            ]
        );
        assert!(told(Duration::from_secs(3600), work).is_empty());
    }

    #[test]
    fn bars_come_and_go_with_their_tasks() {
        let bars = Bars::default();
        bars.begin(1, "training", 10, Unit::Items);
        bars.at(1, 4, "epoch 1");
        let bar = locked(&bars.0).get(&1).cloned().unwrap();
        assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (4, Some(10), "epoch 1"));
        bars.end(1);
        assert!(locked(&bars.0).is_empty() && bar.is_finished());
    }
}
