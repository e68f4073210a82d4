//! Tables of positions: sines and cosines, other image sizes, images of any shape.
//!
//! Reference: the families' own rules. SigLIP and Hugging Face's CLIP: `interpolate_pos_encoding` of transformers.
//! open_clip: `resize_pos_embed`; for NV-CLIP's fixed tables TAO's. NaFlex: `resize_positional_embeddings` of transformers.

use tch::{Device, Kind, TchError, Tensor};

use super::config::{ClipConfig, Layout, Positions, Prefix};
use super::parameters::{Parameter, VISION_POSITIONS};

/// The fixed table of `grid * grid` patches and a class token of zeros, `[1 + grid * grid, width]`: sine and cosine of the
/// column, then of the row.
pub(super) fn sin_cos(grid: i64, width: i64) -> Result<Tensor, TchError> {
    let quarter = width / 4;
    let exact = (Kind::Double, Device::Cpu);
    let power = Tensor::f_arange(quarter, exact)?.f_mul_scalar(-1.0 / quarter as f64)?;
    let omega = power.f_mul_scalar(10_000f64.ln())?.f_exp()?;
    let angles = Tensor::f_arange(grid, exact)?.f_outer(&omega)?;
    let waves = Tensor::f_cat(&[angles.f_sin()?, angles.f_cos()?], 1)?;
    let columns = waves.f_unsqueeze(0)?.f_expand([grid, grid, 2 * quarter], false)?;
    let rows = waves.f_unsqueeze(1)?.f_expand([grid, grid, 2 * quarter], false)?;
    let patches = Tensor::f_cat(&[columns, rows], 2)?.f_reshape([grid * grid, width])?;
    Tensor::f_cat(&[Tensor::f_zeros([1, width], exact)?, patches], 0)?.f_to_kind(Kind::Float)
}

/// Whether a tensor of this shape is the parameter's table for the image size that the pretrained weights are for.
pub(super) fn resizes(config: &ClipConfig, parameter: &Parameter, shape: &[usize]) -> bool {
    let v = &config.vision_cfg;
    let rows = |grid: i64| grid * grid + i64::from(v.prefix == Prefix::Class);
    parameter.name == VISION_POSITIONS
        && v.pretrained_grid
            .is_some_and(|grid| grid != v.grid() && shape.iter().map(|&n| n as i64).eq([rows(grid), v.width]))
}

/// The table of pretrained weights (`[rows, W]`, one row for the class token where the tower has one) for the patches of
/// the config's image size.
pub(super) fn for_image_size(config: &ClipConfig, table: &Tensor) -> Result<Tensor, TchError> {
    let v = &config.vision_cfg;
    let class = i64::from(v.prefix == Prefix::Class);
    let (from, to) = (square(table.size2()?.0 - class), v.grid());
    let patches = image_of(&table.f_narrow(0, class, from * from)?, from)?;
    let size = [to, to];
    let resized = match (config.layout, v.positions) {
        // TAO states the factor, a tenth of a patch too large so that the size is not rounded down.
        (_, Positions::SinCos) => {
            let factor = (to as f64 + 0.1) / from as f64;
            patches.f_upsample_bicubic2d(size, false, factor, factor)?
        }
        (Layout::OpenClip | Layout::OpenClipCustom, _) => {
            patches.f_internal_upsample_bicubic2d_aa(size, false, None, None)?
        }
        _ => patches.f_upsample_bicubic2d(size, false, None, None)?,
    };
    Tensor::f_cat(&[table.f_narrow(0, 0, class)?, rows_of(&resized)?], 0)
}

/// The rows of a square table (`[grid * grid, W]`) for an image of `h * w` patches.
pub fn for_image(positions: Positions, table: &Tensor, h: i64, w: i64) -> Result<Tensor, TchError> {
    match positions {
        Positions::Naflex { grid } if (h, w) != (grid, grid) => {
            rows_of(&image_of(table, grid)?.f_internal_upsample_bilinear2d_aa([h, w], false, None, None)?)
        }
        Positions::Cropped { grid, align_corners } if (h, w) != (grid, grid) => {
            let side = h.max(w);
            let mut image = image_of(table, grid)?;
            if side != grid {
                image = image.f_upsample_bilinear2d([side, side], align_corners, None, None)?;
            }
            rows_of(&image.f_narrow(2, 0, h)?.f_narrow(3, 0, w)?)
        }
        _ => Ok(table.shallow_clone()),
    }
}

/// Positions of images of different shapes, padded to `length`: `[B, length, W]`. `shapes` are rows and columns.
pub(super) fn for_images(
    positions: Positions,
    table: &Tensor,
    shapes: &[(i64, i64)],
    length: i64,
) -> Result<Tensor, TchError> {
    let mut distinct = shapes.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let padded =
        distinct.iter().map(|&(h, w)| for_image(positions, table, h, w)?.f_constant_pad_nd([0, 0, 0, length - h * w]));
    let tables = Tensor::f_stack(&padded.collect::<Result<Vec<_>, _>>()?, 0)?;
    let index: Vec<i64> = shapes.iter().map(|s| distinct.binary_search(s).unwrap_or(0) as i64).collect();
    tables.f_index_select(0, &Tensor::f_from_slice(&index)?.f_to_device(table.device())?)
}

/// The side of a square of so many patches.
pub(super) fn square(patches: i64) -> i64 {
    (patches.max(0) as f64).sqrt().round() as i64
}

fn image_of(rows: &Tensor, grid: i64) -> Result<Tensor, TchError> {
    rows.f_reshape([1, grid, grid, -1])?.f_permute([0, 3, 1, 2])
}

fn rows_of(image: &Tensor) -> Result<Tensor, TchError> {
    let width = image.size4()?.1;
    image.f_permute([0, 2, 3, 1])?.f_reshape([-1, width])
}
