// The inner loops of the screening, compiled for several generations of processors and chosen when the program starts. They are
// here, and not in Rust, because they must be fast in every profile.

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include <cmath>
#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__)
#define CT_KERNEL __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CT_KERNEL
#endif

namespace {
// Columns that are looked at together: one doubtful column makes all of them be looked at again.
constexpr int64_t kChunk = 64;
// Sums that run side by side.
constexpr int64_t kLanes = 16;
}  // namespace

extern "C" {

// The scalar product. Products of floats are exact in doubles, and the order of the sums is the same on every processor.
CT_KERNEL double ct_screen_dot(const float* x, const float* y, int64_t n) {
  double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int k = 0; k < 8; ++k) sums[k] += static_cast<double>(x[i + k]) * static_cast<double>(y[i + k]);
  }
  for (; i < n; ++i) sums[i % 8] += static_cast<double>(x[i]) * static_cast<double>(y[i]);
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// The scalar product in floats: every value goes through at most n / 64 + 7 additions.
CT_KERNEL static float near_dot(const float* x, const float* y, int64_t n) {
  float sums[4 * kLanes] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int64_t k = 0; k < 4 * kLanes; ++k) sums[k] += x[i + k] * y[i + k];
  }
  for (int64_t k = 0; i < n; ++i, ++k) sums[k] += x[i] * y[i];
  for (int64_t half = 2 * kLanes; half > 0; half /= 2) {
    for (int64_t k = 0; k < half; ++k) sums[k] += sums[k + half];
  }
  return sums[0];
}

// x = scale * q + rest: the scale, and the length of the rest.
CT_KERNEL void ct_screen_quantise(const float* x, int64_t n, int8_t* q, float* scale, float* rest) {
  float most[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const float size = std::fabs(x[i + k]);
      most[k] = size > most[k] ? size : most[k];
    }
  }
  for (; i < n; ++i) most[0] = std::fabs(x[i]) > most[0] ? std::fabs(x[i]) : most[0];
  float largest = 0;
  for (int64_t k = 0; k < kLanes; ++k) largest = most[k] > largest ? most[k] : largest;
  const float step = largest > 0 ? largest / 127.0f : 1.0f;
  const float inverse = 1.0f / step;
  float sums[kLanes] = {};
  for (i = 0; i + kLanes <= n; i += kLanes) {
    for (int64_t k = 0; k < kLanes; ++k) {
      const float scaled = x[i + k] * inverse;
      const int32_t whole = static_cast<int32_t>(scaled + std::copysign(0.5f, scaled));
      const float off = x[i + k] - step * static_cast<float>(whole);
      q[i + k] = static_cast<int8_t>(whole);
      sums[k] += off * off;
    }
  }
  for (; i < n; ++i) {
    const float scaled = x[i] * inverse;
    const int32_t whole = static_cast<int32_t>(scaled + std::copysign(0.5f, scaled));
    const float off = x[i] - step * static_cast<float>(whole);
    q[i] = static_cast<int8_t>(whole);
    sums[0] += off * off;
  }
  double sum = 0;
  for (int64_t k = 0; k < kLanes; ++k) sum += sums[k];
  *scale = step;
  // The sum of floats is off by less than this.
  *rest = static_cast<float>(std::sqrt(sum) * 1.0001);
}

// Products `q` of one row with `cols` columns against the row's threshold and those of the columns. What is surely above is
// counted; what may be on either side is written to `doubtful` as column * 4 + 1 (row's threshold) + 2 (column's). Returns
// how many those are; there must be room for all.
CT_KERNEL int64_t ct_screen_row(const int32_t* q, int64_t cols, float scale, float error, float threshold,
                                const float* scales, const float* errors, const float* thresholds, uint32_t* above,
                                uint32_t* column_above, uint32_t* doubtful) {
  int64_t found = 0;
  uint32_t total = 0;
  for (int64_t start = 0; start < cols; start += kChunk) {
    const int64_t count = cols - start < kChunk ? cols - start : kChunk;
    const int32_t* __restrict products = q + start;
    const float* __restrict scale_of = scales + start;
    const float* __restrict error_of = errors + start;
    const float* __restrict threshold_of = thresholds + start;
    uint32_t* __restrict above_of = column_above + start;
    uint32_t overs = 0, doubts = 0;
    for (int64_t j = 0; j < count; ++j) {
      const float x = scale * scale_of[j] * static_cast<float>(products[j]);
      const float d = error + error_of[j];
      const uint32_t over = x > threshold + d, near = x >= threshold - d;
      const uint32_t column_over = x > threshold_of[j] + d, column_near = x >= threshold_of[j] - d;
      overs += over;
      above_of[j] += column_over;
      doubts |= (near ^ over) | (column_near ^ column_over);
    }
    total += overs;
    if (!doubts) continue;
    for (int64_t j = 0; j < count; ++j) {
      const float x = scale * scale_of[j] * static_cast<float>(products[j]);
      const float d = error + error_of[j];
      const uint32_t row = (x >= threshold - d) ^ (x > threshold + d);
      const uint32_t column = (x >= threshold_of[j] - d) ^ (x > threshold_of[j] + d);
      if (row | column) doubtful[found++] = static_cast<uint32_t>(start + j) * 4 + row + 2 * column;
    }
  }
  *above += total;
  return found;
}

// Settles what `ct_screen_row` left open: of each pair, whether its score is above, or equal to, that of the row's positive and
// that of the column's. Floats decide where they are further apart than `slack`, doubles otherwise. The positives themselves do
// not count: `own` is the row's among the columns, `column_own` those of the columns, `self` the row among all rows.
CT_KERNEL void ct_screen_settle(const float* row, const float* columns, int64_t width, const uint32_t* doubtful, int64_t count,
                                double slack, double score, int64_t own, uint32_t self, const double* column_scores,
                                const uint32_t* column_own, uint32_t* above, uint32_t* tied, uint32_t* column_above,
                                uint32_t* column_tied) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t column = doubtful[i] / 4;
    const bool of_row = (doubtful[i] & 1) && column != own;
    const bool of_column = (doubtful[i] & 2) && column_own[column] != self;
    if (!of_row && !of_column) continue;
    const float* other = columns + column * width;
    double found = near_dot(row, other, width);
    const bool close = (of_row && std::fabs(found - score) <= slack) ||
                       (of_column && std::fabs(found - column_scores[column]) <= slack);
    if (close) found = ct_screen_dot(row, other, width);
    if (of_row) {
      *above += found > score;
      *tied += found == score;
    }
    if (of_column) {
      column_above[column] += found > column_scores[column];
      column_tied[column] += found == column_scores[column];
    }
  }
}

}  // extern "C"
