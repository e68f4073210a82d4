//! The files beside weights that Python's loaders ask for: config, tokenizer, how images are prepared.

use std::path::Path;

use serde_json::json;

use super::config::{ClipConfig, Interpolation, Layout, Resize};
use super::pretrained::COMPANIONS;
use crate::base::files;
use crate::journal::failure::Failure;

/// Larger files are none of these.
const LIMIT: u64 = 64 << 20;
const PREPROCESSOR: &str = "preprocessor_config.json";

/// Files that came with the weights a model was loaded from, by name. They are kept in memory, because the checkpoint they
/// lay in may be deleted before the next one is written.
pub(super) type Companions = Vec<(&'static str, Vec<u8>)>;

/// Reads the companions in a folder.
pub(super) fn read(folder: &Path) -> Companions {
    let small = |path: &Path| std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() <= LIMIT);
    let each = COMPANIONS.iter().map(|&name| (name, folder.join(name))).filter(|(_, path)| small(path));
    each.filter_map(|(name, path)| Some((name, std::fs::read(path).ok()?))).collect()
}

/// Writes config and companions beside weights.
///
/// # Errors
/// `DiskFull` or `Io`.
pub(super) fn write(folder: &Path, config: &ClipConfig, companions: &Companions) -> Result<(), Failure> {
    let pretty = |value: &serde_json::Value| serde_json::to_vec_pretty(value).map_err(std::io::Error::from);
    files::atomic_write(&folder.join(config.file_name()), &pretty(&config.to_file())?)?;
    for (name, bytes) in companions.iter().filter(|(name, _)| *name != PREPROCESSOR) {
        files::atomic_write(&folder.join(name), bytes)?;
    }
    if let Some(own) = preprocessor(config) {
        files::atomic_write(&folder.join(PREPROCESSOR), &pretty(&own)?)?;
    }
    Ok(())
}

/// How images are prepared, as transformers' processors read it; `None` where the config itself says it.
fn preprocessor(config: &ClipConfig) -> Option<serde_json::Value> {
    let (p, side) = (&config.preprocess_cfg, config.vision_cfg.image_size);
    let kind = match config.layout {
        Layout::HfClip => "CLIPImageProcessor",
        Layout::HfSiglip => "SiglipImageProcessor",
        Layout::HfSiglip2 => "Siglip2ImageProcessor",
        Layout::OpenClip | Layout::OpenClipCustom | Layout::Radio => return None,
    };
    // Numbers of PIL.
    let resample = if p.interpolation == Interpolation::Bicubic { 3 } else { 2 };
    let mut out = json!({
        "image_processor_type": kind,
        "do_convert_rgb": true,
        "do_resize": true,
        "resample": resample,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": p.mean,
        "image_std": p.std,
    });
    match (config.layout, p.resize_mode) {
        (Layout::HfSiglip2, _) => {
            out["patch_size"] = config.vision_cfg.patch_size.into();
            out["max_num_patches"] = config.patches().into();
        }
        (_, Resize::Squash) => out["size"] = json!({ "height": side, "width": side }),
        // Borders are open_clip's alone, whose config says so itself.
        (_, Resize::Shortest | Resize::Longest) => {
            out["size"] = json!({ "shortest_edge": side });
            out["do_center_crop"] = true.into();
            out["crop_size"] = json!({ "height": side, "width": side });
        }
    }
    Some(out)
}
