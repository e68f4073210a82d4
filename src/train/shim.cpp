// What tch lacks, over libtorch: optimisers on lists of tensors, one gradient norm without a host sync per tensor,
// gradients set to none, the allocator.

#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sign.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/pow.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <cstdlib>
#include <malloc.h>
#include <vector>

namespace {
// The gradients of those tensors that have one.
std::vector<at::Tensor> gradients(at::Tensor *const *tensors, int64_t n) {
  std::vector<at::Tensor> out;
  out.reserve(n);
  for (int64_t i = 0; i < n; i++)
    if (tensors[i]->grad().defined())
      out.push_back(tensors[i]->grad());
  return out;
}

// Parameters that have a gradient, with their rows of the optimiser's state.
struct Rows {
  std::vector<at::Tensor> parameters, gradients, first, second, steps;

  // `v` is null in optimisers with one moment.
  Rows(at::Tensor *const *p, at::Tensor *const *m, at::Tensor *const *v, at::Tensor *const *s, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      if (!p[i]->grad().defined())
        continue;
      parameters.push_back(*p[i]);
      gradients.push_back(p[i]->grad());
      first.push_back(*m[i]);
      if (v)
        second.push_back(*v[i]);
      steps.push_back(*s[i]);
    }
    // On a GPU a loop would launch a kernel for each parameter.
    if (!steps.empty())
      at::_foreach_add_(steps, 1);
  }

  void unscale(at::Tensor *grad_scale) {
    if (grad_scale)
      gradients = at::_foreach_div(gradients, *grad_scale);
  }
};
} // namespace

extern "C" {
void ct_free(char *message) { std::free(message); }

// One step over those of `n` parameters that have a gradient. Gradients are divided by `grad_scale` unless that is null.
char *ct_adamw(at::Tensor *const *parameters, at::Tensor *const *first, at::Tensor *const *second,
               at::Tensor *const *steps, int64_t n, double lr, double beta1, double beta2, double decay, double eps,
               at::Tensor *grad_scale) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Rows r(parameters, first, second, steps, n);
    if (r.parameters.empty())
      return;
    std::optional<at::Tensor> scale;
    if (grad_scale)
      scale = *grad_scale;
    at::_fused_adamw_(r.parameters, r.gradients, r.first, r.second, {}, r.steps, lr, beta1, beta2, decay, eps, false,
                      false, scale, std::nullopt);
  });
}

// LAMB: Adam's direction plus decay, scaled for each tensor by the norm of the tensor over that of the direction.
char *ct_lamb(at::Tensor *const *parameters, at::Tensor *const *first, at::Tensor *const *second,
              at::Tensor *const *steps, int64_t n, double lr, double beta1, double beta2, double decay, double eps,
              at::Tensor *grad_scale) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Rows r(parameters, first, second, steps, n);
    if (r.parameters.empty())
      return;
    r.unscale(grad_scale);
    at::_foreach_lerp_(r.first, r.gradients, 1 - beta1);
    at::_foreach_mul_(r.second, beta2);
    at::_foreach_addcmul_(r.second, r.gradients, r.gradients, 1 - beta2);
    // Powers of the step count stay on the device: no wait for it.
    auto direction = at::_foreach_div(r.first, 1 - at::pow(beta1, r.steps[0]));
    auto root = at::_foreach_div(r.second, 1 - at::pow(beta2, r.steps[0]));
    at::_foreach_sqrt_(root);
    at::_foreach_add_(root, eps);
    at::_foreach_div_(direction, root);
    if (decay != 0) {
      at::_foreach_add_(direction, r.parameters, decay);
      auto weight = at::_foreach_norm(r.parameters, 2), update = at::_foreach_norm(direction, 2);
      for (size_t i = 0; i < direction.size(); i++) {
        auto both = (weight[i] > 0).logical_and(update[i] > 0);
        direction[i].mul_(at::where(both, weight[i] / update[i], at::ones_like(weight[i])));
      }
    }
    at::_foreach_add_(r.parameters, direction, -lr);
  });
}

// Lion: the sign of a blend of gradient and momentum; one moment.
char *ct_lion(at::Tensor *const *parameters, at::Tensor *const *first, at::Tensor *const *steps, int64_t n, double lr,
              double beta1, double beta2, double decay, at::Tensor *grad_scale) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    Rows r(parameters, first, nullptr, steps, n);
    if (r.parameters.empty())
      return;
    r.unscale(grad_scale);
    auto direction = at::_foreach_lerp(r.first, r.gradients, 1 - beta1);
    at::_foreach_sign_(direction);
    at::_foreach_mul_(r.parameters, 1 - lr * decay);
    at::_foreach_add_(r.parameters, direction, -lr);
    at::_foreach_lerp_(r.first, r.gradients, 1 - beta2);
  });
}

// `averages` moves towards `values` by a share of 1 - decay.
char *ct_average(at::Tensor *const *averages, at::Tensor *const *values, int64_t n, double decay) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    std::vector<at::Tensor> to, from;
    for (int64_t i = 0; i < n; i++) {
      to.push_back(*averages[i]);
      from.push_back(*values[i]);
    }
    if (!to.empty())
      at::_foreach_lerp_(to, from, 1 - decay);
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

// Which kernels the GPU's libraries may use: the fastest of those that were tried, and only those that repeat bit by bit.
void ct_kernels(bool benchmark, bool deterministic) {
  auto &context = at::globalContext();
  context.setBenchmarkCuDNN(benchmark);
  context.setDeterministicCuDNN(deterministic);
  // An operation without such a kernel warns instead of failing; memory that is written anyway is not filled first.
  context.setDeterministicAlgorithms(deterministic, true);
  context.setDeterministicFillUninitializedMemory(false);
}

// Most bytes that tensors took of a GPU at a time.
char *ct_peak_memory(int64_t device, int64_t *out) {
  return guarded([&] {
    auto stats = at::accelerator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
    *out = stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
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
