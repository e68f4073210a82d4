//! Patch dropout: training on a random part of each image's patches (Li et al. 2023, FLIP; open_clip's PatchDropout).

use tch::{Device, Kind, TchError, Tensor};

/// What is left of tokens: `[B, prefix + K, W]` and, where the images differ in patches, which tokens can be seen
/// (`[B, 1, 1, prefix + K]`, bool).
pub(super) struct Kept {
    pub tokens: Tensor,
    pub keys: Option<Tensor>,
}

/// Leaves out a `share` of the patches of tokens `[B, prefix + N, W]`, others in each image, by libtorch's generator; at least
/// one stays and the prefix always does. Positions were added before, so that order does not matter. `counts` are the patches
/// of each image where the rest is padding, which never stays in place of a patch.
///
/// # Errors
/// When libtorch fails.
pub(super) fn keep(x: &Tensor, prefix: i64, counts: Option<&[i64]>, share: f64) -> Result<Kept, TchError> {
    let (b, length, width) = x.size3()?;
    let n = length - prefix;
    let left = |count: i64| ((count as f64 * (1.0 - share)) as i64).clamp(1, count.max(1));
    // The same draw on every device.
    let draw = Tensor::f_rand([b, n].as_slice(), (Kind::Float, Device::Cpu))?;
    let (order, lefts) = match counts {
        None => (draw, vec![left(n); b as usize]),
        Some(counts) => {
            let places = Tensor::f_arange(n, (Kind::Int64, Device::Cpu))?.f_unsqueeze(0)?;
            let padding = places.f_ge_tensor(&Tensor::f_from_slice(counts)?.f_unsqueeze(1)?)?;
            (draw.f_masked_fill(&padding, -1.0)?, counts.iter().map(|c| left(*c)).collect())
        }
    };
    let most = lefts.iter().copied().max().unwrap_or(1);
    let (_, chosen) = order.f_topk(most, 1, true, true)?;
    let index = chosen.f_to_device(x.device())?.f_unsqueeze(-1)?.f_expand([b, most, width], false)?;
    let patches = x.f_narrow(1, prefix, n)?.f_gather(1, &index, false)?;
    let tokens = if prefix > 0 { Tensor::f_cat(&[x.f_narrow(1, 0, prefix)?, patches], 1)? } else { patches };
    let keys = if lefts.iter().all(|l| *l == most) {
        None
    } else {
        let places = Tensor::f_arange(prefix + most, (Kind::Int64, Device::Cpu))?.f_unsqueeze(0)?;
        let ends = Tensor::f_from_slice(&lefts)?.f_add_scalar(prefix)?.f_unsqueeze(1)?;
        Some(places.f_lt_tensor(&ends)?.f_view([b, 1, 1, prefix + most])?.f_to_device(x.device())?)
    };
    Ok(Kept { tokens, keys })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clip::GENERATOR;

    /// Token `j` of image `i` holds the number `100 i + j`.
    fn numbered(b: i64, length: i64) -> Tensor {
        let numbers = Tensor::arange(b, tch::kind::FLOAT_CPU).view([b, 1, 1]) * 100
            + Tensor::arange(length, tch::kind::FLOAT_CPU).view([1, length, 1]);
        numbers.expand([b, length, 3], false)
    }

    fn rows(kept: &Kept) -> Vec<Vec<i64>> {
        let tokens = kept.tokens.select(2, 0);
        (0..tokens.size()[0])
            .map(|i| Vec::<f32>::try_from(tokens.get(i)).unwrap())
            .map(|row| row.iter().map(|v| *v as i64).collect())
            .collect()
    }

    proptest::proptest! {
        #[test]
        fn keep_leaves_the_prefix_and_a_share_of_different_patches(b in 1i64..4, n in 1i64..20, prefix in 0i64..3, share in 0.0f64..0.95) {
            let _alone = GENERATOR.lock();
            let kept = keep(&numbered(b, prefix + n), prefix, None, share).unwrap();
            proptest::prop_assert!(kept.keys.is_none());
            let expected = ((n as f64 * (1.0 - share)) as i64).max(1);
            for (i, row) in rows(&kept).iter().enumerate() {
                let base = 100 * i as i64;
                proptest::prop_assert_eq!(&row[..prefix as usize], &(0..prefix).map(|j| base + j).collect::<Vec<_>>()[..]);
                let mut patches: Vec<i64> = row[prefix as usize..].iter().map(|v| v - base).collect();
                patches.sort_unstable();
                patches.dedup();
                proptest::prop_assert_eq!(patches.len() as i64, expected);
                proptest::prop_assert!(patches.iter().all(|p| (prefix..prefix + n).contains(p)));
            }
        }
    }

    #[test]
    fn keep_counts_patches_of_each_image_and_shows_no_padding() {
        let _alone = GENERATOR.lock();
        let kept = keep(&numbered(2, 8), 0, Some(&[8, 3]), 0.5).unwrap();
        assert_eq!(kept.tokens.size(), [2, 4, 3]);
        let seen = kept.keys.as_ref().unwrap().view([2, 4]);
        let seen: Vec<Vec<bool>> = (0..2).map(|i| Vec::<bool>::try_from(seen.get(i)).unwrap()).collect();
        assert_eq!(seen, [vec![true; 4], vec![true, false, false, false]]);
        assert!((100..103).contains(&rows(&kept)[1][0]), "a patch, not padding");
    }

    #[test]
    fn keep_draws_others_under_another_seed_and_the_same_under_the_same() {
        let _alone = GENERATOR.lock();
        let draw = |seed| {
            tch::manual_seed(seed);
            rows(&keep(&numbered(1, 64), 0, None, 0.5).unwrap())
        };
        assert!(draw(1) == draw(1) && draw(1) != draw(2));
    }
}
