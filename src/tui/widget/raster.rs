//! A grid of dots, two by four in a cell with braille patterns, one in a cell with ASCII.

/// Which dots are set, and by whom.
#[derive(Clone, Debug)]
pub struct Raster {
    width: usize,
    height: usize,
    ascii: bool,
    /// Per cell: the dots (a braille bit pattern) and who set one last.
    cells: Vec<(u8, usize)>,
}

/// Bits of the dots of a braille pattern, by column and row.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

impl Raster {
    /// An empty raster of so many cells.
    pub fn new(width: usize, height: usize, ascii: bool) -> Self {
        Self { width, height, ascii, cells: vec![(0, 0); width * height] }
    }

    /// Dots in a row and in a column.
    pub fn dots(&self) -> (usize, usize) {
        if self.ascii { (self.width, self.height) } else { (self.width * 2, self.height * 4) }
    }

    /// Sets a dot, counted from the top left; dots outside are ignored.
    pub fn set(&mut self, x: i64, y: i64, owner: usize) {
        let (across, down) = self.dots();
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else { return };
        if x >= across || y >= down {
            return;
        }
        let (cell, bit) =
            if self.ascii { (y * self.width + x, 1) } else { (y / 4 * self.width + x / 2, BRAILLE[x % 2][y % 4]) };
        self.cells[cell].0 |= bit;
        self.cells[cell].1 = owner;
    }

    /// Sets the dots between two points (Bresenham's line).
    pub fn line(&mut self, from: (i64, i64), to: (i64, i64), owner: usize) {
        let (dx, dy) = ((to.0 - from.0).abs(), -(to.1 - from.1).abs());
        let (sx, sy) = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        let (mut x, mut y) = from;
        let mut error = dx + dy;
        loop {
            self.set(x, y, owner);
            if (x, y) == to {
                return;
            }
            let twice = 2 * error;
            if twice >= dy {
                error += dy;
                x += sx;
            }
            if twice <= dx {
                error += dx;
                y += sy;
            }
        }
    }

    /// The cells that are not empty: column, row, character and owner; `marker` is the character of an owner in ASCII.
    pub fn cells(&self, marker: impl Fn(usize) -> char) -> Vec<(usize, usize, char, usize)> {
        let cell = |(i, &(bits, owner)): (usize, &(u8, usize))| {
            let symbol =
                if self.ascii { marker(owner) } else { char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ') };
            (bits != 0).then_some((i % self.width, i / self.width, symbol, owner))
        };
        self.cells.iter().enumerate().filter_map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_from_corner_to_corner_sets_the_diagonal() {
        let mut raster = Raster::new(2, 1, false);
        raster.line((0, 0), (3, 3), 7);
        let text: String = raster.cells(|_| 'x').iter().map(|c| c.2).collect();
        assert_eq!(text, "⠑⢄");
        raster.set(-1, 0, 7);
        raster.set(4, 4, 7);
        assert_eq!(raster.cells(|_| 'x').len(), 2);
    }

    #[test]
    fn ascii_uses_the_owners_marker() {
        let mut raster = Raster::new(3, 3, true);
        raster.line((0, 2), (2, 0), 1);
        assert_eq!(raster.cells(|o| if o == 1 { '+' } else { '?' }), [(2, 0, '+', 1), (1, 1, '+', 1), (0, 2, '+', 1)]);
    }
}
