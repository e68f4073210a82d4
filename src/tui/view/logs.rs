//! View 5: the console of the selected trial, from its end.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::app::{App, is_error};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::text;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    let follow = if app.log.up == 0 { "follow" } else { "held" };
    let wrap = if app.wrap { ", wrapped" } else { "" };
    app.selected.map_or_else(String::new, |id| format!("#{id} [{follow}{wrap}]"))
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
    let width = usize::from(area.width).max(1);
    let rows: Vec<(&String, String)> = match app.wrap {
        false => lines[end.saturating_sub(height)..end].iter().map(|line| (line, text::cut(line, width))).collect(),
        true => broken(&lines[..end], width, height),
    };
    for (y, (line, shown)) in (area.y..).zip(&rows) {
        let role = match () {
            () if is_error(line) => Role::Bad,
            () if !app.find.is_empty() && line.to_lowercase().contains(&app.find.to_lowercase()) => Role::Accent,
            () => Role::Text,
        };
        buffer.set_stringn(area.x, y, shown, width, theme.style(role));
    }
}

/// The last rows of lines that are broken at the width, each with its line.
fn broken(lines: &[String], width: usize, height: usize) -> Vec<(&String, String)> {
    let mut rows: Vec<(&String, String)> = Vec::new();
    for line in lines.iter().rev() {
        if rows.len() >= height {
            break;
        }
        rows.extend(text::wrapped(line, width).into_iter().rev().map(|piece| (line, piece)));
    }
    rows.truncate(height);
    rows.reverse();
    rows
}
