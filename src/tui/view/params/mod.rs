//! View 3: how much each parameter matters and the points themselves, best first; or one of the pictures.

mod pictures;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::search::importance::{ENOUGH, Importance};
use crate::tui::app::{App, Picture};
use crate::tui::rows::short;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{bars, text};

/// Cells of a column of the table.
const CELLS: usize = 12;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    format!("{} [v next]", app.picture.title())
}

/// Draws the present picture.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    match app.picture {
        Picture::Importance => importance(app, theme, area, buffer),
        Picture::Slices => pictures::slices(app, theme, area, buffer),
        Picture::Parallel => pictures::parallel(app, theme, area, buffer),
        Picture::History => pictures::history(app, theme, area, buffer),
    }
}

/// Every parameter, the most important first.
fn keys(app: &App) -> Vec<String> {
    let mut keys: Vec<String> = app.study.importance.iter().map(|i| i.key.clone()).collect();
    for key in app.trials.iter().flat_map(|t| t.params.keys()) {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

fn importance(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut y = area.y;
    let put = |buffer: &mut Buffer, y: &mut u16, line: &str, role: Role| {
        if *y < area.bottom() {
            buffer.set_stringn(area.x, *y, line, area.width.into(), theme.style(role));
            *y += 1;
        }
    };
    let list = &app.study.importance;
    if list.is_empty() {
        let few = format!("{ENOUGH} trials with a value are needed to compare parameters");
        put(buffer, &mut y, &few, Role::Muted);
    } else {
        let title = format!("share of the variance of {}; trend along the parameter", app.study.metric);
        put(buffer, &mut y, &title, Role::Muted);
    }
    // At most half of the area, so that the points have room.
    for item in list.iter().take(usize::from(area.height / 2).saturating_sub(1)) {
        put(buffer, &mut y, &bar(item, theme, area.width.into()), Role::Text);
    }
    y += 1;
    let mut keys = keys(app);
    keys.truncate((usize::from(area.width).saturating_sub(15)) / (CELLS + 1));
    let titles: String = keys.iter().map(|k| text::right(short(k), CELLS) + " ").collect();
    put(buffer, &mut y, &format!("id       value {titles}"), Role::Muted);
    for trial in app.visible().into_iter().take(area.height.into()) {
        let value = trial.value.map_or_else(|| theme.pick("–", "-").to_owned(), |v| format!("{v:.4}"));
        let cells: String =
            keys.iter().map(|k| text::right(&pictures::cell(trial.params.get(k), theme), CELLS) + " ").collect();
        let role = if Some(trial.id) == app.selected { Role::Accent } else { Role::Text };
        put(buffer, &mut y, &format!("{:<6} {} {cells}", trial.id.to_string(), text::right(&value, 7)), role);
    }
}

fn bar(item: &Importance, theme: Theme, width: usize) -> String {
    let cells = width.saturating_sub(26).clamp(4, 30);
    let bar = bars::bar(item.share, 1.0, cells, theme.ascii);
    let trend = match item.trend {
        Some(t) if t > 0.3 => theme.pick("↑", "+"),
        Some(t) if t < -0.3 => theme.pick("↓", "-"),
        _ => " ",
    };
    format!("{} {bar} {:3.0} % {trend}", text::left(short(&item.key), 18), 100.0 * item.share)
}
