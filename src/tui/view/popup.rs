//! What lies over the views: the help page and the question before something that cannot be undone.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use crate::tui::keymap_table::BINDINGS;
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

/// The question; yes and no below it.
pub(super) fn confirm(question: &str, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = (text::width(question) as u16 + 4).max(30);
    let inner = frame("Sure?", width, 5, theme, area, buffer);
    buffer.set_stringn(inner.x + 1, inner.y, question, inner.width.into(), theme.style(Role::Text));
    let answers = Line::from(vec![
        Span::styled("y", theme.style(Role::Accent)),
        Span::raw(" yes   "),
        Span::styled("n", theme.style(Role::Accent)),
        Span::raw(" no"),
    ]);
    buffer.set_line(inner.x + 1, inner.y + 2, &answers, inner.width);
}

/// Every key with its sentence, from row `from` on.
pub(super) fn help(from: usize, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let inner = frame("Keys: j k scroll, any other key closes", 72, BINDINGS.len() as u16 + 2, theme, area, buffer);
    let from = from.min(BINDINGS.len().saturating_sub(inner.height.into()));
    for (y, binding) in (inner.y..inner.bottom()).zip(&BINDINGS[from..]) {
        let keys: Vec<String> = binding.keys.iter().map(ToString::to_string).collect();
        let line = Line::from(vec![
            Span::styled(text::right(&keys.join(" "), 14), theme.style(Role::Accent)),
            Span::raw(format!("  {}", binding.help)),
        ]);
        buffer.set_line(inner.x, y, &line, inner.width);
    }
}
