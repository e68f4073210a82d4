//! The image tower: patches, positions, blocks, pooling, head.

use tch::Kind;

use super::blocks::{Attention, Pool, Tower};
use super::{Affine, Build};
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::config::{Activation, FinalNorm, VisionHead, VisionPool};
use crate::onnx::graph::{Attribute, Value};
use crate::onnx::ops;

/// Epsilon of the layer norms of C-RADIO's heads.
const HEAD_EPS: f64 = 1e-5;

impl Build<'_> {
    /// `image` `[B, 3, S, S]` to `[B, E]`.
    pub(super) fn vision(&mut self, image: &Value) -> Result<Value, Failure> {
        let v = &self.config.vision_cfg;
        let tower = Tower {
            prefix: "visual",
            width: v.width,
            layers: v.layers,
            heads: v.heads,
            activation: v.activation,
            eps: v.norm_eps,
        };
        let x = self.tokens(image)?;
        let x = if v.ln_pre { self.norm("visual.ln_pre", &x, v.norm_eps)? } else { x };
        let pool = match v.pool {
            VisionPool::Token(i) => Pool::Token(i),
            VisionPool::Mean | VisionPool::Map => Pool::All,
        };
        let x = self.blocks(&tower, x, &pool, None)?;
        // A norm of each token by itself may as well come after one of them was chosen.
        let before = v.final_norm == FinalNorm::BeforePool || matches!(v.pool, VisionPool::Token(_));
        let x = if before { self.last_norm(&x)? } else { x };
        let x = match v.pool {
            VisionPool::Mean => self.mean(&x, v.prefix.len()),
            VisionPool::Map => self.attention_pool(&tower, &x)?,
            VisionPool::Token(_) => x,
        };
        let x = if before { x } else { self.last_norm(&x)? };
        self.head(&x)
    }

    fn last_norm(&mut self, x: &Value) -> Result<Value, Failure> {
        match self.config.vision_cfg.final_norm {
            FinalNorm::None => Ok(x.clone()),
            _ => self.norm("visual.ln_post", x, self.config.vision_cfg.norm_eps),
        }
    }

    /// `[B, 3, S, S]` to `[B, N, W]`, with positions.
    fn tokens(&mut self, image: &Value) -> Result<Value, Failure> {
        let v = &self.config.vision_cfg;
        let (width, patch, patches) = (v.width, v.patch_size, self.config.patches());
        let mut inputs = vec![image.clone(), self.parameter("visual.conv1.weight")?];
        if v.patch_bias {
            inputs.push(self.parameter("visual.conv1.bias")?);
        }
        // Without padding, pixels that fill no patch are not seen.
        let size = [patch, patch];
        let attributes = [Attribute::Ints("kernel_shape", &size), Attribute::Ints("strides", &size)];
        let inputs: Vec<&Value> = inputs.iter().collect();
        let x = self.g.node("Conv", "visual.patches", &inputs, &attributes);
        let x = ops::reshape(&mut self.g, "visual.patches.flat", &x, &[0, width, patches]);
        let x = self.g.node("Transpose", "visual.patches.tokens", &[&x], &[Attribute::Ints("perm", &[0, 2, 1])]);
        let (prefix, positions) = self.weights.places(self.config)?;
        let positions = self.put("visual.positions", &[patches, width], move || Ok(positions.shallow_clone()));
        let x = ops::add(&mut self.g, "visual.placed", &x, &positions);
        let Some(prefix) = prefix else { return Ok(x) };
        let shape = prefix.size();
        let prefix = self.put("visual.prefix", &shape, move || Ok(prefix.shallow_clone()));
        let prefix = self.for_each_sample(&prefix, &x, &shape);
        Ok(self.g.node("Concat", "visual.tokens", &[&prefix, &x], &[Attribute::Int("axis", 1)]))
    }

    /// `[1, n, W]` for every sample of the batch of `like`.
    fn for_each_sample(&mut self, x: &Value, like: &Value, shape: &[i64]) -> Value {
        let rest = self.g.integers("const.prefix_shape", &shape[1..], false);
        let batch = match self.options.batch {
            Some(batch) => self.g.integers("const.batch", &[batch], false),
            None => {
                let first = self.g.integers("const.first_axis", &[0], false);
                let sizes = self.g.node("Shape", "visual.shape", &[like], &[]);
                self.g.node("Gather", "visual.batch", &[&sizes, &first], &[Attribute::Int("axis", 0)])
            }
        };
        let shape = self.g.node("Concat", "visual.prefix.shape", &[&batch, &rest], &[Attribute::Int("axis", 0)]);
        self.g.node("Expand", "visual.prefix.all", &[x, &shape], &[])
    }

    /// The mean of the patches, `[B, N, W]` to `[B, W]`, without the `prefix` first tokens.
    fn mean(&mut self, x: &Value, prefix: i64) -> Value {
        let axis = self.g.integers("const.one_axis", &[1], false);
        let mut x = x.clone();
        if prefix > 0 {
            let start = self.g.integers("const.behind_prefix", &[prefix], false);
            let end = self.g.integers("const.to_the_end", &[i64::MAX], false);
            x = self.g.node("Slice", "visual.patches.only", &[&x, &start, &end, &axis], &[]);
        }
        // The axes became an input in operator set 18.
        if self.g.opset() < 18 {
            let attributes = [Attribute::Ints("axes", &[1]), Attribute::Int("keepdims", 0)];
            return self.g.node("ReduceMean", "visual.mean", &[&x], &attributes);
        }
        self.g.node("ReduceMean", "visual.mean", &[&x, &axis], &[Attribute::Int("keepdims", 0)])
    }

    /// Attention of one learned probe, whose query is the same for every image, then an MLP: `[B, N, W]` to `[B, W]`.
    fn attention_pool(&mut self, tower: &Tower, x: &Value) -> Result<Value, Failure> {
        let name = "visual.attn_pool";
        let (heads, head) = (tower.heads, tower.width / tower.heads);
        let Attention { query, key, value, out } = self.attention(name, tower)?;
        let probe = self.weights.get("visual.attn_pool.probe")?;
        let query = tch::no_grad(|| {
            let Affine { weight, bias, factor } = &query;
            let q = probe.f_linear(weight, Some(bias))?;
            let q = factor.as_ref().map_or_else(|| Ok(q.shallow_clone()), |f| q.f_mul(f))?;
            q.f_to_kind(Kind::Float)?.f_view([1, heads, 1, head])
        });
        let query = query.map_err(failed)?;
        let query = self.put("visual.attn_pool.query", &[1, heads, 1, head], move || Ok(query.shallow_clone()));
        let keys = self.affine("visual.attn_pool.k_proj", x, key);
        let keys = ops::heads(&mut self.g, "visual.attn_pool.key", &keys, (heads, head));
        let values = self.affine("visual.attn_pool.v_proj", x, value);
        let values = ops::heads(&mut self.g, "visual.attn_pool.value", &values, (heads, head));
        let mixed = ops::attend(&mut self.g, "visual.attn_pool.cross", (&query, &keys, &values), None);
        let mixed = ops::reshape(&mut self.g, "visual.attn_pool.joined", &mixed, &[0, tower.width]);
        let x = self.affine("visual.attn_pool.out_proj", &mixed, out);
        let normed = self.norm("visual.attn_pool.ln", &x, tower.eps)?;
        let inner = self.mlp(name, tower, &normed, None)?;
        Ok(ops::add(&mut self.g, "visual.attn_pool", &x, &inner))
    }

    /// `[B, W]` to `[B, E]`.
    fn head(&mut self, x: &Value) -> Result<Value, Failure> {
        match self.config.vision_cfg.head {
            VisionHead::None => Ok(x.clone()),
            VisionHead::Matrix => {
                let projection = self.parameter("visual.proj")?;
                Ok(self.g.node("MatMul", "visual.projected", &[x, &projection], &[]))
            }
            VisionHead::Mlp { blocks, pre_norm, .. } => {
                let mut x = x.clone();
                if pre_norm {
                    x = self.norm_gelu("visual.head.pre_norm.0", &x)?;
                }
                x = self.linear("visual.head.fc1", &x)?;
                for k in 0..blocks {
                    let branch = self.branch(&format!("visual.head.blocks.{k}"), &x)?;
                    x = ops::add(&mut self.g, &format!("visual.head.blocks.{k}.sum"), &x, &branch);
                }
                self.branch("visual.head.final", &x)
            }
        }
    }

    fn branch(&mut self, name: &str, x: &Value) -> Result<Value, Failure> {
        let active = self.norm_gelu(&format!("{name}.0"), x)?;
        self.linear(&format!("{name}.2"), &active)
    }

    fn norm_gelu(&mut self, name: &str, x: &Value) -> Result<Value, Failure> {
        let normed = self.norm(name, x, HEAD_EPS)?;
        Ok(ops::activation(&mut self.g, &format!("{name}.act"), &normed, super::activation(Activation::Gelu)))
    }
}
