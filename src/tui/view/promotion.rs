//! View 6: the steps of a promotion as a checklist, and the files it made.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::base::units;
use crate::tui::app::App;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::text;

/// The steps in their order, and what each one does.
const STEPS: [(&str, &str); 6] = [
    ("checkpoint", "the best checkpoint, copied and checked"),
    ("candidates", "averages and interpolations, measured"),
    ("export", "ONNX graphs of both towers"),
    ("parity", "the graphs against the checkpoint"),
    ("engine", "a TensorRT engine"),
    ("manifest", "hashes, versions, the trial"),
];

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    app.study.promotion.as_ref().map_or_else(String::new, |p| format!("trial {}", p.trial))
}

/// Draws the checklist above the files.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut lines = Vec::new();
    if app.study.promotion.is_none() {
        let note = "nothing is promoted yet; P promotes the selected trial, the best one is promoted at the end";
        lines.push(Line::styled(note, theme.style(Role::Muted)));
    }
    let promotion = app.study.promotion.as_ref();
    for (name, what) in STEPS {
        let step = promotion.and_then(|p| p.steps.iter().find(|s| s.step == name));
        let status = step.map_or("", |s| s.status.as_str());
        let (symbol, role) = match status {
            "done" => (theme.pick('✔', '+'), Role::Good),
            "started" => (theme.pick('●', '*'), Role::Active),
            "failed" => (theme.pick('✖', 'x'), Role::Bad),
            "skipped" => (theme.pick('–', '-'), Role::Muted),
            _ => (theme.pick('◌', '.'), Role::Muted),
        };
        let detail = step.map(|s| text::printable(&s.detail)).filter(|d| !d.is_empty());
        lines.push(Line::from(vec![
            Span::styled(format!("{symbol} "), theme.style(role)),
            Span::raw(format!("{name:<11} {status:<8} ")),
            Span::styled(detail.unwrap_or_else(|| what.to_owned()), theme.style(Role::Muted)),
        ]));
    }
    let files = promotion.map(|p| p.files.as_slice()).unwrap_or_default();
    if !files.is_empty() {
        lines.push(Line::default());
        lines.extend(files.iter().map(|file| {
            let hash =
                file.sha256.as_deref().map_or_else(String::new, |h| format!("sha256 {}", h.get(..12).unwrap_or(h)));
            let name = text::left(&text::printable(&file.name), 32);
            Line::raw(format!("  {name} {:>10}  {hash}", units::bytes(file.bytes)))
        }));
    }
    for (y, line) in (area.y..area.bottom()).zip(&lines) {
        buffer.set_line(area.x, y, line, area.width);
    }
}
