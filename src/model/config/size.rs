//! `model.image_size` off the size a model was trained at.

use super::{ClipConfig, Positions, invalid};
use crate::journal::failure::Failure;

impl ClipConfig {
    /// The same model for images of another side; its position table is interpolated when weights are loaded.
    ///
    /// # Errors
    /// `SpecInvalid` when the side is no multiple of the patch (with the nearest that are) or larger than the table of
    /// positions covers.
    pub fn resized(mut self, side: i64) -> Result<Self, Failure> {
        let v = &mut self.vision_cfg;
        if side == v.image_size {
            return Ok(self);
        }
        let patch = v.patch_size;
        let below = (side / patch * patch).max(patch);
        if side != below {
            let above = if side < patch { String::new() } else { format!(" or {}", below + patch) };
            return Err(invalid(format!(
                "model.image_size is {side}, no multiple of the model's patches of {patch} × {patch} pixels: set it to {below}{above} (the model was trained at {})",
                v.image_size
            )));
        }
        match v.positions {
            Positions::Learned | Positions::SinCos => v.pretrained_grid = Some(v.pretrained_grid.unwrap_or(v.grid())),
            Positions::Cropped { grid, .. } if side > grid * patch => {
                return Err(invalid(format!(
                    "model.image_size is {side}; the model's table of positions ends at {}",
                    grid * patch
                )));
            }
            Positions::Naflex { .. } | Positions::Cropped { .. } => {}
        }
        v.image_size = side;
        if v.pretrained_grid == Some(v.grid()) {
            v.pretrained_grid = None;
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resized_names_the_nearest_sizes() {
        let config = || ClipConfig::resolve("siglip2-so400m-patch14-224", None).unwrap();
        let message = config().resized(250).unwrap_err().message;
        assert!(message.contains("238 or 252"), "{message}");
        assert!(config().resized(3).unwrap_err().message.contains("set it to 14 ("));
        assert!(config().resized(-7).unwrap_err().message.contains("set it to 14 ("));
        let other = config().resized(252).unwrap();
        assert_eq!((other.patches(), other.vision_cfg.pretrained_grid), (18 * 18, Some(16)));
        assert_eq!(other.resized(224).unwrap(), config());
    }

    #[test]
    fn resized_beyond_the_table_of_c_radio_is_refused() {
        let config = || ClipConfig::resolve("c-radio_v3-b", Some("siglip")).unwrap();
        assert_eq!(config().resized(2048).unwrap().patches(), 128 * 128);
        assert!(config().resized(2064).unwrap_err().message.contains("2048"));
    }
}
