//! The first row (how the study stands), the last row (which keys do what), and the one line that tiny terminals get.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::base::units;
use crate::state::TrialStatus;
use crate::tui::app::{App, Mode, View};
use crate::tui::keymap_table::BINDINGS;
use crate::tui::rows::{self, Controller, Study, Trial};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::text;

/// Seconds without an event after which the data counts as stale, while trials run.
const STALE_S: f64 = 10.0;

/// How the study stands; what does not fit is left out, the least important first.
pub(super) fn header(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut parts = parts(&app.study, &app.trials, app.frozen, theme);
    let gap = 3;
    let needed = |parts: &[Part]| parts.iter().map(|p| text::width(&p.text) + gap).sum::<usize>();
    while needed(&parts) > usize::from(area.width) + gap - 1 && parts.len() > 1 {
        let least = parts.iter().enumerate().max_by_key(|(_, p)| p.rank).map_or(0, |(i, _)| i);
        parts.remove(least);
    }
    let mut line = Line::from(" ");
    for (i, part) in parts.into_iter().enumerate() {
        if i > 0 {
            line.push_span(" ".repeat(gap));
        }
        line.push_span(Span::styled(part.text, theme.style(part.role)));
    }
    buffer.set_line(area.x, area.y, &line, area.width);
}

/// The study in one line, whatever the size.
pub(super) fn line(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let best = best(&app.study, &app.trials).and_then(|t| t.value);
    let best = best.map_or_else(|| "-".to_owned(), |v| format!("{v:.4}"));
    let active = rows::count(&app.trials, TrialStatus::is_active);
    let (symbol, _, word) = liveness(&app.study, active, theme);
    let over = rows::count(&app.trials, TrialStatus::is_final);
    let text = format!("{symbol} {over}/{} best {best} {word}", planned(&app.study, &app.trials));
    buffer.set_stringn(area.x, area.y, text, area.width.into(), theme.style(Role::Text));
}

struct Part {
    text: String,
    role: Role,
    /// The higher, the sooner it is left out.
    rank: u8,
}

fn parts(study: &Study, trials: &[Trial], frozen: bool, theme: Theme) -> Vec<Part> {
    let part = |text: String, role, rank| Part { text, role, rank };
    let mut parts = vec![part(study.name.clone(), Role::Title, 3)];
    if !study.sampler.is_empty() {
        parts.push(part(study.sampler.clone(), Role::Muted, 9));
    }
    let over = rows::count(trials, TrialStatus::is_final);
    parts.push(part(format!("{over}/{} done", planned(study, trials)), Role::Text, 1));
    let running = rows::count(trials, TrialStatus::is_active);
    let failed = rows::count(trials, |s| s == TrialStatus::Failed);
    for (count, word, role, rank) in [(running, "running", Role::Active, 4), (failed, "failed", Role::Bad, 5)] {
        if count > 0 {
            parts.push(part(format!("{count} {word}"), role, rank));
        }
    }
    if let Some(best) = best(study, trials) {
        let epoch = best.best_epoch.map_or_else(String::new, |e| format!(" @ep{e}"));
        let value = best.value.map_or_else(String::new, |v| format!("{v:.4}"));
        parts.push(part(format!("best {value} #{}{epoch}", best.id), Role::Good, 2));
    }
    parts.push(part(units::duration(study.elapsed_s), Role::Muted, 6));
    if let Some(left) = study.left.filter(|_| study.controller == Controller::Live) {
        parts.push(part(format!("ETA {}", left.shown()), Role::Muted, 7));
    }
    let (symbol, role, word) = liveness(study, running, theme);
    parts.push(part(format!("{symbol} {word}"), role, 0));
    if frozen {
        parts.push(part("frozen".to_owned(), Role::Warn, 0));
    }
    parts
}

fn planned(study: &Study, trials: &[Trial]) -> usize {
    trials.len().max(study.max_trials as usize)
}

fn best<'a>(study: &Study, trials: &'a [Trial]) -> Option<&'a Trial> {
    trials.iter().find(|t| Some(t.id) == study.best)
}

/// How a study of which `active` trials run stands: symbol, role, word.
pub(super) fn liveness(study: &Study, active: usize, theme: Theme) -> (char, Role, String) {
    match &study.controller {
        Controller::Finished(_) => (theme.pick('✔', '+'), Role::Good, "finished".to_owned()),
        Controller::Stopped(_) => (theme.pick('■', 'o'), Role::Warn, "stopped".to_owned()),
        Controller::Down => (theme.pick('✖', 'x'), Role::Bad, "controller down".to_owned()),
        Controller::Live if study.paused => (theme.pick('‖', '='), Role::Warn, "paused".to_owned()),
        Controller::Live if study.age_s > STALE_S && active > 0 => {
            (theme.pick('◌', '.'), Role::Warn, format!("stale {}", units::duration(study.age_s)))
        }
        Controller::Live if study.promoting => (theme.pick('●', '*'), Role::Good, "promoting".to_owned()),
        Controller::Live => (theme.pick('●', '*'), Role::Good, "live".to_owned()),
    }
}

/// The last row: what is being typed or was just said, otherwise the keys.
pub(super) fn hints(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let cursor = theme.pick("▏", "_");
    let typed = match &app.mode {
        Mode::Filter => Some(format!(" / {}{cursor}   enter keep   esc clear", app.filter_text)),
        Mode::Find => Some(format!(" find {}{cursor}   enter look   esc clear", app.find)),
        Mode::Palette(text) => Some(format!(" :{text}{cursor}   enter do   esc leave   ? lists the commands")),
        _ => None,
    };
    if let Some(line) = typed {
        buffer.set_stringn(area.x, area.y, line, area.width.into(), theme.style(Role::Text));
        return;
    }
    if !app.toast.is_empty() {
        buffer.set_stringn(area.x, area.y, format!(" {}", app.toast), area.width.into(), theme.style(Role::Warn));
        return;
    }
    let dead = |commands: bool| commands && app.read_only.is_some();
    let here = |b: &&crate::tui::keymap_table::Binding| !b.hint.is_empty() && !dead(b.commands());
    let hints: Vec<(String, &str)> = BINDINGS.iter().filter(here).map(|b| (b.keys[0].to_string(), b.hint)).collect();
    let cells = |(key, hint): &(String, &str)| text::width(key) + text::width(hint) + 3;
    // Help and detach, the last two of the table's hints, are always there.
    let (first, last) = hints.split_at(hints.len().saturating_sub(2));
    let mut room = usize::from(area.width).saturating_sub(last.iter().map(cells).sum());
    let first = first.iter().take_while(|h| {
        let fits = room >= cells(h);
        room = room.saturating_sub(cells(h));
        fits
    });
    let mut line = Line::from(" ");
    for (key, hint) in first.chain(last) {
        line.push_span(Span::styled(key.clone(), theme.style(Role::Accent)));
        line.push_span(format!(" {hint}  "));
    }
    if app.view == View::Logs && app.log.up > 0 {
        line.push_span(Span::styled("F follow", theme.style(Role::Warn)));
    }
    buffer.set_line(area.x, area.y, &line, area.width);
}
