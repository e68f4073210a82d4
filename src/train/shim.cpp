// What tch lacks, over libtorch: fused AdamW, one gradient norm without a host sync per tensor, gradients set to none,
// the allocator. Every function returns null, or a message that the caller frees with ct_free.

#include <ATen/ATen.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <cstdlib>
#include <cstring>
#include <malloc.h>
#include <vector>

namespace {
template <typename F> char *guarded(F run) {
  try {
    run();
    return nullptr;
  } catch (const std::exception &e) {
    return strdup(e.what());
  } catch (...) {
    return strdup("unknown C++ exception");
  }
}

// The gradients of those tensors that have one.
std::vector<at::Tensor> gradients(at::Tensor *const *tensors, int64_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (int64_t i = 0; i < n; i++)
    if (tensors[i]->grad().defined())
      out.push_back(tensors[i]->grad());
  return out;
}
} // namespace

extern "C" {
void ct_free(char *message) { std::free(message); }

// One AdamW step over `n` parameters that have a gradient. `grad_scale` may be null; gradients are divided by it.
char *ct_fused_adamw(at::Tensor *const *parameters, at::Tensor *const *first, at::Tensor *const *second,
                     at::Tensor *const *steps, int64_t n, double lr, double beta1, double beta2, double decay,
                     double eps, at::Tensor *grad_scale) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    std::vector<at::Tensor> p, g, m, v, s;
    for (int64_t i = 0; i < n; i++) {
      if (!parameters[i]->grad().defined())
        continue;
      p.push_back(*parameters[i]);
      g.push_back(parameters[i]->grad());
      m.push_back(*first[i]);
      v.push_back(*second[i]);
      s.push_back(*steps[i]);
    }
    if (p.empty())
      return;
    for (auto &step : s)
      step.add_(1);
    std::optional<at::Tensor> scale;
    if (grad_scale)
      scale = *grad_scale;
    at::_fused_adamw_(p, g, m, v, {}, s, lr, beta1, beta2, decay, eps, false, false, scale, std::nullopt);
  });
}

// The 2-norm of all gradients together, a 0-d tensor on their device.
char *ct_grad_norm(at::Tensor *const *parameters, int64_t n, at::Tensor **out) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto grads = gradients(parameters, n);
    if (grads.empty()) {
      *out = new at::Tensor(at::zeros({}));
      return;
    }
    auto norms = at::_foreach_norm(grads, 2);
    *out = new at::Tensor(at::linalg_vector_norm(at::stack(norms), 2));
  });
}

// Drops the gradients, so that the next backward pass writes instead of adding.
char *ct_zero_grad(at::Tensor *const *parameters, int64_t n) {
  return guarded([&] {
    for (int64_t i = 0; i < n; i++)
      parameters[i]->mutable_grad() = at::Tensor();
  });
}

// Keeps freed activations in the process: glibc would hand large blocks back to the kernel after every step and have
// them zeroed again in the next one.
void ct_keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, 2147483647);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}
}
