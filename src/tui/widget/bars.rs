//! Bars and sparklines as text, one row high.

/// The last `width` values as a sparkline over their own range; a value that is not finite is a gap.
pub fn sparkline(values: &[f64], width: usize, ascii: bool) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let finite = || shown.iter().copied().filter(|v| v.is_finite());
    let range = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    levels(values, width, range, ascii)
}

/// The last `width` values as a sparkline over a fixed range.
pub fn levels(values: &[f64], width: usize, (low, high): (f64, f64), ascii: bool) -> String {
    const RICH: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const PLAIN: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];
    let levels = if ascii { PLAIN } else { RICH };
    let shown = &values[values.len().saturating_sub(width)..];
    shown
        .iter()
        .map(|v| match v {
            v if !v.is_finite() => ' ',
            _ if high <= low => levels[3],
            v => levels[((v - low) / (high - low) * 7.0).round().clamp(0.0, 7.0) as usize],
        })
        .collect()
}

/// `done` of `total` as a bar of `width` cells.
pub fn bar(done: f64, total: f64, width: usize, ascii: bool) -> String {
    let (full, empty) = if ascii { ('#', '.') } else { ('█', '░') };
    let share = if total > 0.0 { (done / total).clamp(0.0, 1.0) } else { 0.0 };
    let cells = (share * width as f64).round() as usize;
    (0..width).map(|i| if i < cells { full } else { empty }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_shows_the_last_values_and_gaps() {
        assert_eq!(sparkline(&[0.0, 1.0], 8, false), "▁█");
        assert_eq!(sparkline(&[9.0, 0.0, f64::NAN, 1.0], 3, true), "_ #");
        assert_eq!(sparkline(&[2.0, 2.0], 8, false), "▄▄");
        assert_eq!(sparkline(&[], 8, false), "");
    }

    #[test]
    fn bar_is_always_its_width() {
        assert_eq!(bar(3.0, 6.0, 6, false), "███░░░");
        assert_eq!(bar(9.0, 6.0, 4, true), "####");
        assert_eq!(bar(1.0, 0.0, 3, true), "...");
    }
}
