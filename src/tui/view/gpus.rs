//! View 4: how busy GPUs and machines are, and what ran on which device when.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::base::time::{Timestamp, seconds_between};
use crate::base::units;
use crate::state::TrialStatus;
use crate::state::timeline::{Bar, Lane};
use crate::tui::app::App;
use crate::tui::rows::{Gpu, Host};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::{bars, text};

/// Cells left of the timeline.
const NAME: u16 = 8;

/// What stands behind the title.
pub(super) fn about(app: &App) -> String {
    match app.study.gpus.len() {
        0 => String::new(),
        count => units::plural(count, "GPU"),
    }
}

/// Draws the GPUs above the timeline.
pub(super) fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut y = area.y;
    if app.study.gpus.is_empty() {
        let note = "no GPU was sampled: trials run on the CPU, or elsewhere";
        buffer.set_stringn(area.x, y, note, area.width.into(), theme.style(Role::Muted));
        y += 1;
    }
    // At least half of the area is the timeline's.
    for gpu in app.study.gpus.iter().take(usize::from(area.height / 2)) {
        buffer.set_line(area.x, y, &line(gpu, theme, area.width.into()), area.width);
        y += 1;
    }
    for host in app.study.hosts.iter().take(usize::from(area.bottom().saturating_sub(y) / 2)) {
        buffer.set_stringn(area.x, y, host_line(host, theme), area.width.into(), theme.style(Role::Text));
        y += 1;
    }
    if y + 3 < area.bottom() {
        timeline(&app.study.lanes, theme, Rect { y: y + 1, height: area.bottom() - y - 1, ..area }, buffer);
    }
}

fn line<'a>(gpu: &Gpu, theme: Theme, width: usize) -> Line<'a> {
    let of = &gpu.sample;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let load = bars::bar(f64::from(of.utilisation), 100.0, 10, theme.ascii);
    let power = of.power.map_or_else(String::new, |w| format!("{w:.0}W"));
    let degrees = of.temperature.map_or_else(String::new, |t| format!("{t}{}", theme.pick("°C", "C")));
    let trials: Vec<String> = gpu.trials.iter().map(|id| format!("#{id}")).collect();
    let numbers = format!(
        " {:>3}% {:>11} {power:>5} {degrees:>5}  {} ",
        of.utilisation,
        format!("{:.1}/{:.0}G", gib(of.memory_used), gib(of.memory_total)),
        text::left(&trials.join(" "), 12),
    );
    let rest = width.saturating_sub(text::width(&numbers) + 14);
    Line::from(vec![
        Span::raw(format!("{:<3}", of.index)),
        Span::styled(load, theme.style(if gpu.trials.is_empty() { Role::Muted } else { Role::Active })),
        Span::raw(numbers),
        Span::styled(bars::levels(&gpu.load, rest, (0.0, 100.0), theme.ascii), theme.style(Role::Accent)),
    ])
}

/// `node-a  cpu ██████░░░░  61%  mem ███░░░░░░░ 18.2/64G  waits for data 12%  #0004 #0005`.
fn host_line(host: &Host, theme: Theme) -> String {
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    let (used, total) = (gib(host.load.memory_used), gib(host.load.memory_total));
    let wait = host.data_wait.map_or_else(String::new, |share| format!("waits for data {:.0}%  ", 100.0 * share));
    let trials: Vec<String> = host.trials.iter().map(|id| format!("#{id}")).collect();
    format!(
        "{} cpu {} {:>3.0}%  mem {} {used:.1}/{total:.0}G  {wait}{}",
        text::left(&host.name, 12),
        bars::bar(host.load.cpu, 1.0, 10, theme.ascii),
        100.0 * host.load.cpu,
        bars::bar(used, total, 10, theme.ascii),
        trials.join(" "),
    )
}

/// A row a device, time from the first launch to the last end.
fn timeline(lanes: &[Lane], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let bars = || lanes.iter().flat_map(|l| &l.bars);
    let (Some(from), Some(to)) = (bars().map(|b| b.from).min(), bars().map(|b| b.to).max()) else {
        buffer.set_stringn(area.x, area.y, "nothing ran yet", area.width.into(), theme.style(Role::Muted));
        return;
    };
    let plot = Rect { x: area.x + NAME, width: area.width.saturating_sub(NAME), ..area };
    if plot.width < 10 {
        return;
    }
    let span = seconds_between(from, to).max(1.0);
    let column = |ts: Timestamp| (seconds_between(from, ts) / span * f64::from(plot.width - 1)).round() as u16;
    let rows = area.y..area.bottom().saturating_sub(1);
    for (y, lane) in rows.clone().zip(lanes) {
        buffer.set_stringn(area.x, y, &lane.name, usize::from(NAME) - 1, theme.style(Role::Muted));
        for bar in &lane.bars {
            draw_bar(bar, theme, (plot.x + column(bar.from), plot.x + column(bar.to), y), buffer);
        }
    }
    let y = rows.end.min(area.y + lanes.len() as u16);
    let end = units::duration(span);
    buffer.set_stringn(plot.x, y, "0:00", plot.width.into(), theme.style(Role::Muted));
    let legend = [TrialStatus::Completed, TrialStatus::Running, TrialStatus::Pruned, TrialStatus::Failed]
        .map(|status| format!("{} {}", fill(status, theme), status.name()))
        .join("  ");
    if usize::from(plot.width) > text::width(&legend) + 2 * text::width(&end) + 8 {
        buffer.set_string(plot.x + 8, y, legend, theme.style(Role::Muted));
    }
    let x = plot.right().saturating_sub(text::width(&end) as u16);
    buffer.set_string(x, y, end, theme.style(Role::Muted));
}

fn draw_bar(bar: &Bar, theme: Theme, (from, to, y): (u16, u16, u16), buffer: &mut Buffer) {
    let style = theme.style(theme.status(bar.status).1);
    let symbol = fill(bar.status, theme);
    for x in from..=to {
        buffer[(x, y)].set_char(symbol).set_style(style);
    }
    // Its number where it fits beside a cell of the bar on either side.
    let number = bar.trial.0.to_string();
    if usize::from(to - from) > number.len() + 1 {
        buffer.set_string(from + 1, y, number, style.add_modifier(ratatui::style::Modifier::REVERSED));
    }
}

/// What a bar is made of: told apart without colours too.
fn fill(status: TrialStatus, theme: Theme) -> char {
    let (rich, plain) = match status {
        TrialStatus::Completed => ('█', '#'),
        TrialStatus::Running | TrialStatus::Launching => ('▓', '>'),
        TrialStatus::Failed => ('×', 'x'),
        TrialStatus::Pruned | TrialStatus::Cancelled => ('▒', '-'),
        TrialStatus::Paused | TrialStatus::Queued => ('░', '='),
    };
    theme.pick(rich, plain)
}
