//! What a model type leaves open and a weights file decides: the sizes of C-RADIO's heads, the context of CLIPA's texts.

use super::{ClipConfig, Layout, Positions, Prefix, VisionHead};

impl ClipConfig {
    /// The architecture as the tensors of a file have it. `shape` gives the shape of a tensor by its internal name
    /// (`model::parameters`). What the config says exactly is left alone; a file that differs there does not fit.
    #[must_use]
    pub fn fitted(mut self, shape: &dyn Fn(&str) -> Option<Vec<i64>>) -> Self {
        let size = |name: &str, axis: usize| shape(name).and_then(|s| s.get(axis).copied());
        if let Some(rows) = size("text.positional_embedding", 0).filter(|_| self.text_cfg.tokens_vary()) {
            self.text_cfg.context_length = rows;
        }
        if self.layout != Layout::Radio {
            return self;
        }
        let v = &mut self.vision_cfg;
        if let Some(tokens) = size("visual.cls_tokens", 0) {
            v.prefix = Prefix::Tokens(tokens);
        }
        if let (Some(rows), Positions::Cropped { grid, .. }) =
            (size("visual.positional_embedding", 0), &mut v.positions)
        {
            *grid = (rows as f64).sqrt().round() as i64;
        }
        if shape("visual.conv1.weight").is_some() {
            let scaled = shape("visual.transformer.resblocks.0.ls_1.gamma").is_some();
            v.layer_scale = scaled.then_some(v.layer_scale.unwrap_or(1e-5));
            v.unused_registers = size("visual.reg_token", 1).unwrap_or(0);
        }
        if let Some(hidden) = size("visual.head.fc1.weight", 0) {
            let blocks = (0..).take_while(|i| shape(&format!("visual.head.blocks.{i}.0.weight")).is_some()).count();
            let pre_norm = shape("visual.head.pre_norm.0.weight").is_some();
            v.head = VisionHead::Mlp { hidden, blocks: blocks as i64, pre_norm };
        }
        if let Some(width) = size("visual.head.final.2.weight", 0) {
            self.embed_dim = width;
        }
        self
    }
}
