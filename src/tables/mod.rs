//! Floor 3: files of rows that other tools read: CSV and Parquet, written group by group and never read here.

pub mod csv;
pub mod parquet;
mod thrift;

/// The kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text.
    Text,
    /// 64-bit whole numbers.
    Whole,
    /// 64-bit floats.
    Number,
    /// Lists of as many 32-bit floats.
    Vector(usize),
}

/// The values of a column, one a row.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// For [`Kind::Text`].
    Text(&'a [String]),
    /// For [`Kind::Whole`].
    Whole(&'a [i64]),
    /// For [`Kind::Number`].
    Number(&'a [f64]),
    /// For [`Kind::Vector`]: row after row.
    Vector(&'a [f32]),
}

impl Values<'_> {
    /// The number of rows of a column of kind `kind`; `None` when the values are of another kind.
    fn rows(&self, kind: Kind) -> Option<usize> {
        match (self, kind) {
            (Self::Text(v), Kind::Text) => Some(v.len()),
            (Self::Whole(v), Kind::Whole) => Some(v.len()),
            (Self::Number(v), Kind::Number) => Some(v.len()),
            (Self::Vector(v), Kind::Vector(width)) if width > 0 && v.len() % width == 0 => Some(v.len() / width),
            _ => None,
        }
    }
}

/// The number of rows that `values` have in common.
///
/// # Errors
/// When they are not of the kinds of `columns`, or differ in length.
fn rows_of(columns: &[(&str, Kind)], values: &[Values<'_>]) -> std::io::Result<usize> {
    let lengths: Vec<Option<usize>> = columns.iter().zip(values).map(|((_, kind), v)| v.rows(*kind)).collect();
    match lengths.first() {
        Some(Some(rows)) if columns.len() == values.len() && lengths.iter().all(|l| l == &Some(*rows)) => Ok(*rows),
        _ => Err(std::io::Error::other("the values do not fit the columns of the table")),
    }
}
