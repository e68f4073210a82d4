//! The text tower: tokens, positions, blocks, pooling, head.

use super::Build;
use super::blocks::{Pool, Tower};
use crate::export::weights::later;
use crate::journal::failure::Failure;
use crate::model::config::{TextHead, TextPool};
use crate::onnx::graph::{Attribute, Value};
use crate::onnx::ops;
use crate::onnx::proto::data_type;

impl Build<'_> {
    /// `input_ids` `[B, L]` to `[B, E]`.
    pub(super) fn text(&mut self, ids: &Value) -> Result<Value, Failure> {
        let t = &self.config.text_cfg;
        let tower = Tower {
            prefix: "text",
            width: t.width,
            layers: t.layers,
            heads: t.heads,
            activation: t.activation,
            eps: t.norm_eps,
        };
        // The rows are cast, not the table.
        let storage = self.options.storage;
        let table = self.weights.get("text.token_embedding.weight")?;
        let shape = table.size();
        let bytes = later(storage, move || Ok(table.shallow_clone()));
        let table = self.g.later("text.token_embedding.weight", &shape, storage.data_type(), bytes);
        let x = self.g.node("Gather", "text.tokens", &[&table, ids], &[Attribute::Int("axis", 0)]);
        let x = self.float(&x, storage);
        let positions = self.parameter("text.positional_embedding")?;
        let x = ops::add(&mut self.g, "text.placed", &x, &positions);
        let pool = self.place(ids);
        let mask = t.causal.then(|| ops::causal_mask(&mut self.g, t.context_length));
        let x = self.blocks(&tower, x, &pool, mask.as_ref())?;
        let x = self.norm("text.ln_final", &x, t.norm_eps)?;
        match t.head {
            TextHead::Matrix => {
                let projection = self.parameter("text.text_projection")?;
                Ok(self.g.node("MatMul", "text.projected", &[&x, &projection], &[]))
            }
            TextHead::Linear => self.linear("text.proj", &x),
        }
    }

    /// Where the token stands that becomes the embedding.
    fn place(&mut self, ids: &Value) -> Pool {
        let first_largest = [Attribute::Int("axis", 1), Attribute::Int("keepdims", 1)];
        match self.config.text_cfg.pool {
            TextPool::Last => Pool::Token(self.config.text_cfg.context_length - 1),
            // The end token has the largest id of all.
            TextPool::End => Pool::At(self.g.node("ArgMax", "text.end", &[ids], &first_largest)),
            TextPool::Id(id) => {
                let id = self.g.integers("const.end_id", &[id], true);
                let is_end = self.g.node("Equal", "text.is_end", &[ids, &id], &[]);
                let number = [Attribute::Int("to", i64::from(data_type::INT32))];
                let is_end = self.g.node("Cast", "text.is_end.number", &[&is_end], &number);
                Pool::At(self.g.node("ArgMax", "text.end", &[&is_end], &first_largest))
            }
        }
    }
}
