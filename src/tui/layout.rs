//! Which views share the screen, by its size.

use ratatui::layout::{Constraint, Layout, Rect};

use super::app::View;

/// What goes where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Screen {
    /// Too small for panels: one line that sums up.
    Line,
    /// Header, panels, hint bar.
    Panels {
        /// The first row.
        header: Rect,
        /// The views.
        panels: Vec<(View, Rect)>,
        /// The last row.
        hints: Rect,
    },
}

/// Columns from which two views lie one above the other.
const TWO: u16 = 100;
/// Columns from which three views lie side by side.
const THREE: u16 = 140;
/// Rows from which more than one view is shown.
const TALL: u16 = 20;

/// The screen of a terminal of this size.
pub fn screen(area: Rect, focus: View, expanded: bool) -> Screen {
    if area.width < 40 || area.height < 10 {
        return Screen::Line;
    }
    let [header, body, hints] =
        Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)]).areas(area);
    let panels = if expanded || focus == View::Studies || area.width < TWO || area.height < TALL {
        vec![(focus, body)]
    } else if area.width < THREE {
        let below = if focus == View::Trials { View::Curves } else { focus };
        let [top, bottom] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(body);
        vec![(View::Trials, top), (below, bottom)]
    } else {
        let below = if matches!(focus, View::Trials | View::Curves) { View::Params } else { focus };
        let [left, right] = Layout::horizontal([Constraint::Fill(11), Constraint::Fill(9)]).areas(body);
        let [top, bottom] = Layout::vertical([Constraint::Fill(1), Constraint::Fill(1)]).areas(right);
        vec![(View::Trials, left), (View::Curves, top), (below, bottom)]
    };
    Screen::Panels { header, panels, hints }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn views(width: u16, height: u16, focus: View, expanded: bool) -> Vec<View> {
        match screen(Rect::new(0, 0, width, height), focus, expanded) {
            Screen::Line => Vec::new(),
            Screen::Panels { panels, .. } => panels.into_iter().map(|(view, _)| view).collect(),
        }
    }

    #[test]
    fn screen_shows_fewer_views_the_smaller_it_is_and_always_the_focused_one() {
        assert_eq!(views(160, 50, View::Trials, false), [View::Trials, View::Curves, View::Params]);
        assert_eq!(views(160, 50, View::Logs, false), [View::Trials, View::Curves, View::Logs]);
        assert_eq!(views(100, 30, View::Params, false), [View::Trials, View::Params]);
        assert_eq!(views(80, 24, View::Curves, false), [View::Curves]);
        assert_eq!(views(160, 50, View::Logs, true), [View::Logs]);
        assert_eq!(views(39, 24, View::Trials, false), []);
        assert_eq!(views(80, 9, View::Trials, false), []);
        assert_eq!(views(40, 10, View::Trials, false), [View::Trials]);
    }
}
