//! The shell around the app: keys and files in, frames and command files out. Draws only when something changed, at most ten
//! times a second.

use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::layout::Rect;

use super::app::{App, Effect, View, described};
use super::keymap_table::Key;
use super::mouse::point;
use super::rows::Overview;
use super::save;
use super::source::Source;
use super::terminal::{Screen, stop_flag};
use super::theme::Theme;
use super::view;
use crate::base::files;
use crate::base::ids::TrialId;
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
    /// This terminal started the controller.
    pub owns: bool,
}

/// A study of the workspace: its screen, kept while another one is shown, and its files.
struct Open {
    app: App,
    source: Source,
}

/// Watches studies until the user detaches or a signal asks to leave.
///
/// # Errors
/// When a study cannot be read or the terminal refuses.
pub fn run(dirs: &[StudyDir], options: &Options) -> io::Result<()> {
    let theme = Theme::detect(|name| std::env::var(name).ok());
    let stop = stop_flag()?;
    let mut open: Vec<Open> = dirs.iter().map(|dir| opened(dir, options)).collect();
    let mut current = 0;
    refresh(&mut open, current)?;
    if open.len() > 1 {
        open[current].app.view = View::Studies;
    }
    let mut screen = Screen::enter(!options.no_mouse)?;
    let (mut dirty, mut drawn, mut polled) = (true, None::<Instant>, Instant::now());
    let count = open.len();
    while !stop.load(Ordering::SeqCst) {
        let here = &mut open[current];
        if dirty && drawn.is_none_or(|at| at.elapsed() >= FRAME) {
            screen.terminal.draw(|frame| view::draw(&mut here.app, theme, frame.area(), frame.buffer_mut()))?;
            (dirty, drawn) = (false, Some(Instant::now()));
        }
        if event::poll(if dirty { FRAME / 4 } else { FRAME })? {
            let effect = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    dirty = true;
                    here.app.press(Key::from(key))
                }
                Event::Mouse(mouse) => {
                    dirty |= point(&mut here.app, mouse, screen.terminal.size()?);
                    None
                }
                Event::Resize(..) => {
                    dirty = true;
                    None
                }
                _ => None,
            };
            match effect {
                Some(Effect::Detach) => return Ok(()),
                Some(Effect::Suspend) => screen.suspend(!options.no_mouse)?,
                Some(Effect::Open(index)) if index < count => {
                    current = index;
                    let app = &mut open[current].app;
                    (app.view, app.chosen) = (View::Trials, index);
                    refresh(&mut open, current)?;
                }
                Some(effect) => open[current].carry_out(effect, theme, screen.terminal.size()?),
                None => {}
            }
            let here = &mut open[current];
            if here.app.log.trial != here.app.selected {
                here.source.log(&mut here.app);
            }
        }
        if polled.elapsed() >= POLL {
            polled = Instant::now();
            dirty |= refresh(&mut open, current)?;
        }
    }
    Ok(())
}

fn opened(dir: &StudyDir, options: &Options) -> Open {
    let mut app = App::new(Default::default(), Vec::new());
    app.read_only = read_only(dir, options);
    app.owns = options.owns;
    Open { app, source: Source::open(dir) }
}

/// Takes in what is new; says whether anything that is shown changed.
fn refresh(open: &mut [Open], current: usize) -> io::Result<bool> {
    if open[current].app.frozen {
        return Ok(false);
    }
    let mut dirty = false;
    for one in open.iter_mut() {
        dirty |= one.source.refresh(&mut one.app)?;
    }
    if open.len() > 1 && (dirty || open[current].app.studies.is_empty()) {
        open[current].app.studies = open.iter().map(|o| Overview::of(&o.app.study, &o.app.trials)).collect();
    }
    let here = &mut open[current];
    Ok(here.source.log(&mut here.app) || dirty)
}

impl Open {
    fn carry_out(&mut self, effect: Effect, theme: Theme, size: ratatui::layout::Size) {
        match effect {
            Effect::Ask(commands) => self.app.toast = self.ask(&commands),
            Effect::Describe(id) => self.app.describe(id, self.source.describe(id)),
            Effect::Copy(id) => self.app.toast = self.copy(id),
            Effect::Save => self.app.toast = self.save(theme, size).unwrap_or_else(|e| format!("not written: {e}")),
            Effect::Detach | Effect::Suspend | Effect::Open(_) => {}
        }
    }

    fn ask(&self, commands: &[Command]) -> String {
        for command in commands {
            if let Err(e) = spool::drop_command(&self.source.dir().commands(), command) {
                return format!("could not ask: {e}");
            }
        }
        let asked = match commands {
            [only] => described(only),
            several => format!("do so for {} trials", several.len()),
        };
        match self.source.is_live() {
            true => format!("asked to {asked}"),
            false => {
                format!("asked to {asked}, but no controller runs: `cliptune train … --resume` starts one")
            }
        }
    }

    /// Copies through the terminal (OSC 52), which also reaches the clipboard of the machine in front of an ssh session.
    fn copy(&self, id: TrialId) -> String {
        let path = self.source.dir().trial(id).path().display().to_string();
        let sequence = format!("\u{1b}]52;c;{}\u{7}", base64(path.as_bytes()));
        let mut out = io::stdout();
        match out.write_all(sequence.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => format!("copied {path}"),
            Err(e) => format!("not copied: {e}"),
        }
    }

    fn save(&mut self, theme: Theme, size: ratatui::layout::Size) -> io::Result<String> {
        let name: String = self
            .app
            .study
            .name
            .chars()
            .map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '_' })
            .collect();
        let (csv, txt) = (format!("cliptune-{name}.csv"), format!("cliptune-{name}.txt"));
        let area = Rect::new(0, 0, size.width, size.height);
        let mut buffer = ratatui::buffer::Buffer::empty(area);
        view::draw(&mut self.app, theme, area, &mut buffer);
        let rows = buffer.content().chunks(usize::from(area.width).max(1));
        let screen: String =
            rows.map(|row| row.iter().map(|c| c.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect();
        files::atomic_write(csv.as_ref(), save::csv(&self.app).as_bytes())?;
        files::atomic_write(txt.as_ref(), screen.as_bytes())?;
        Ok(format!("wrote {csv} and {txt}"))
    }
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().chain([&0, &0]).take(3).fold(0_u32, |word, b| word << 8 | u32::from(*b));
        for i in 0..4 {
            let letter = char::from(ALPHABET[(word >> (18 - 6 * i)) as usize & 63]);
            text.push(if i <= chunk.len() { letter } else { '=' });
        }
    }
    text
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_as_the_standard_says() {
        let of = |text: &str| base64(text.as_bytes());
        assert_eq!([of(""), of("f"), of("fo"), of("foo"), of("foob")], ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
