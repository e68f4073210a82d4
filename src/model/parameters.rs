//! Every parameter of an architecture: its name in open_clip's state dict, its shape, how it starts, which tower owns it.
//!
//! Reference: open_clip 3.3, classes CLIP, VisionTransformer, TextTransformer and their `init_parameters`.

use super::config::ClipConfig;

/// Who owns a parameter: what is frozen together and shares a learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The image tower.
    Vision,
    /// The text tower.
    Text,
    /// Logit scale and bias.
    Logit,
}

/// The distribution of a fresh parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// A constant.
    Constant(f64),
    /// Normal around 0 with this standard deviation.
    Normal(f64),
    /// Uniform between minus and plus this bound.
    Uniform(f64),
}

/// One parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Name in the state dict.
    pub name: String,
    /// Shape; empty for a scalar.
    pub shape: Vec<i64>,
    /// How it starts.
    pub init: Init,
    /// Who owns it.
    pub part: Part,
}

impl Parameter {
    /// Whether weight decay applies: to matrices and tables, not to biases, norms and scalars (TAO's rule).
    pub fn decays(&self) -> bool {
        self.shape.len() >= 2
    }

    /// Number of values.
    pub fn count(&self) -> i64 {
        self.shape.iter().product()
    }
}

/// Initial log scale of the softmax loss: ln(1 / 0.07).
pub const CLIP_LOGIT_SCALE: f64 = 2.659_260_036_932_778;

/// All parameters, in the order of open_clip's state dict.
pub fn of(config: &ClipConfig) -> Vec<Parameter> {
    let mut all = List { list: Vec::new(), part: Part::Text };
    let (v, t) = (&config.vision_cfg, &config.text_cfg);
    all.push("positional_embedding", &[t.context_length, t.width], Init::Normal(0.01));
    let root = |n: i64| (n as f64).powf(-0.5);
    all.push("text_projection", &[t.width, config.embed_dim], Init::Normal(root(t.width)));
    all.part = Part::Logit;
    all.push("logit_scale", &[], Init::Constant(config.init_logit_scale.unwrap_or(CLIP_LOGIT_SCALE)));
    if let Some(bias) = config.init_logit_bias {
        all.push("logit_bias", &[], Init::Constant(bias));
    }

    all.part = Part::Vision;
    let (width, patch) = (v.width, v.patch_size);
    all.push("visual.class_embedding", &[width], Init::Normal(root(width)));
    all.push("visual.positional_embedding", &[config.patches() + 1, width], Init::Normal(root(width)));
    all.push("visual.proj", &[width, config.embed_dim], Init::Normal(root(width)));
    all.push("visual.conv1.weight", &[width, 3, patch, patch], Init::Uniform(root(3 * patch * patch)));
    if !v.no_ln_pre {
        all.norm("visual.ln_pre", width);
    }
    for i in 0..v.layers {
        let xavier = (6.0 / (4 * width) as f64).sqrt();
        let inner = (width as f64 * v.mlp_ratio) as i64;
        let init = [xavier, root(width), root(width), root(inner)].map(Init::Uniform);
        all.block(&format!("visual.transformer.resblocks.{i}"), width, inner, init);
    }
    all.norm("visual.ln_post", width);

    all.part = Part::Text;
    let width = t.width;
    for i in 0..t.layers {
        let inner = (width as f64 * t.mlp_ratio) as i64;
        let residual = root(width) * root(2 * t.layers);
        let init = [root(width), residual, root(2 * width), residual].map(Init::Normal);
        all.block(&format!("transformer.resblocks.{i}"), width, inner, init);
    }
    all.push("token_embedding.weight", &[t.vocab_size, width], Init::Normal(0.02));
    all.norm("ln_final", width);
    all.list
}

struct List {
    list: Vec<Parameter>,
    part: Part,
}

impl List {
    fn push(&mut self, name: &str, shape: &[i64], init: Init) {
        self.list.push(Parameter { name: name.to_owned(), shape: shape.to_vec(), init, part: self.part });
    }

    fn norm(&mut self, name: &str, width: i64) {
        self.push(&format!("{name}.weight"), &[width], Init::Constant(1.0));
        self.push(&format!("{name}.bias"), &[width], Init::Constant(0.0));
    }

    /// `init` is for in_proj, out_proj, c_fc and c_proj.
    fn block(&mut self, name: &str, width: i64, inner: i64, init: [Init; 4]) {
        let bias = |fan_in: i64| Init::Uniform((fan_in as f64).powf(-0.5));
        self.norm(&format!("{name}.ln_1"), width);
        self.push(&format!("{name}.attn.in_proj_weight"), &[3 * width, width], init[0]);
        self.push(&format!("{name}.attn.in_proj_bias"), &[3 * width], Init::Constant(0.0));
        self.push(&format!("{name}.attn.out_proj.weight"), &[width, width], init[1]);
        self.push(&format!("{name}.attn.out_proj.bias"), &[width], Init::Constant(0.0));
        self.norm(&format!("{name}.ln_2"), width);
        self.push(&format!("{name}.mlp.c_fc.weight"), &[inner, width], init[2]);
        self.push(&format!("{name}.mlp.c_fc.bias"), &[inner], bias(width));
        self.push(&format!("{name}.mlp.c_proj.weight"), &[width, inner], init[3]);
        self.push(&format!("{name}.mlp.c_proj.bias"), &[width], bias(inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_bundled_model_count_as_in_open_clip() {
        let config = ClipConfig::resolve("clip-tiny-64").unwrap();
        let all = of(&config);
        let count: i64 = all.iter().map(Parameter::count).sum();
        // The count that open_clip 3.3 reports for this config.
        assert_eq!(count, OPEN_CLIP_COUNT);
        assert!(all.iter().all(|p| p.name.starts_with("visual.") == (p.part == Part::Vision)));
        let decayed: Vec<&str> = all.iter().filter(|p| p.decays()).map(|p| p.name.as_str()).collect();
        assert!(decayed.contains(&"token_embedding.weight") && !decayed.contains(&"logit_scale"));
    }

    const OPEN_CLIP_COUNT: i64 = 7_781_761;
}
