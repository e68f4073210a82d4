//! The shell around the app: keys and files in, frames and command files out. Draws only when something changed, at most ten
//! times a second.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect, Size};

use super::app::{App, Effect, View};
use super::keymap_table::Key;
use super::layout::{self, Screen as Panels};
use super::source::Source;
use super::terminal::{Screen, stop_flag};
use super::theme::Theme;
use super::view;
use crate::journal::layout::StudyDir;
use crate::journal::spool::{self, Command};

/// Least time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Time between two looks at the files.
const POLL: Duration = Duration::from_millis(500);

/// What the user chose on the command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keys that ask the study for something are dead.
    pub read_only: bool,
    /// The mouse stays with the terminal.
    pub no_mouse: bool,
}

/// Watches a study until the user detaches or a signal asks to leave.
///
/// # Errors
/// When the study cannot be read or the terminal refuses.
pub fn run(dir: &StudyDir, options: &Options) -> io::Result<()> {
    let mut source = Source::open(dir)?;
    let theme = Theme::detect(|name| std::env::var(name).ok());
    let stop = stop_flag()?;
    let mut app = App::default();
    app.read_only = read_only(dir, options);
    refresh(&mut app, &mut source)?;
    let mut screen = Screen::enter(!options.no_mouse)?;
    let (mut dirty, mut drawn, mut polled) = (true, None::<Instant>, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        if dirty && drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            screen.terminal.draw(|frame| view::draw(&mut app, theme, frame.area(), frame.buffer_mut()))?;
            (dirty, drawn) = (false, Some(Instant::now()));
        }
        if event::poll(if dirty { FRAME / 4 } else { FRAME })? {
            let size = screen.terminal.size()?;
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    match app.press(Key::from(key)) {
                        Some(Effect::Detach) => return Ok(()),
                        Some(Effect::Ask(command)) => {
                            app.toast = match spool::drop_command(&dir.commands(), &command) {
                                Ok(_) if source.is_live() => format!("asked to {}", described(&command)),
                                Ok(_) => format!(
                                    "asked to {}, but no controller runs: `cliptune train … --resume` starts one",
                                    described(&command)
                                ),
                                Err(e) => format!("could not ask: {e}"),
                            };
                        }
                        None => {}
                    }
                    if app.log.trial != app.selected {
                        source.log(&mut app);
                    }
                    dirty = true;
                }
                Event::Mouse(mouse) => dirty |= point(&mut app, mouse, size),
                Event::Resize(..) => dirty = true,
                _ => {}
            }
        }
        if polled.elapsed() >= POLL {
            polled = Instant::now();
            dirty |= refresh(&mut app, &mut source)?;
        }
    }
    Ok(())
}

/// Takes in what is new; says whether anything that is shown changed.
fn refresh(app: &mut App, source: &mut Source) -> io::Result<bool> {
    if app.frozen {
        return Ok(false);
    }
    let (study, trials) = source.poll()?;
    // The clock of a running study moves by itself.
    let changed = study != app.study || trials != app.trials;
    if changed {
        app.set(study, trials);
    }
    Ok(source.log(app) || changed)
}

/// What a command asks for, in words.
fn described(command: &Command) -> String {
    match command {
        Command::StopTrial { trial } => format!("stop trial {trial}"),
        Command::PauseTrial { trial } => format!("pause trial {trial}"),
        Command::ResumeTrial { trial } => format!("queue trial {trial} again"),
        Command::Retry { trial } => format!("retry trial {trial}"),
        Command::Promote { trial: Some(trial) } => format!("promote trial {trial}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Why commands are not allowed, if they are not.
fn read_only(dir: &StudyDir, options: &Options) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    if options.read_only {
        return Some("--read-only was given".to_owned());
    }
    let owner = std::fs::metadata(dir.path()).ok()?.uid();
    (owner != rustix::process::getuid().as_raw()).then(|| "the study belongs to another user".to_owned())
}

/// The wheel moves, a click selects and focuses.
fn point(app: &mut App, mouse: MouseEvent, size: Size) -> bool {
    let wheel = |app: &mut App, key| {
        app.press(key);
        true
    };
    match mouse.kind {
        MouseEventKind::ScrollDown => wheel(app, Key::Char('j')),
        MouseEventKind::ScrollUp => wheel(app, Key::Char('k')),
        MouseEventKind::Down(MouseButton::Left) => {
            let area = Rect::new(0, 0, size.width, size.height);
            let Panels::Panels { panels, .. } = layout::screen(area, app.view, app.expanded) else { return false };
            let at = Position::new(mouse.column, mouse.row);
            let Some((view, place)) = panels.into_iter().find(|(_, place)| place.contains(at)) else { return false };
            app.view = view;
            let row = usize::from(mouse.row - place.y).checked_sub(1);
            if view == View::Trials
                && let Some(id) =
                    row.and_then(|row| view::row_at(app, row, usize::from(place.height.saturating_sub(2))))
            {
                app.select(id);
            }
            true
        }
        _ => false,
    }
}
