//! Parquet files byte by byte: tests/golden/tables.py reads the same bytes with pyarrow.

use cliptune::tables::{Kind, Values, parquet::Writer};

const COLUMNS: [(&str, Kind); 4] =
    [("text", Kind::Text), ("whole", Kind::Whole), ("number", Kind::Number), ("vector", Kind::Vector(2))];

#[test]
fn parquet_file_is_the_one_that_pyarrow_reads() {
    let mut writer = Writer::new(Vec::new(), &COLUMNS).unwrap();
    let texts = ["plain", "größe, \"quoted\"\n", ""].map(str::to_owned);
    let numbers = [0.5, f64::NEG_INFINITY, 1e-300];
    let vectors = [1.0, 0.25, 0.0, 3.0, -1.5, 2.0];
    for rows in [0..2, 2..3] {
        let values = [
            Values::Text(&texts[rows.clone()]),
            Values::Whole(&[1, -2, 1 << 40][rows.clone()]),
            Values::Number(&numbers[rows.clone()]),
            Values::Vector(&vectors[2 * rows.start..2 * rows.end]),
        ];
        writer.rows(&values).unwrap();
        assert!(writer.rows(&values[..3]).is_err(), "a column is missing");
    }
    let bytes = writer.finish().unwrap();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/table.parquet");
    if std::env::var_os("CLIPTUNE_WRITE_GOLDEN").is_some() {
        std::fs::write(&golden, &bytes).unwrap();
    }
    // The name and version of the writer are in the footer.
    let masked = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(env!("CARGO_PKG_VERSION"), "0.0.0");
    assert_eq!(masked(&bytes), masked(&std::fs::read(golden).unwrap()));
}
