//! The two passes of resampling: each output position is a weighted sum of neighbours in a row or in a column.
//!
//! Invariant: sums are exact integers, so every processor gives the same bytes. Those with AVX2 take pairs of neighbours at a
//! time; a weight is split into two halves of 16 bits for that, whose sums are put together at the end.

use std::ops::Range;

use super::{Filter, Rgb};

/// Bits after the point of a weight: 8 for the byte, 2 for the overshoot of a cubic.
const PRECISION: u32 = 32 - 8 - 2;
/// Bits of the lower half of a weight.
const LOW_BITS: u32 = PRECISION / 2;
/// Rounds a sum.
const HALF: i32 = 1 << (PRECISION - 1);
/// Neighbours are taken in groups of so many; a group is filled up with weights of 0.
const GROUP: usize = 4;

/// For each output position the first input position and the weights from there on.
pub(super) struct Weights {
    start: Vec<usize>,
    count: Vec<usize>,
    weights: Vec<i32>,
    /// The halves of each weight: `(high << LOW_BITS) + low`.
    high: Vec<i16>,
    low: Vec<i16>,
    /// Weights of a position.
    width: usize,
}

impl Weights {
    /// For the output positions `part` of a side of `input` pixels that becomes one of `output`.
    pub(super) fn new(input: u32, output: u32, part: Range<u32>, filter: Filter) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let stretch = scale.max(1.0);
        // A product with the inverse, as Pillow has it: a quotient differs in the last bit and then in a byte.
        let shrink = 1.0 / stretch;
        let support = stretch
            * match filter {
                Filter::Bilinear => 1.0,
                Filter::Bicubic => 2.0,
            };
        let width = (support.ceil() as usize * 2 + 1).next_multiple_of(GROUP);
        let positions = part.len();
        let mut start = Vec::with_capacity(positions);
        let mut count = Vec::with_capacity(positions);
        let mut weights = vec![0; positions * width];
        let mut exact = vec![0.0; width];
        for (row, position) in weights.chunks_exact_mut(width).zip(part) {
            let center = (f64::from(position) + 0.5) * scale;
            let first = ((center - support + 0.5) as i64).max(0);
            let end = ((center + support + 0.5) as i64).min(i64::from(input));
            let taps = (end - first).max(0) as usize;
            let mut sum = 0.0;
            for (tap, weight) in exact.iter_mut().enumerate().take(taps) {
                *weight = kernel((tap as f64 + first as f64 - center + 0.5) * shrink, filter);
                sum += *weight;
            }
            for (fixed, weight) in row.iter_mut().zip(&exact).take(taps) {
                let normal = if sum == 0.0 { *weight } else { weight / sum };
                let scaled = normal * f64::from(1u32 << PRECISION);
                *fixed = (scaled + if scaled < 0.0 { -0.5 } else { 0.5 }) as i32;
            }
            start.push(first as usize);
            count.push(taps);
        }
        let high = weights.iter().map(|w| (w >> LOW_BITS) as i16).collect();
        let low = weights.iter().map(|w| (w & ((1 << LOW_BITS) - 1)) as i16).collect();
        Self { start, count, weights, high, low, width }
    }

    /// Output positions.
    fn len(&self) -> usize {
        self.start.len()
    }

    /// The input positions that have an influence.
    pub(super) fn input(&self) -> Range<u32> {
        let end = self.start.iter().zip(&self.count).map(|(start, count)| start + count).max().unwrap_or(0);
        self.start.iter().min().copied().unwrap_or(0) as u32..end as u32
    }

    /// The same weights for an input that begins `by` positions later.
    pub(super) fn shifted(mut self, by: u32) -> Self {
        self.start.iter_mut().for_each(|start| *start -= by as usize);
        self
    }

    fn at(&self, position: usize) -> (usize, &[i32]) {
        let first = position * self.width;
        (self.start[position], &self.weights[first..first + self.count[position]])
    }
}

fn kernel(x: f64, filter: Filter) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    match filter {
        Filter::Bilinear if x < 1.0 => 1.0 - x,
        Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        _ => 0.0,
    }
}

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// Resamples the given rows of an image to other columns.
pub(super) fn horizontal(image: &Rgb, rows: Range<u32>, weights: &Weights) -> Rgb {
    let (stride, wide) = (image.width as usize * 3, weights.len() * 3);
    let mut pixels = vec![0; wide * rows.len()];
    let input = &image.pixels[rows.start as usize * stride..];
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "set by the fast path"))]
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        done = unsafe { avx2::rows(input, stride, weights, &mut pixels) };
    }
    for (y, output) in pixels.chunks_exact_mut(wide).enumerate().skip(done) {
        for (position, out) in output.chunks_exact_mut(3).enumerate() {
            out.copy_from_slice(&pixel(&input[y * stride..], weights, position));
        }
    }
    Rgb { width: weights.len() as u32, height: rows.len() as u32, pixels }
}

/// One pixel of a row.
fn pixel(input: &[u8], weights: &Weights, position: usize) -> [u8; 3] {
    let (start, taps) = weights.at(position);
    let mut sum = [HALF; 3];
    for (pixel, &weight) in input[start * 3..].chunks_exact(3).zip(taps) {
        sum[0] += i32::from(pixel[0]) * weight;
        sum[1] += i32::from(pixel[1]) * weight;
        sum[2] += i32::from(pixel[2]) * weight;
    }
    sum.map(to_byte)
}

/// Resamples the given columns of an image to other rows.
pub(super) fn vertical(image: &Rgb, columns: Range<u32>, weights: &Weights) -> Rgb {
    let (stride, wide) = (image.width as usize * 3, columns.len() * 3);
    let mut pixels = vec![0; wide * weights.len()];
    let input = &image.pixels[columns.start as usize * 3..];
    for (position, output) in pixels.chunks_exact_mut(wide).enumerate() {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "set by the fast path"))]
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            done = unsafe { avx2::column(input, stride, weights, position, output) };
        }
        let (start, taps) = weights.at(position);
        for (x, out) in output.iter_mut().enumerate().skip(done) {
            let column = input[start * stride + x..].iter().step_by(stride);
            *out = to_byte(column.zip(taps).map(|(&byte, weight)| i32::from(byte) * weight).sum::<i32>() + HALF);
        }
    }
    Rgb { width: columns.len() as u32, height: weights.len() as u32, pixels }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{GROUP, HALF, LOW_BITS, PRECISION, Weights};

    /// Bytes of a load.
    const LOAD: usize = 16;

    /// Rows that are taken together, which read the weights once.
    const ROWS: usize = 4;

    /// The first rows of [`super::horizontal`]; returns how many. The last ones are left out, since what is read of a row may
    /// reach a few bytes into the next.
    #[target_feature(enable = "avx2")]
    pub(super) fn rows(input: &[u8], stride: usize, weights: &Weights, output: &mut [u8]) -> usize {
        let wide = weights.len() * 3;
        let all = output.len() / wide.max(1);
        // The bytes of a row that its last load may reach.
        let reach = (0..weights.len()).map(|i| (weights.start[i] + weights.count[i].next_multiple_of(GROUP)) * 3).max();
        let reach = reach.unwrap_or(0) + LOAD - GROUP * 3;
        let mut y = 0;
        while y + ROWS <= all && (y + ROWS - 1) * stride + reach <= input.len() {
            // SAFETY: no load goes beyond the reach of its row, and the last row's reach lies within the input; the output holds
            // so many rows.
            unsafe { four(input.as_ptr().add(y * stride), stride, weights, output.as_mut_ptr().add(y * wide)) };
            y += ROWS;
        }
        y
    }

    /// Four rows.
    ///
    /// # Safety
    /// Each of four rows of the input must be readable as far as its last position's groups of weights and a whole load reach;
    /// the output must hold four rows.
    #[target_feature(enable = "avx2")]
    unsafe fn four(input: *const u8, stride: usize, weights: &Weights, output: *mut u8) {
        // Of four pixels, the first two go to the lower half and the others to the upper one: red of both, green, blue.
        let pairs = _mm256_setr_epi8(
            0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, 6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1,
            -1, -1, -1,
        );
        let spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
        let half = _mm_set1_epi32(HALF);
        let positions = weights.len();
        let wide = positions * 3;
        let (mut high_at, mut low_at) = (weights.high.as_ptr(), weights.low.as_ptr());
        for (position, (&start, &count)) in weights.start.iter().zip(&weights.count).enumerate() {
            let (mut high, mut low) = ([_mm256_setzero_si256(); ROWS], [_mm256_setzero_si256(); ROWS]);
            let mut group = 0;
            while group < count {
                // SAFETY: what the caller answers for; a position has `width` weights, a multiple of a group.
                unsafe {
                    let pair = |at: *const i16| {
                        _mm256_permutevar8x32_epi32(
                            _mm256_castsi128_si256(_mm_loadl_epi64(at.add(group).cast())),
                            spread,
                        )
                    };
                    let (high_weights, low_weights) = (pair(high_at), pair(low_at));
                    let first = input.add((start + group) * 3);
                    let mut row = 0;
                    while row < ROWS {
                        let pixels = _mm256_broadcastsi128_si256(_mm_loadu_si128(first.add(row * stride).cast()));
                        let pixels = _mm256_shuffle_epi8(pixels, pairs);
                        high[row] = _mm256_add_epi32(high[row], _mm256_madd_epi16(pixels, high_weights));
                        low[row] = _mm256_add_epi32(low[row], _mm256_madd_epi16(pixels, low_weights));
                        row += 1;
                    }
                }
                group += GROUP;
            }
            let sum = |row: usize| {
                let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[row]), low[row]);
                let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                _mm_srai_epi32::<{ PRECISION as i32 }>(_mm_add_epi32(sum, half))
            };
            let bytes = _mm_packus_epi16(_mm_packs_epi32(sum(0), sum(1)), _mm_packs_epi32(sum(2), sum(3)));
            let out = [
                _mm_extract_epi32::<0>(bytes),
                _mm_extract_epi32::<1>(bytes),
                _mm_extract_epi32::<2>(bytes),
                _mm_extract_epi32::<3>(bytes),
            ];
            let mut row = 0;
            while row < ROWS {
                // SAFETY: the position lies in its row; but for the last one, which is written byte by byte, the byte behind it
                // is the first of the next position and is written later.
                unsafe {
                    let to = output.add(row * wide + position * 3);
                    if position + 1 < positions {
                        to.cast::<i32>().write_unaligned(out[row]);
                    } else {
                        let [r, g, b, _] = out[row].to_le_bytes();
                        to.cast::<[u8; 3]>().write([r, g, b]);
                    }
                }
                row += 1;
            }
            (high_at, low_at) = (high_at.wrapping_add(weights.width), low_at.wrapping_add(weights.width));
        }
    }

    /// One row of [`super::vertical`], as far as whole loads go; returns how many bytes that is.
    #[target_feature(enable = "avx2")]
    pub(super) fn column(input: &[u8], stride: usize, weights: &Weights, position: usize, output: &mut [u8]) -> usize {
        let (start, count) = (weights.start[position], weights.count[position]);
        let whole = output.len() / LOAD * LOAD;
        if count == 0 || (start + count - 1) * stride + whole > input.len() {
            return 0;
        }
        let of = position * weights.width..(position + 1) * weights.width;
        // Weights of two neighbours in one number; the weight of one that is too many is 0.
        let pairs = |halves: &[i16]| -> Vec<i32> {
            let one = |pair: &[i16; 2]| i32::from(pair[0] as u16) | i32::from(pair[1]) << 16;
            halves[of.clone()].as_chunks::<2>().0.iter().take(count.div_ceil(2)).map(one).collect()
        };
        let (high_pairs, low_pairs) = (pairs(&weights.high), pairs(&weights.low));
        let half = _mm256_set1_epi32(HALF);
        let mut x = 0;
        while x < whole {
            let (mut high, mut low) = ([_mm256_setzero_si256(); 2], [_mm256_setzero_si256(); 2]);
            for (pair, (&high_weights, &low_weights)) in high_pairs.iter().zip(&low_pairs).enumerate() {
                let next = (pair * 2 + 1).min(count - 1);
                // SAFETY: the last row's load ends before the end of the input, as checked above.
                let (a, b) = unsafe {
                    let at = |tap: usize| input.as_ptr().add((start + tap) * stride + x).cast();
                    (_mm_loadu_si128(at(pair * 2)), _mm_loadu_si128(at(next)))
                };
                let (high_weights, low_weights) = (_mm256_set1_epi32(high_weights), _mm256_set1_epi32(low_weights));
                let left = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
                let right = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
                high[0] = _mm256_add_epi32(high[0], _mm256_madd_epi16(left, high_weights));
                high[1] = _mm256_add_epi32(high[1], _mm256_madd_epi16(right, high_weights));
                low[0] = _mm256_add_epi32(low[0], _mm256_madd_epi16(left, low_weights));
                low[1] = _mm256_add_epi32(low[1], _mm256_madd_epi16(right, low_weights));
            }
            let sum = |i: usize| {
                let sum = _mm256_add_epi32(_mm256_slli_epi32::<{ LOW_BITS as i32 }>(high[i]), low[i]);
                _mm256_srai_epi32::<{ PRECISION as i32 }>(_mm256_add_epi32(sum, half))
            };
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(sum(0), sum(1)));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            // SAFETY: a whole load's bytes of the output are left from x on.
            unsafe { _mm_storeu_si128(output.as_mut_ptr().add(x).cast(), bytes) };
            x += LOAD;
        }
        whole
    }
}
