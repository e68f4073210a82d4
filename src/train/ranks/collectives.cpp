// Processes of one training over libtorch's c10d: a key-value store to meet at, groups of ranks (Gloo), collectives, and
// three of them that can be differentiated.

#define USE_C10D_GLOO
#include "group.h"
#include "../shim.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

namespace {
using StoreRef = c10::intrusive_ptr<c10d::TCPStore>;

Group *group_of(AutogradContext *ctx) { return reinterpret_cast<Group *>(ctx->saved_data["group"].toInt()); }

// `[n, D]` of every rank as `[size * n, D]`. A rank's rows take the gradients that all ranks give them.
struct Gather : torch::autograd::Function<Gather> {
  static Variable forward(AutogradContext *ctx, const Variable &own, int64_t group) {
    ctx->saved_data["group"] = group;
    auto *g = reinterpret_cast<Group *>(group);
    auto shape = own.sizes().vec();
    shape[0] *= g->size;
    auto all = at::empty(shape, own.options());
    g->all_gather(all, own.contiguous());
    return all;
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    auto *g = group_of(ctx);
    auto all = gradients[0].contiguous().clone();
    g->all_reduce(all);
    int64_t rows = all.size(0) / g->size;
    return {all.narrow(0, g->rank * rows, rows).contiguous(), Variable()};
  }
};

// The rows of the rank `by` places back around the ring; gradients travel the other way.
struct Shift : torch::autograd::Function<Shift> {
  static Variable forward(AutogradContext *ctx, const Variable &own, int64_t group, int64_t by) {
    ctx->saved_data["group"] = group;
    ctx->saved_data["by"] = by;
    return reinterpret_cast<Group *>(group)->shifted(own, by);
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    auto back = group_of(ctx)->shifted(gradients[0], -ctx->saved_data["by"].toInt());
    return {back, Variable(), Variable()};
  }
};

// The sum over all ranks.
struct Sum : torch::autograd::Function<Sum> {
  static Variable forward(AutogradContext *ctx, const Variable &own, int64_t group) {
    ctx->saved_data["group"] = group;
    auto sum = own.contiguous().clone();
    reinterpret_cast<Group *>(group)->all_reduce(sum);
    return sum;
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    auto sum = gradients[0].contiguous().clone();
    group_of(ctx)->all_reduce(sum);
    return {sum, Variable()};
  }
};
} // namespace

extern "C" {
// Opens the store of a training at `host`. With `serve`, it is kept by this process; port 0 then takes a free one.
// `out_port` is the one that it has.
char *ct_store_open(const char *host, uint16_t port, bool serve, int64_t timeout_ms, void **out, uint16_t *out_port) {
  return guarded([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serve;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *out_port = store->getPort();
    *out = new StoreRef(std::move(store));
  });
}

void ct_store_close(void *store) { delete static_cast<StoreRef *>(store); }

char *ct_store_set(void *store, const char *key, const uint8_t *value, size_t n) {
  return guarded([&] { (*static_cast<StoreRef *>(store))->set(key, std::vector<uint8_t>(value, value + n)); });
}

// The value of a key, or null where there is none. The caller frees it with ct_free.
char *ct_store_get(void *store, const char *key, char **out) {
  return guarded([&] {
    auto &s = *static_cast<StoreRef *>(store);
    *out = nullptr;
    if (!s->check({key}))
      return;
    auto value = s->get(key);
    *out = strndup(reinterpret_cast<const char *>(value.data()), value.size());
  });
}

// A group over Gloo of the processes that meet under `name`. With `local`, all of them are on this machine.
char *ct_group_open(void *store, const char *name, int rank, int size, bool local, int64_t timeout_ms, Group **out) {
  return guarded([&] {
    std::chrono::milliseconds timeout(timeout_ms);
    auto options = c10d::ProcessGroupGloo::Options::create_default(timeout);
    if (local)
      options->devices = {c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")};
    auto under = c10::make_intrusive<c10d::PrefixStore>(name, *static_cast<StoreRef *>(store));
    *out = new Group{c10::make_intrusive<c10d::ProcessGroupGloo>(under, rank, size, options), rank, size};
  });
}

void ct_group_close(Group *group) { delete group; }

// Sum (or, with `max`, the maximum) over all ranks, in place.
char *ct_all_reduce(Group *group, at::Tensor *tensor, bool max) {
  return guarded([&] {
    c10d::AllreduceOptions options;
    options.reduceOp = max ? c10d::ReduceOp::MAX : c10d::ReduceOp::SUM;
    std::vector<at::Tensor> list{*tensor};
    group->backend->allreduce(list, options)->wait();
  });
}

char *ct_all_gather(Group *group, at::Tensor *out, at::Tensor *in) {
  return guarded([&] { group->all_gather(*out, *in); });
}

char *ct_broadcast(Group *group, at::Tensor *tensor, int64_t root) {
  return guarded([&] {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    std::vector<at::Tensor> list{*tensor};
    group->backend->broadcast(list, options)->wait();
  });
}

char *ct_barrier(Group *group) {
  return guarded([&] { group->backend->barrier()->wait(); });
}

char *ct_gather(Group *group, at::Tensor *own, at::Tensor **out) {
  return guarded([&] { *out = new at::Tensor(Gather::apply(*own, reinterpret_cast<int64_t>(group))); });
}

char *ct_shift(Group *group, at::Tensor *own, int64_t by, at::Tensor **out) {
  return guarded([&] { *out = new at::Tensor(Shift::apply(*own, reinterpret_cast<int64_t>(group), by)); });
}

char *ct_sum(Group *group, at::Tensor *own, at::Tensor **out) {
  return guarded([&] { *out = new at::Tensor(Sum::apply(*own, reinterpret_cast<int64_t>(group))); });
}
}
