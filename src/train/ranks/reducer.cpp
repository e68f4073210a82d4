// Mean gradients over all ranks, in buckets that are sent while the backward pass still runs: a hook on each parameter
// tells when its gradient is there, and a bucket whose gradients all are is on its way.

#include "../shim.h"
#include "group.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace {
struct Bucket {
  std::vector<size_t> members;
  size_t ready = 0;
  // What is sent: the gradients one after the other or, in shards, `[size, ...]` with the part of each rank in its row.
  at::Tensor flat;
  // What this rank gets in shards.
  at::Tensor own;
  c10::intrusive_ptr<c10d::Work> work;
};
} // namespace

struct Reducer {
  Group *group;
  std::vector<at::Tensor> parameters;
  // This rank's parts of the parameters, for shards; empty otherwise. A part may have no values.
  std::vector<at::Tensor> pieces;
  std::vector<size_t> bucket_of;
  std::vector<bool> ready, defined;
  std::vector<Bucket> buckets;
  bool armed = false;
  size_t next = 0;

  bool in_shards() const { return !pieces.empty(); }

  // Values of a parameter's part on each rank.
  int64_t share(size_t i) const { return (parameters[i].numel() + group->size - 1) / group->size; }

  void arrived(size_t i) {
    if (!armed)
      return;
    TORCH_CHECK(!ready[i], "a gradient changed after it was sent to the other ranks");
    ready[i] = true;
    buckets[bucket_of[i]].ready++;
    // In the same order on every rank.
    while (next < buckets.size() && buckets[next].ready == buckets[next].members.size())
      send(buckets[next++]);
  }

  void send(Bucket &bucket) {
    c10::NoGradGuard no_grad;
    if (in_shards()) {
      send_in_shards(bucket);
      return;
    }
    std::vector<at::Tensor> parts;
    for (auto i : bucket.members)
      parts.push_back(taken(i).reshape(-1));
    bucket.flat = at::cat(parts);
    std::vector<at::Tensor> list{bucket.flat};
    bucket.work = group->backend->allreduce(list);
  }

  void send_in_shards(Bucket &bucket) {
    int64_t width = 0, at = 0;
    for (auto i : bucket.members)
      width += share(i);
    bucket.flat = at::zeros({group->size, width}, parameters[bucket.members[0]].options());
    for (auto i : bucket.members) {
      auto gradient = taken(i).reshape(-1);
      int64_t n = gradient.numel(), c = share(i), whole = n / c, rest = n % c;
      auto columns = bucket.flat.narrow(1, at, c);
      columns.narrow(0, 0, whole).copy_(gradient.narrow(0, 0, whole * c).view({whole, c}));
      if (rest > 0)
        columns.select(0, whole).narrow(0, 0, rest).copy_(gradient.narrow(0, whole * c, rest));
      at += c;
    }
    bucket.own = at::empty({width}, bucket.flat.options());
    auto input = bucket.flat.view({-1});
    bucket.work = group->backend->_reduce_scatter_base(bucket.own, input);
  }

  // The gradient of a parameter, which loses it; zeros where it has none.
  at::Tensor taken(size_t i) {
    auto gradient = parameters[i].grad();
    defined[i] = gradient.defined();
    parameters[i].mutable_grad() = at::Tensor();
    return defined[i] ? gradient : at::zeros_like(parameters[i]);
  }

  void finish() {
    c10::NoGradGuard no_grad;
    armed = false;
    while (next < buckets.size())
      send(buckets[next++]);
    for (auto &bucket : buckets) {
      bucket.work->wait();
      bucket.work.reset();
      auto &got = in_shards() ? bucket.own : bucket.flat;
      got.div_(group->size);
      int64_t at = 0;
      for (auto i : bucket.members) {
        auto &into = in_shards() ? pieces[i] : parameters[i];
        int64_t n = into.numel();
        if (defined[i] && n > 0)
          into.mutable_grad() = got.narrow(0, at, n).view(into.sizes());
        at += in_shards() ? share(i) : n;
      }
      bucket.flat = at::Tensor();
      bucket.own = at::Tensor();
      bucket.ready = 0;
    }
    std::fill(ready.begin(), ready.end(), false);
    next = 0;
  }
};

namespace {
struct Arrived : torch::autograd::PostAccumulateGradHook {
  Reducer *reducer;
  size_t index;
  Arrived(Reducer *reducer, size_t index) : reducer(reducer), index(index) {}
  void operator()(const torch::autograd::Variable &) override { reducer->arrived(index); }
};
} // namespace

extern "C" {
// A reducer of the gradients of `n` parameters, in buckets of about `bucket_bytes`, the last parameters first. `pieces`
// is null, or this rank's parts of them, which alone then have gradients.
char *ct_reducer_new(Group *group, at::Tensor *const *parameters, at::Tensor *const *pieces, int64_t n,
                     int64_t bucket_bytes, Reducer **out) {
  return guarded([&] {
    auto reducer = std::make_unique<Reducer>();
    reducer->group = group;
    for (int64_t i = 0; i < n; i++) {
      reducer->parameters.push_back(*parameters[i]);
      if (pieces)
        reducer->pieces.push_back(*pieces[i]);
    }
    reducer->ready.resize(n);
    reducer->defined.resize(n);
    reducer->bucket_of.resize(n);
    int64_t bytes = bucket_bytes;
    for (int64_t i = n - 1; i >= 0; i--) {
      if (bytes >= bucket_bytes) {
        reducer->buckets.emplace_back();
        bytes = 0;
      }
      reducer->buckets.back().members.push_back(i);
      reducer->bucket_of[i] = reducer->buckets.size() - 1;
      bytes += parameters[i]->nbytes();
    }
    for (int64_t i = 0; i < n; i++)
      torch::autograd::impl::set_post_acc_grad_hooks(*parameters[i], std::make_unique<Arrived>(reducer.get(), i));
    *out = reducer.release();
  });
}

void ct_reducer_free(Reducer *reducer) {
  for (auto &parameter : reducer->parameters)
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  delete reducer;
}

// The next backward pass is the last of the step.
void ct_reducer_arm(Reducer *reducer) { reducer->armed = true; }

// Sends what is left, waits, and leaves the means in the place of the gradients.
char *ct_reducer_finish(Reducer *reducer) {
  return guarded([&] { reducer->finish(); });
}

// After a step on the pieces: every rank's piece of every parameter to all ranks.
char *ct_reducer_share(Reducer *reducer) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    auto *group = reducer->group;
    for (auto &bucket : reducer->buckets) {
      int64_t width = 0, at = 0;
      for (auto i : bucket.members)
        width += reducer->share(i);
      auto all = at::empty({group->size, width}, reducer->parameters[bucket.members[0]].options());
      auto own = at::zeros({width}, all.options());
      for (auto i : bucket.members) {
        auto &piece = reducer->pieces[i];
        own.narrow(0, at, piece.numel()).copy_(piece);
        at += reducer->share(i);
      }
      group->all_gather(all.view({-1}), own);
      at = 0;
      for (auto i : bucket.members) {
        auto flat = reducer->parameters[i].detach().view(-1);
        int64_t n = flat.numel(), c = reducer->share(i), whole = n / c, rest = n % c;
        auto columns = all.narrow(1, at, c);
        flat.narrow(0, 0, whole * c).view({whole, c}).copy_(columns.narrow(0, 0, whole));
        if (rest > 0)
          flat.narrow(0, whole * c, rest).copy_(columns.select(0, whole).narrow(0, 0, rest));
        at += c;
      }
    }
  });
}
}
