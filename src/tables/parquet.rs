//! Parquet, as much of it as flat tables and embeddings need: one page a column and row group, plain values, nothing
//! compressed, no value missing. A page more or a codec would gain little here; the crate `parquet` would cost three
//! further crates and a minute of every build.
//!
//! Reference: <https://github.com/apache/parquet-format>, parquet.thrift and Encodings.md.

use std::io::{self, Write};

use super::thrift::{Struct, varint};
use super::{Kind, Values, rows_of};

const MAGIC: &[u8; 4] = b"PAR1";

// Names of parquet.thrift.
const INT64: i32 = 2;
const FLOAT: i32 = 4;
const DOUBLE: i32 = 5;
const BYTE_ARRAY: i32 = 6;
const REQUIRED: i32 = 0;
const REPEATED: i32 = 2;
const UTF8: i32 = 0;
const LIST: i32 = 3;
const PLAIN: i32 = 0;
const RLE: i32 = 3;

/// Writes a table, one row group at a time, into anything that is written from start to end.
#[derive(Debug)]
pub struct Writer<'c, W> {
    out: W,
    at: u64,
    columns: Vec<(&'c str, Kind)>,
    groups: Vec<Struct>,
    rows: i64,
}

impl<'c, W: Write> Writer<'c, W> {
    /// Starts a table.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(mut out: W, columns: &[(&'c str, Kind)]) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self { out, at: 4, columns: columns.to_vec(), groups: Vec::new(), rows: 0 })
    }

    /// Appends a row group; it should have thousands of rows, unless the table has fewer.
    ///
    /// # Errors
    /// When the values do not fit the columns, or a group is larger than 2 GiB; those of `out`.
    pub fn rows(&mut self, values: &[Values<'_>]) -> io::Result<()> {
        let rows = rows_of(&self.columns, values)?;
        if rows == 0 {
            return Ok(());
        }
        let (mut chunks, mut total) = (Vec::new(), 0);
        for ((name, kind), values) in self.columns.clone().into_iter().zip(values) {
            let page = page(*values, rows, kind);
            let (size, count) = (bounded(page.len())?, bounded(values_in(*values))?);
            let encodings = Struct::default().i32(1, count).i32(2, PLAIN).i32(3, RLE).i32(4, RLE);
            let header = Struct::default().i32(1, 0).i32(2, size).i32(3, size).group(5, encodings).end();
            let (start, bytes) = (self.at as i64, (header.len() + page.len()) as i64);
            for part in [&header, &page] {
                self.out.write_all(part)?;
                self.at += part.len() as u64;
            }
            total += bytes;
            let chunk = Struct::default()
                .i32(1, physical(kind))
                .numbers(2, &[PLAIN, RLE])
                .texts(3, &path(name, kind))
                .i32(4, 0)
                .i64(5, count.into())
                .i64(6, bytes)
                .i64(7, bytes)
                .i64(9, start);
            chunks.push(Struct::default().i64(2, start).group(3, chunk));
        }
        self.groups.push(Struct::default().groups(1, chunks).i64(2, total).i64(3, rows as i64));
        self.rows += rows as i64;
        Ok(())
    }

    /// Writes the footer and gives the output back.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        let count = self.columns.len() as i32;
        let mut schema = vec![Struct::default().text(4, "schema").i32(5, count)];
        schema.extend(self.columns.iter().flat_map(|&(name, kind)| elements(name, kind)));
        let writer = concat!("cliptune version ", env!("CARGO_PKG_VERSION"));
        let footer = Struct::default()
            .i32(1, 1)
            .groups(2, schema)
            .i64(3, self.rows)
            .groups(4, std::mem::take(&mut self.groups))
            .text(6, writer)
            .end();
        self.out.write_all(&footer)?;
        self.out.write_all(&bounded(footer.len())?.to_le_bytes())?;
        self.out.write_all(MAGIC)?;
        Ok(self.out)
    }
}

fn bounded(count: usize) -> io::Result<i32> {
    i32::try_from(count).map_err(|_| io::Error::other("a row group of a Parquet file is larger than 2 GiB"))
}

fn physical(kind: Kind) -> i32 {
    match kind {
        Kind::Text => BYTE_ARRAY,
        Kind::Whole => INT64,
        Kind::Number => DOUBLE,
        Kind::Vector(_) => FLOAT,
    }
}

/// The schema elements of a column.
fn elements(name: &str, kind: Kind) -> Vec<Struct> {
    let leaf = |name: &str| Struct::default().i32(1, physical(kind)).i32(3, REQUIRED).text(4, name);
    match kind {
        Kind::Text => vec![leaf(name).i32(6, UTF8)],
        Kind::Whole | Kind::Number => vec![leaf(name)],
        // A list in three levels: the group, its repeated entries, the element.
        Kind::Vector(_) => vec![
            Struct::default().i32(3, REQUIRED).text(4, name).i32(5, 1).i32(6, LIST),
            Struct::default().i32(3, REPEATED).text(4, "list").i32(5, 1),
            leaf("element"),
        ],
    }
}

fn path(name: &str, kind: Kind) -> Vec<&str> {
    if matches!(kind, Kind::Vector(_)) { vec![name, "list", "element"] } else { vec![name] }
}

fn values_in(values: Values<'_>) -> usize {
    match values {
        Values::Text(v) => v.len(),
        Values::Whole(v) => v.len(),
        Values::Number(v) => v.len(),
        Values::Vector(v) => v.len(),
    }
}

/// Levels, where the column is a list, and plain values.
fn page(values: Values<'_>, rows: usize, kind: Kind) -> Vec<u8> {
    let mut out = Vec::new();
    if let Kind::Vector(width) = kind {
        // Repetition: each row starts anew (0) and goes on (1). Definition: every element is there (1).
        let mut levels = Vec::new();
        for _ in 0..rows {
            run(&mut levels, 1, 0);
            run(&mut levels, width - 1, 1);
        }
        sized(&mut out, &levels);
        levels.clear();
        run(&mut levels, rows * width, 1);
        sized(&mut out, &levels);
    }
    match values {
        Values::Text(v) => v.iter().for_each(|text| sized(&mut out, text.as_bytes())),
        Values::Whole(v) => v.iter().for_each(|n| out.extend(n.to_le_bytes())),
        Values::Number(v) => v.iter().for_each(|n| out.extend(n.to_le_bytes())),
        Values::Vector(v) => v.iter().for_each(|n| out.extend(n.to_le_bytes())),
    }
    out
}

/// A run of `count` equal levels of one bit.
fn run(out: &mut Vec<u8>, count: usize, level: u8) {
    if count > 0 {
        varint(out, (count as u64) << 1);
        out.push(level);
    }
}

fn sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}
