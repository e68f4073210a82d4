// A function whose activations are not kept: its backward pass computes it again.

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <cstring>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace {
using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;

// Computes the function on `x`; null and a message in `error` when it cannot.
using Run = at::Tensor *(*)(void *function, const at::Tensor *x, const char **error);
using Drop = void (*)(void *function);

// The function, which lives as long as the graph.
struct Closure : torch::CustomClassHolder {
  void *function;
  Run run;
  Drop drop;
  Closure(void *function, Run run, Drop drop) : function(function), run(run), drop(drop) {}
  ~Closure() override { drop(function); }

  at::Tensor operator()(const at::Tensor &x) const {
    const char *error = "";
    std::unique_ptr<at::Tensor> y(run(function, &x, &error));
    TORCH_CHECK(y, error);
    return *y;
  }
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  // `trained` only says that there is something to learn inside.
  static Variable forward(AutogradContext *ctx, const Variable &x, const Variable &trained,
                          const c10::intrusive_ptr<Closure> &function) {
    ctx->save_for_backward({x});
    ctx->saved_data["needed"] = x.requires_grad();
    ctx->saved_data["function"] = c10::IValue::make_capsule(function);
    // Dropout draws the same again.
    ctx->saved_data["random"] = at::globalContext().defaultGenerator(x.device()).get_state();
    return (*function)(x);
  }

  static variable_list backward(AutogradContext *ctx, variable_list gradients) {
    auto x = ctx->get_saved_variables()[0].detach().requires_grad_(ctx->saved_data["needed"].toBool());
    auto function = c10::static_intrusive_pointer_cast<Closure>(ctx->saved_data["function"].toCapsule());
    auto generator = at::globalContext().defaultGenerator(x.device());
    auto now = generator.get_state();
    generator.set_state(ctx->saved_data["random"].toTensor());
    at::Tensor y;
    {
      at::AutoGradMode with_graph(true);
      y = (*function)(x);
    }
    generator.set_state(now);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), Variable(), Variable()};
  }
};
} // namespace

extern "C" {
// Takes `function` over. With no graph to be made, it is computed at once.
at::Tensor *ct_recomputed(const at::Tensor *x, bool trained, void *function, Run run, Drop drop, char **error) {
  try {
    auto closure = c10::make_intrusive<Closure>(function, run, drop);
    if (!at::GradMode::is_enabled() || !(trained || x->requires_grad()))
      return new at::Tensor((*closure)(*x));
    auto flag = at::zeros({}, x->options().requires_grad(true));
    return new at::Tensor(Recomputed::apply(*x, flag, closure));
  } catch (const std::exception &e) {
    *error = strdup(e.what());
  } catch (...) {
    *error = strdup("unknown C++ exception");
  }
  return nullptr;
}
}
