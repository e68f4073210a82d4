// A process group: the ranks of one training and the collectives between them.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

struct Group {
  c10::intrusive_ptr<c10d::Backend> backend;
  int rank, size;

  void all_reduce(at::Tensor t) {
    std::vector<at::Tensor> list{t};
    backend->allreduce(list)->wait();
  }

  // `out` is `[size, in.numel()]` or of that many values.
  void all_gather(at::Tensor out, at::Tensor in) { backend->_allgather_base(out, in)->wait(); }

  // Hands `out` to the rank `by` places on and gives what the one as far behind sent, around the ring.
  at::Tensor shifted(const at::Tensor &out, int64_t by) {
    int to = static_cast<int>(((rank + by) % size + size) % size);
    int from = static_cast<int>(((rank - by) % size + size) % size);
    std::vector<at::Tensor> sent{out.contiguous()}, received{at::empty(out.sizes(), out.options())};
    auto sending = backend->send(sent, to, 0);
    auto receiving = backend->recv(received, from, 0);
    sending->wait();
    receiving->wait();
    return received[0];
  }
};
