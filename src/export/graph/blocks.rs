//! The transformer that all towers share. Where one token leaves a tower, the last block computes queries, output
//! projection and MLP for that token alone, as `model::transformer` does.

use tch::{Kind, Tensor};

use super::{Affine, Build, activation};
use crate::journal::failure::Failure;
use crate::model::clip::failed;
use crate::model::config::Activation;
use crate::onnx::graph::{Attribute, Value};
use crate::onnx::ops;

/// The numbers of a tower.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tower {
    pub prefix: &'static str,
    pub width: i64,
    pub layers: i64,
    pub heads: i64,
    pub activation: Activation,
    pub eps: f64,
}

/// Which tokens leave the tower.
#[derive(Debug)]
pub(super) enum Pool {
    /// The one at this place.
    Token(i64),
    /// In each sample the one at this place (`[B, 1]`).
    At(Value),
    /// All of them.
    All,
}

/// The projections of an attention: query with the factor 1/√d, key, value; output.
pub(super) struct Attention {
    pub query: Affine,
    pub key: Affine,
    pub value: Affine,
    pub out: Affine,
}

impl Build<'_> {
    pub(super) fn attention(&self, name: &str, tower: &Tower) -> Result<Attention, Failure> {
        let weight = self.weights.get(&format!("{name}.attn.in_proj_weight"))?;
        let bias = self.weights.get(&format!("{name}.attn.in_proj_bias"))?;
        let w = tower.width;
        let part = |i: i64, factor: Option<Tensor>| -> Result<Affine, Failure> {
            let rows = |t: &Tensor| t.f_narrow(0, i * w, w).map_err(failed);
            Ok(Affine { weight: rows(&weight)?, bias: rows(&bias)?, factor })
        };
        let factor = Tensor::from(((w / tower.heads) as f64).powf(-0.5)).to_kind(Kind::Float);
        Ok(Attention {
            query: part(0, Some(factor))?,
            key: part(1, None)?,
            value: part(2, None)?,
            out: Affine::of(self.weights, &format!("{name}.attn.out_proj"))?,
        })
    }

    /// `[B, L, W]` to the pooled token `[B, W]`, or to all of them. `mask` is `[L, L]`, added to the logits.
    pub(super) fn blocks(
        &mut self,
        tower: &Tower,
        x: Value,
        pool: &Pool,
        mask: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut x = x;
        for layer in 0..tower.layers {
            let last = layer + 1 == tower.layers;
            let name = format!("{}.transformer.resblocks.{layer}", tower.prefix);
            x = self.block(&name, tower, &x, if last { pool } else { &Pool::All }, mask)?;
        }
        Ok(x)
    }

    /// One pre-norm block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
    fn block(
        &mut self,
        name: &str,
        tower: &Tower,
        x: &Value,
        pool: &Pool,
        mask: Option<&Value>,
    ) -> Result<Value, Failure> {
        let Attention { query, key, value, out } = self.attention(name, tower)?;
        let (heads, head) = (tower.heads, tower.width / tower.heads);
        let at = |part: &str| format!("{name}.attn.{part}");
        let normed = self.norm(&format!("{name}.ln_1"), x, tower.eps)?;
        let keys = self.affine(&at("k_proj"), &normed, key);
        let keys = ops::heads(&mut self.g, &at("key"), &keys, (heads, head));
        let values = self.affine(&at("v_proj"), &normed, value);
        let values = ops::heads(&mut self.g, &at("value"), &values, (heads, head));
        let (x, mixed) = if matches!(pool, Pool::All) {
            let queries = self.affine(&at("q_proj"), &normed, query);
            let queries = ops::heads(&mut self.g, &at("query"), &queries, (heads, head));
            let mixed = ops::attend(&mut self.g, &at("self"), (&queries, &keys, &values), mask);
            let order = [Attribute::Ints("perm", &[0, 2, 1, 3])];
            let mixed = self.g.node("Transpose", &at("tokens"), &[&mixed], &order);
            (x.clone(), ops::reshape(&mut self.g, &at("joined"), &mixed, &[0, 0, tower.width]))
        } else {
            let one = self.pick(&format!("{name}.ln_1.pooled"), &normed, pool);
            let queries = self.affine(&at("q_proj"), &one, query);
            let queries = ops::reshape(&mut self.g, &at("query"), &queries, &[0, heads, 1, head]);
            let mask = mask.map(|mask| self.row_of(&at("mask"), mask, pool));
            let mixed = ops::attend(&mut self.g, &at("self"), (&queries, &keys, &values), mask.as_ref());
            let x = self.pick(&format!("{name}.pooled"), x, pool);
            (x, ops::reshape(&mut self.g, &at("joined"), &mixed, &[0, tower.width]))
        };
        let gamma = |part: &str| self.weights.find(&format!("{name}.{part}.gamma"));
        let (first, second) = (gamma("ls_1"), gamma("ls_2"));
        let attended = self.affine(&at("out_proj"), &mixed, out.scaled(first));
        let x = ops::add(&mut self.g, &format!("{name}.attended"), &x, &attended);
        let normed = self.norm(&format!("{name}.ln_2"), &x, tower.eps)?;
        let inner = self.mlp(name, tower, &normed, second)?;
        Ok(ops::add(&mut self.g, name, &x, &inner))
    }

    /// The MLP of `name`, its outputs multiplied with `factor`.
    pub(super) fn mlp(
        &mut self,
        name: &str,
        tower: &Tower,
        x: &Value,
        factor: Option<Tensor>,
    ) -> Result<Value, Failure> {
        let wide = self.linear(&format!("{name}.mlp.c_fc"), x)?;
        let active = ops::activation(&mut self.g, &format!("{name}.mlp.act"), &wide, activation(tower.activation));
        let down = format!("{name}.mlp.c_proj");
        let layer = Affine::of(self.weights, &down)?.scaled(factor);
        Ok(self.affine(&down, &active, layer))
    }

    /// `[B, L, W]` to `[B, W]`.
    fn pick(&mut self, name: &str, x: &Value, pool: &Pool) -> Value {
        match pool {
            Pool::Token(i) => ops::token(&mut self.g, name, x, *i),
            Pool::At(place) => self.g.node("GatherND", name, &[x, place], &[Attribute::Int("batch_dims", 1)]),
            Pool::All => x.clone(),
        }
    }

    /// What the pooled token sees: its row of the mask, `[B or 1, 1, 1, L]`.
    fn row_of(&mut self, name: &str, mask: &Value, pool: &Pool) -> Value {
        let place = match pool {
            Pool::At(place) => place.clone(),
            Pool::Token(i) => self.g.integers(&format!("const.tokens_{i}"), &[*i], false),
            Pool::All => return mask.clone(),
        };
        let row = self.g.node("Gather", &format!("{name}.row"), &[mask, &place], &[Attribute::Int("axis", 0)]);
        ops::reshape(&mut self.g, name, &row, &[-1, 1, 1, self.config.text_cfg.context_length])
    }
}
