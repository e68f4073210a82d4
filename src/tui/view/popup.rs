//! What lies over the views: the help page and the question before something that cannot be undone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use crate::base::ids::TrialId;
use crate::tui::keymap_table::BINDINGS;
use crate::tui::palette::COMMANDS;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::text;

/// An empty framed box in the middle of `area`; returns its inside.
fn frame(title: &str, width: u16, height: u16, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    let x = area.x + (area.width - width) / 2;
    let y = area.y + (area.height - height) / 2;
    let place = Rect { x, y, width, height };
    Clear.render(place, buffer);
    let block = Block::bordered()
        .border_set(theme.border())
        .border_style(theme.style(Role::Accent))
        .title(format!(" {title} "));
    let inner = block.inner(place);
    block.render(place, buffer);
    inner
}

/// The question; below it yes and no, or what was typed where a word is wanted.
pub(super) fn confirm(question: &str, typed: Option<&str>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = (text::width(question) as u16 + 4).max(30);
    let inner = frame("Sure?", width, 5, theme, area, buffer);
    buffer.set_stringn(inner.x + 1, inner.y, question, inner.width.into(), theme.style(Role::Text));
    let accent = theme.style(Role::Accent);
    let answers = match typed {
        None => vec![Span::styled("y", accent), Span::raw(" yes   "), Span::styled("n", accent), Span::raw(" no")],
        Some(typed) => vec![
            Span::raw(format!("{typed}{}   ", theme.pick("▏", "_"))),
            Span::styled("esc", accent),
            Span::raw(" no"),
        ],
    };
    buffer.set_line(inner.x + 1, inner.y + 2, &Line::from(answers), inner.width);
}

/// A trial in full, from line `from` on.
pub(super) fn describe(id: TrialId, lines: &[String], from: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = lines.iter().map(|l| text::width(l)).max().unwrap_or(0) as u16 + 4;
    let title = format!("Trial {id}: j k scroll, any other key closes");
    let inner = frame(&title, width.max(50), lines.len() as u16 + 2, theme, area, buffer);
    let from = from.min(lines.len().saturating_sub(inner.height.into()));
    for (y, line) in (inner.y..inner.bottom()).zip(&lines[from..]) {
        let room = usize::from(inner.width.saturating_sub(1));
        buffer.set_stringn(inner.x + 1, y, text::cut(line, room), room, theme.style(Role::Text));
    }
}

/// Every key and every command with its sentence, from row `from` on.
pub(super) fn help(from: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let keys = BINDINGS.iter().map(|b| {
        let keys: Vec<String> = b.keys.iter().map(ToString::to_string).collect();
        (keys.join(" "), b.help)
    });
    let commands = COMMANDS.iter().map(|(name, wants, help)| (format!(":{name} {wants}").trim().to_owned(), *help));
    let rows: Vec<(String, &str)> = keys.chain([(String::new(), "")]).chain(commands).collect();
    let title = "Keys and commands: j k scroll, any other key closes";
    let inner = frame(title, 78, rows.len() as u16 + 2, theme, area, buffer);
    let from = from.min(rows.len().saturating_sub(inner.height.into()));
    for (y, (key, help)) in (inner.y..inner.bottom()).zip(&rows[from..]) {
        let line = Line::from(vec![
            Span::styled(text::right(key, 14), theme.style(Role::Accent)),
            Span::raw(format!("  {help}")),
        ]);
        buffer.set_line(inner.x, y, &line, inner.width);
    }
}
