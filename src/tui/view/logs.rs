//! View 5: the console of the selected trial, from its end.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::{App, is_error};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::text;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    let follow = if app.log.up == 0 { "follow" } else { "held" };
    app.selected.map_or_else(String::new, |id| format!("#{id} [{follow}]"))
}

/// Draws the last lines, or those that the user scrolled to.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let lines: &[String] = if app.log.trial == app.selected { &app.log.lines } else { &[] };
    if lines.is_empty() {
        buffer.set_stringn(area.x, area.y, "nothing was written yet", area.width.into(), theme.style(Role::Muted));
        return;
    }
    let height = usize::from(area.height);
    let end = lines.len().saturating_sub(app.log.up).max(height.min(lines.len()));
    let shown = &lines[end.saturating_sub(height)..end];
    for (y, line) in (area.y..).zip(shown) {
        let role = match () {
            () if is_error(line) => Role::Bad,
            () if !app.find.is_empty() && line.to_lowercase().contains(&app.find.to_lowercase()) => Role::Accent,
            () => Role::Text,
        };
        buffer.set_stringn(area.x, y, text::cut(line, area.width.into()), area.width.into(), theme.style(role));
    }
}
