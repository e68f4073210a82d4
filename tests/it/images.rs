//! Image files of every kind against Pillow (`tests/golden/images_golden.py`).

use cliptune::pixels::decode;
use serde_json::Value;

use super::data::bytes;

fn cases() -> Vec<Value> {
    serde_json::from_str::<Value>(include_str!("../golden/images.json")).unwrap().as_array().unwrap().clone()
}

#[test]
fn files_of_every_kind_are_read_as_pillow_reads_them() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (name, file) = (case[0].as_str().unwrap(), bytes(&case[1]));
        let found = decode::decode_bytes(&file);
        match (found, case.get(2)) {
            (Ok(image), Some(width)) => {
                let size = (Some(u64::from(image.width)), Some(u64::from(image.height)));
                if size != (width.as_u64(), case[3].as_u64()) {
                    wrong.push(format!("{name}: {} x {}", image.width, image.height));
                    continue;
                }
                let expected = bytes(&case[4]);
                let off = image.pixels.iter().zip(&expected).filter(|(a, b)| a != b).count();
                let most = image.pixels.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max();
                if off > 0 {
                    wrong.push(format!("{name}: {off} of {} bytes differ, by up to {most:?}", expected.len()));
                }
                let header = decode::size_of_bytes(&file);
                if header != Ok((image.width, image.height)) {
                    wrong.push(format!("{name}: its header says {header:?}"));
                }
            }
            (Err(_), None) => {}
            (Ok(_), None) => wrong.push(format!("{name}: is read, and Pillow refuses it")),
            (Err(why), Some(_)) => wrong.push(format!("{name}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
