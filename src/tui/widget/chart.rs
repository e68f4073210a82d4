//! A line chart: axes, grid of dots, legend. A value that is not finite is a gap with a mark on the axis.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::raster::Raster;
use super::text;
use crate::base::units;

/// One line of the chart.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    /// Its name in the legend.
    pub label: String,
    /// Its points by rising x.
    pub points: Cow<'a, [(f64, f64)]>,
    /// Its colour.
    pub style: Style,
    /// Its marker in the legend and in ASCII.
    pub marker: char,
}

/// The chart.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    /// The lines, the most important last: it is drawn over the others.
    pub series: Vec<Series<'a>>,
    /// What x counts.
    pub x_title: &'a str,
    /// Whether y is logarithmic; values that are not positive are then gaps.
    pub log: bool,
    /// Whether only ASCII is safe.
    pub ascii: bool,
    /// Style of the axes.
    pub axis: Style,
}

/// What a curve does within one column of dots.
#[derive(Clone, Copy, Debug)]
struct Stroke {
    x: i64,
    low: i64,
    high: i64,
    last: i64,
}

impl Stroke {
    fn add(&mut self, y: i64) {
        (self.low, self.high, self.last) = (self.low.min(y), self.high.max(y), y);
    }

    fn draw(&self, raster: &mut Raster, owner: usize) {
        raster.line((self.x, self.low), (self.x, self.high), owner);
    }
}

/// Cells left of the plot: the labels and the axis.
const GUTTER: u16 = 8;

impl LineChart<'_> {
    /// Draws the chart; in an area too small for axes it draws nothing.
    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        if area.width < GUTTER + 8 || area.height < 4 {
            return;
        }
        let plot = Rect { x: area.x + GUTTER, width: area.width - GUTTER, height: area.height - 2, ..area };
        let Some(((x0, x1), (y0, y1))) = self.ranges() else {
            let note = "no values yet";
            buffer.set_stringn(plot.x, plot.y + plot.height / 2, note, plot.width.into(), self.axis);
            return;
        };
        self.axes(plot, (x0, x1), (y0, y1), buffer);
        let mut raster = Raster::new(plot.width.into(), plot.height.into(), self.ascii);
        let (across, down) = raster.dots();
        let column = |x: f64| ((x - x0) / (x1 - x0) * (across - 1) as f64).round() as i64;
        let row = |y: f64| ((y1 - y) / (y1 - y0) * (down - 1) as f64).round() as i64;
        for (owner, series) in self.series.iter().enumerate() {
            // Points of one column become one stroke, so that a long curve costs what is visible of it.
            let mut stroke: Option<Stroke> = None;
            for &(x, y) in series.points.iter() {
                let x = column(x);
                let Some(y) = self.scaled(y).map(row) else {
                    stroke.take().inspect(|s| s.draw(&mut raster, owner));
                    self.gap(plot, x as usize * usize::from(plot.width) / across, series, buffer);
                    continue;
                };
                match &mut stroke {
                    Some(s) if s.x == x => s.add(y),
                    before => {
                        let from = before.take().inspect(|s| s.draw(&mut raster, owner));
                        let from = from.map_or((x, y), |s| (s.x, s.last));
                        raster.line(from, (x, y), owner);
                        *before = Some(Stroke { x, low: y, high: y, last: y });
                    }
                }
            }
            stroke.inspect(|s| s.draw(&mut raster, owner));
        }
        for (x, y, symbol, owner) in raster.cells(|owner| self.series[owner].marker) {
            let series = &self.series[owner];
            let (x, y) = (plot.x + x as u16, plot.y + y as u16);
            buffer[(x, y)].set_char(symbol).set_style(series.style);
        }
        self.legend(plot, buffer);
    }

    fn scaled(&self, y: f64) -> Option<f64> {
        let y = if self.log { y.log10() } else { y };
        y.is_finite().then_some(y)
    }

    /// The ranges of x and (scaled) y, never empty.
    fn ranges(&self) -> Option<((f64, f64), (f64, f64))> {
        let points =
            || self.series.iter().flat_map(|s| s.points.iter()).filter_map(|&(x, y)| Some((x, self.scaled(y)?)));
        let (first_x, first_y) = points().next()?;
        let widen = |range: (f64, f64), v: f64| (range.0.min(v), range.1.max(v));
        let (x, y) =
            points().fold(((first_x, first_x), (first_y, first_y)), |(x, y), p| (widen(x, p.0), widen(y, p.1)));
        let x = if x.0 < x.1 { x } else { (x.0, x.0 + 1.0) };
        let margin = if y.0 < y.1 { (y.1 - y.0) * 0.05 } else { y.0.abs().max(0.01) * 0.1 };
        Some((x, (y.0 - margin, y.1 + margin)))
    }

    fn axes(&self, plot: Rect, x: (f64, f64), y: (f64, f64), buffer: &mut Buffer) {
        let (vertical, corner, horizontal, tick) =
            if self.ascii { ("|", "+", "-", "|") } else { ("│", "└", "─", "┤") };
        let bottom = plot.y + plot.height;
        for row in plot.y..bottom {
            buffer.set_string(plot.x - 1, row, vertical, self.axis);
        }
        buffer.set_string(plot.x - 1, bottom, corner, self.axis);
        buffer.set_string(plot.x, bottom, horizontal.repeat(plot.width.into()), self.axis);
        for i in 0..=2_u16 {
            let row = plot.y + i * (plot.height - 1) / 2;
            let share = f64::from(row - plot.y) / f64::from((plot.height - 1).max(1));
            let value = y.1 + (y.0 - y.1) * share;
            let value = if self.log { 10_f64.powf(value) } else { value };
            buffer.set_string(plot.x - GUTTER, row, text::right(&units::number(rounded(value)), 7), self.axis);
            buffer.set_string(plot.x - 1, row, tick, self.axis);
        }
        let (from, to) = (units::number(x.0), units::number(x.1));
        buffer.set_string(plot.x, bottom + 1, &from, self.axis);
        let end = plot.x + plot.width - (text::width(&to) as u16).min(plot.width);
        buffer.set_string(end, bottom + 1, &to, self.axis);
        let middle = plot.x + plot.width.saturating_sub(text::width(self.x_title) as u16) / 2;
        buffer.set_string(middle, bottom + 1, self.x_title, self.axis);
    }

    fn gap(&self, plot: Rect, column: usize, series: &Series<'_>, buffer: &mut Buffer) {
        let x = plot.x + (column as u16).min(plot.width - 1);
        buffer.set_string(x, plot.y + plot.height, if self.ascii { "x" } else { "✖" }, series.style);
    }

    /// Names of the lines at the top left, as many as a third of the height holds; the most important first.
    fn legend(&self, plot: Rect, buffer: &mut Buffer) {
        for (row, series) in self.series.iter().rev().take((plot.height / 3).into()).enumerate() {
            let label = format!("{} {}", series.marker, series.label);
            buffer.set_stringn(plot.x + 1, plot.y + row as u16, label, plot.width.into(), series.style);
        }
    }
}

/// To three figures, so that labels stay short.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powi(2 - value.abs().log10().floor() as i32);
    (value * scale).round() / scale
}
