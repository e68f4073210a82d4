//! How many parameters an architecture has and what training it takes, from shapes alone: nothing is allocated.

use super::config::{Activation, ClipConfig, VisionPool};
use super::parameters::{self, Part};

/// Numbers of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Image tower, with its head.
    pub vision: i64,
    /// Head of the image tower of a C-RADIO; its backbone is the rest.
    pub vision_head: i64,
    /// Text tower.
    pub text: i64,
    /// Everything.
    pub total: i64,
    /// What takes gradients.
    pub trainable: i64,
    /// Tensors, of which the file of some layouts has more (query, key and value apart).
    pub tensors: usize,
}

/// Counts the parameters of an architecture.
pub fn counts(config: &ClipConfig) -> Counts {
    let mut out = Counts::default();
    for p in parameters::of(config) {
        let n = p.count();
        match p.part {
            Part::Vision => out.vision += n,
            Part::Text => out.text += n,
            Part::Logit => {}
        }
        out.vision_head += if p.name.starts_with("visual.head.") { n } else { 0 };
        out.total += n;
        out.trainable += if p.trainable { n } else { 0 };
        out.tensors += 1;
    }
    out
}

/// How a model is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Training {
    /// Pairs of a step.
    pub batch: i64,
    /// Whether the operands of matrix products have 16 bits.
    pub half: bool,
    /// Whether the image tower takes gradients.
    pub vision: bool,
    /// Whether the text tower takes gradients.
    pub text: bool,
}

/// Bytes on the device while a model is trained; the process and the libraries come on top.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Parameters in 32 bits, and the 16-bit copies that the graph keeps.
    pub weights: i64,
    /// Gradients.
    pub gradients: i64,
    /// Both moments of AdamW.
    pub optimizer: i64,
    /// What the forward pass keeps for the backward pass, and logits.
    pub activations: i64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> i64 {
        self.weights + self.gradients + self.optimizer + self.activations
    }
}

/// Estimates what a step takes with images of the config's size and texts of full length.
pub fn training(config: &ClipConfig, how: Training) -> Memory {
    let mut out = Memory::default();
    for p in parameters::of(config) {
        let trained = p.trainable
            && match p.part {
                Part::Vision => how.vision,
                Part::Text => how.text,
                Part::Logit => true,
            };
        let n = p.count();
        let multiplied = p.shape.len() >= 2 && !p.name.ends_with("embedding") && !p.name.contains("token_embedding");
        out.weights += 4 * n + if how.half && trained && multiplied { 2 * n } else { 0 };
        out.gradients += if trained { 4 * n } else { 0 };
        out.optimizer += if trained { 8 * n } else { 0 };
    }
    let (v, t) = (&config.vision_cfg, &config.text_cfg);
    let tower = |tokens, width, inner, layers, pooled, scaled, activation| Tower {
        tokens,
        width,
        inner,
        layers,
        pooled,
        scaled,
        activation,
    };
    let pooled = matches!(v.pool, VisionPool::Token(_));
    let tokens = config.patches() + v.prefix.len();
    let image = tower(tokens, v.width, v.mlp_width, v.layers, pooled, v.layer_scale.is_some(), v.activation);
    let scaled = t.layer_scale.is_some();
    let text = tower(t.context_length, t.width, t.mlp_width, t.layers, true, scaled, t.activation);
    let pixels = 3 * v.image_size * v.image_size;
    let sample = if how.vision { 4 * pixels + image.bytes(how.half) } else { 4 * pixels }
        + if how.text { text.bytes(how.half) } else { 0 };
    // Logits, their gradient and what the losses keep: about four squares.
    out.activations = how.batch * sample + 4 * 4 * how.batch * how.batch;
    out
}

struct Tower {
    tokens: i64,
    width: i64,
    inner: i64,
    layers: i64,
    pooled: bool,
    scaled: bool,
    activation: Activation,
}

impl Tower {
    /// What one sample leaves for the backward pass.
    fn bytes(&self, half: bool) -> i64 {
        let operand = if half { 2 } else { 4 };
        // Inputs of both norms; operands of four products; queries, keys, values; what a scaled branch was.
        let residual = 2 * 4 + if self.scaled { 2 * operand } else { 0 };
        let hidden = if self.activation == Activation::QuickGelu { 3 } else { 2 };
        let block = self.width * (residual + (1 + 3 + 2 + 1) * operand) + self.inner * hidden * operand;
        // The last block keeps its input, the normed input, keys and values where one token leaves the tower.
        let last = if self.pooled { self.width * (4 + 3 * operand) } else { block };
        self.tokens * (block * (self.layers - 1) + last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_a_c_radio_are_backbone_head_and_text() {
        let counts = counts(&ClipConfig::resolve("c-radio_v3-b", Some("siglip")).unwrap());
        assert_eq!(counts.vision - counts.vision_head, 98_254_854);
        assert_eq!(counts.total - counts.trainable, 4 * 768 + 6);
        assert_eq!(counts.total, counts.vision + counts.text + 1);
    }

    #[test]
    fn training_keeps_sixteen_bytes_a_parameter_and_less_of_a_frozen_tower() {
        let config = ClipConfig::resolve("siglip2-so400m-patch16-256", None).unwrap();
        let how = Training { batch: 8, half: false, vision: true, text: true };
        let all = training(&config, how);
        let n = counts(&config).total;
        assert_eq!((all.weights, all.gradients, all.optimizer), (4 * n, 4 * n, 8 * n));
        let frozen = training(&config, Training { text: false, ..how });
        assert_eq!(frozen.weights, all.weights);
        assert!(frozen.total() < all.total() && frozen.activations < all.activations);
        let half = training(&config, Training { half: true, ..how });
        assert!(half.activations < all.activations * 6 / 10 && half.weights > all.weights);
        let twice = training(&config, Training { batch: 16, ..how });
        assert!(twice.activations > 19 * all.activations / 10 && twice.optimizer == all.optimizer);
    }
}
