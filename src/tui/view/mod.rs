//! Drawing: each view takes the app and an area and fills a buffer; its cost is that of what is visible.

mod curves;
mod gpus;
mod header;
mod logs;
mod params;
mod popup;
mod promotion;
mod studies;
mod trials;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Widget};

use super::app::{App, Mode, View};
use super::layout::{self, Screen};
use super::theme::{Role, Theme};

pub use trials::{column_at, row_at};

/// Draws the whole screen.
pub fn draw(app: &mut App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    match layout::screen(area, app.view, app.expanded) {
        Screen::Line => header::line(app, theme, area, buffer),
        Screen::Panels { header, panels, hints } => {
            header::header(app, theme, header, buffer);
            for (view, area) in panels {
                panel(app, theme, view, area, buffer);
            }
            header::hints(app, theme, hints, buffer);
            match &app.mode {
                Mode::Help(from) => popup::help(*from, theme, area, buffer),
                Mode::Confirm { question, word, typed, .. } => {
                    let typed = word.as_ref().map(|_| typed.as_str());
                    popup::confirm(question, typed, theme, area, buffer);
                }
                Mode::Describe { trial, lines, from } => popup::describe(*trial, lines, *from, theme, area, buffer),
                Mode::Normal | Mode::Filter | Mode::Find | Mode::Palette(_) => {}
            }
        }
    }
}

fn panel(app: &mut App, theme: Theme, view: View, area: Rect, buffer: &mut Buffer) {
    let about = match view {
        View::Studies => studies::about(app),
        View::Trials => trials::about(app),
        View::Curves => curves::about(app),
        View::Params => params::about(app),
        View::Gpus => gpus::about(app),
        View::Logs => logs::about(app),
        View::Promotion => promotion::about(app),
    };
    let focused = view == app.view;
    let title = if about.is_empty() { format!(" {} ", view.title()) } else { format!(" {}: {about} ", view.title()) };
    let style = theme.style(if focused { Role::Accent } else { Role::Muted });
    let block = Block::bordered().border_set(theme.border()).border_style(style).title(title);
    let inner = block.inner(area);
    block.render(area, buffer);
    match view {
        View::Studies => studies::draw(app, theme, inner, buffer),
        View::Trials => trials::draw(app, theme, inner, buffer),
        View::Curves => curves::draw(app, theme, inner, buffer),
        View::Params => params::draw(app, theme, inner, buffer),
        View::Gpus => gpus::draw(app, theme, inner, buffer),
        View::Logs => logs::draw(app, theme, inner, buffer),
        View::Promotion => promotion::draw(app, theme, inner, buffer),
    }
}
