//! The mouse: the wheel moves, a click focuses a view and selects a row, a click on a title sorts.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect, Size};

use super::app::{App, Mode, View};
use super::keymap_table::Key;
use super::layout::{self, Screen};
use super::view;

/// What the mouse does on a screen of this size; says whether anything that is shown changed.
pub fn point(app: &mut App, mouse: MouseEvent, size: Size) -> bool {
    match mouse.kind {
        MouseEventKind::ScrollDown => drop(app.press(Key::Char('j'))),
        MouseEventKind::ScrollUp => drop(app.press(Key::Char('k'))),
        MouseEventKind::Down(MouseButton::Left) if app.mode == Mode::Normal => return click(app, mouse, size),
        _ => return false,
    }
    true
}

fn click(app: &mut App, mouse: MouseEvent, size: Size) -> bool {
    let area = Rect::new(0, 0, size.width, size.height);
    let Screen::Panels { panels, .. } = layout::screen(area, app.view, app.expanded) else { return false };
    let at = Position::new(mouse.column, mouse.row);
    let Some((view, place)) = panels.into_iter().find(|(_, place)| place.contains(at)) else { return false };
    app.view = view;
    let Some(row) = usize::from(mouse.row - place.y).checked_sub(1) else { return true };
    let inside = usize::from(place.height.saturating_sub(2));
    match view {
        View::Trials if row == 0 => {
            let x = usize::from((mouse.column - place.x).saturating_sub(1));
            if let Some(column) = view::column_at(app, x, usize::from(place.width.saturating_sub(2))) {
                app.sort_by(column);
            }
        }
        View::Trials => {
            if let Some(id) = view::row_at(app, row, inside) {
                app.select(id);
            }
        }
        View::Studies if (1..=app.studies.len()).contains(&row) => app.chosen = row - 1,
        _ => {}
    }
    true
}
