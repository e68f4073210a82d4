//! Cholesky factors by blocks, so that nearly all of the work is products of matrices, for which the library has fast kernels.

use nalgebra::DMatrix;

/// Rows of a block: large enough for the products, small enough for the plain loops on the diagonal.
const BLOCK: usize = 24;

/// The inverse of the Cholesky factor of a covariance, and the logarithm of that factor's determinant.
#[derive(Clone, Debug)]
pub(super) struct Factor {
    /// `L^-1`, lower triangular.
    pub(super) whiten: DMatrix<f64>,
    /// `ln det L`: half of the covariance's.
    pub(super) log_det: f64,
}

/// Factorises `covariance`, of which the lower triangle counts; `None` when it is not positive definite.
pub(super) fn factorise(mut covariance: DMatrix<f64>) -> Option<Factor> {
    let n = covariance.nrows();
    let mut whiten = DMatrix::zeros(n, n);
    let mut log_det = 0.0;
    for start in (0..n).step_by(BLOCK) {
        let (size, rest) = (BLOCK.min(n - start), n - start);
        if start > 0 {
            let left = covariance.view((start, 0), (rest, start)).clone_owned();
            let above = left.rows(0, size).transpose();
            covariance.view_mut((start, start), (rest, size)).gemm(-1.0, &left, &above, 1.0);
        }
        let mut corner = covariance.view((start, start), (size, size)).clone_owned();
        let inverse = factorise_small(&mut corner)?;
        log_det += (0..size).map(|i| corner[(i, i)].ln()).sum::<f64>();
        if rest > size {
            let below = covariance.view((start + size, start), (rest - size, size)).clone_owned();
            covariance.view_mut((start + size, start), (rest - size, size)).gemm(
                1.0,
                &below,
                &inverse.transpose(),
                0.0,
            );
        }
        covariance.view_mut((start, start), (size, size)).copy_from(&corner);
        if start > 0 {
            let product = covariance.view((start, 0), (size, start)) * whiten.view((0, 0), (start, start));
            whiten.view_mut((start, 0), (size, start)).gemm(-1.0, &inverse, &product, 0.0);
        }
        whiten.view_mut((start, start), (size, size)).copy_from(&inverse);
    }
    (log_det.is_finite()).then_some(Factor { whiten, log_det })
}

/// Replaces a small matrix by its Cholesky factor (lower triangle, zeros above) and returns the factor's inverse.
fn factorise_small(a: &mut DMatrix<f64>) -> Option<DMatrix<f64>> {
    let n = a.nrows();
    for j in 0..n {
        let mut pivot = a[(j, j)];
        for k in 0..j {
            pivot -= a[(j, k)] * a[(j, k)];
        }
        if pivot.is_nan() || pivot <= 0.0 {
            return None;
        }
        let pivot = pivot.sqrt();
        a[(j, j)] = pivot;
        for i in j + 1..n {
            let mut entry = a[(i, j)];
            for k in 0..j {
                entry -= a[(i, k)] * a[(j, k)];
            }
            a[(i, j)] = entry / pivot;
            a[(j, i)] = 0.0;
        }
    }
    let mut inverse = DMatrix::zeros(n, n);
    for j in 0..n {
        inverse[(j, j)] = 1.0 / a[(j, j)];
        for i in j + 1..n {
            let mut entry = 0.0;
            for k in j..i {
                entry -= a[(i, k)] * inverse[(k, j)];
            }
            inverse[(i, j)] = entry / a[(i, i)];
        }
    }
    Some(inverse)
}

#[cfg(test)]
mod tests {
    use nalgebra::Cholesky;

    use super::*;

    #[test]
    fn factorise_agrees_with_the_library_for_every_remainder_of_the_block() {
        for n in [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5, 3 * BLOCK] {
            let near = |i: usize, j: usize| {
                let d = (i as f64 * 0.37).sin() - (j as f64 * 0.37).sin();
                (-d * d).exp() + if i == j { 0.1 } else { 0.0 }
            };
            let a = DMatrix::from_fn(n, n, near);
            let found = factorise(a.clone()).unwrap();
            let expected = Cholesky::new(a.clone()).unwrap();
            let inverse = found.whiten.transpose() * &found.whiten;
            assert!((inverse - expected.inverse()).amax() < 1e-9, "{n}");
            assert!((2.0 * found.log_det - expected.determinant().ln()).abs() < 1e-9, "{n}");
        }
    }

    #[test]
    fn factorise_refuses_what_is_not_positive_definite() {
        assert!(factorise(DMatrix::from_element(30, 30, 1.0)).is_none());
        assert!(factorise(DMatrix::from_element(2, 2, f64::NAN)).is_none());
    }
}
