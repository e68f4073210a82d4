//! How the terms of the sigmoid loss count where attributes say that texts fit images other than their own: such terms are
//! left out, or count as positives (`train.siglip_loss_mask_mode`).

use std::ops::Range;

use tch::{TchError, Tensor};

/// What becomes of terms off the diagonal whose text fits the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mask {
    /// Whether accessories must fit as well.
    pub accessories: bool,
    /// The weight of such terms as positives; `None` leaves them out.
    pub positive: Option<f64>,
    /// Whether that weight is shared among all images that a text fits, instead of counting for each.
    pub per_query: bool,
}

/// The weights of terms, `[b, B]` (f32) on the CPU: own images against all texts.
#[derive(Debug)]
pub struct Terms {
    /// Of every term.
    pub weights: Tensor,
    /// Of those that are positives; 0 of the others.
    pub positives: Tensor,
}

impl Terms {
    /// The terms of the images `own` of `n` pairs against the texts of all of them. `fits(text, image)` says whether a text
    /// fits an image, `asks(text)` whether it asks for anything: one that does not makes no positives.
    ///
    /// # Errors
    /// When libtorch fails.
    pub fn new(
        mask: Mask,
        n: usize,
        own: Range<usize>,
        fits: impl Fn(usize, usize) -> bool,
        asks: impl Fn(usize) -> bool,
    ) -> Result<Self, TchError> {
        let rows = own.len();
        let (mut weights, mut positives) = (vec![1f32; rows * n], vec![0f32; rows * n]);
        for text in 0..n {
            let fitting: Vec<usize> = (0..n).filter(|image| *image != text && fits(text, *image)).collect();
            let weight = match mask.positive.filter(|_| asks(text)) {
                Some(weight) if mask.per_query => weight / fitting.len().max(1) as f64,
                Some(weight) => weight,
                None => 0.0,
            };
            let counts_for = mask.positive.is_some();
            for image in fitting.into_iter().filter(|image| own.contains(image)) {
                let at = (image - own.start) * n + text;
                weights[at] = weight as f32;
                positives[at] = if counts_for { weight as f32 } else { 0.0 };
            }
            if own.contains(&text) {
                positives[(text - own.start) * n + text] = 1.0;
            }
        }
        let matrix = |values: &[f32]| Tensor::f_from_slice(values)?.f_view([rows as i64, n as i64]);
        Ok(Self { weights: matrix(&weights)?, positives: matrix(&positives)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.contiguous().view(-1)).unwrap()
    }

    /// Text 0 fits images 0, 1; text 1 all; text 2 asks for nothing and so fits all.
    fn fits(text: usize, image: usize) -> bool {
        [[true, true, false], [true; 3], [true; 3]][text][image]
    }

    #[test]
    fn ignored_terms_weigh_nothing_and_the_diagonal_stays() {
        let mask = Mask { accessories: false, positive: None, per_query: false };
        let terms = Terms::new(mask, 3, 0..3, fits, |text| text < 2).unwrap();
        assert_eq!(numbers(&terms.weights), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(numbers(&terms.positives), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn positives_share_the_weight_of_their_text_or_count_each() {
        let mask = Mask { accessories: false, positive: Some(0.6), per_query: true };
        let shared = Terms::new(mask, 3, 0..3, fits, |text| text < 2).unwrap();
        assert_eq!(numbers(&shared.weights), [1.0, 0.3, 0.0, 0.6, 1.0, 0.0, 1.0, 0.3, 1.0]);
        assert_eq!(numbers(&shared.positives), [1.0, 0.3, 0.0, 0.6, 1.0, 0.0, 0.0, 0.3, 1.0]);
        let each = Terms::new(Mask { per_query: false, ..mask }, 3, 0..3, fits, |text| text < 2).unwrap();
        assert_eq!(numbers(&each.positives), [1.0, 0.6, 0.0, 0.6, 1.0, 0.0, 0.0, 0.6, 1.0]);
    }

    #[test]
    fn terms_of_a_rank_are_its_rows_of_the_whole() {
        let mask = Mask { accessories: false, positive: Some(0.6), per_query: true };
        let whole = Terms::new(mask, 3, 0..3, fits, |_| true).unwrap();
        let own = Terms::new(mask, 3, 1..3, fits, |_| true).unwrap();
        assert_eq!(own.weights, whole.weights.narrow(0, 1, 2));
        assert_eq!(own.positives, whole.positives.narrow(0, 1, 2));
    }
}
