//! Public weights under the crate's names: which layout a file has, what each of its tensors becomes, and back.
//!
//! The tables are data (`*_table.rs`): a row pairs a public name with a canonical one (`model::parameters`) and says how the
//! numbers are arranged. Reading and writing go through the same rows.

mod big_vision_table;
mod fold;
mod how;
mod hugging_face_table;
mod names;
mod open_clip_table;
mod radio_table;
mod row;

pub use how::How;
pub use names::plain;
pub use radio_table::NAME as RADIO;
pub use row::{Row, Table};

pub(super) use fold::Folded;

use super::config::{ClipConfig, Layout, VisionPool};

/// Every layout that is recognised; of several that match, the first counts.
pub static TABLES: &[&Table] = &[
    &radio_table::CANONICAL,
    &radio_table::RADIO,
    &hugging_face_table::SIGLIP2,
    &hugging_face_table::CLIP,
    &open_clip_table::TIMM_NAFLEX,
    &open_clip_table::TIMM,
    &open_clip_table::CUSTOM,
    &open_clip_table::CLIP,
    &big_vision_table::BIG_VISION,
];

/// The table of a file with these names (without wrappers).
pub fn recognise(has: impl Fn(&str) -> bool) -> Option<&'static Table> {
    TABLES.iter().copied().find(|table| table.signature.iter().any(|name| has(name)))
}

/// The table that weights of this architecture are written with.
pub fn of(config: &ClipConfig) -> &'static Table {
    match config.layout {
        Layout::OpenClip => &open_clip_table::CLIP,
        Layout::OpenClipCustom if config.vision_cfg.pool == VisionPool::Map => &open_clip_table::TIMM,
        Layout::OpenClipCustom => &open_clip_table::CUSTOM,
        Layout::HfClip => &hugging_face_table::CLIP,
        Layout::HfSiglip => &hugging_face_table::SIGLIP,
        Layout::HfSiglip2 => &hugging_face_table::SIGLIP2,
        Layout::Radio => &radio_table::CANONICAL,
    }
}
