// libtorch contains Gloo, and its wheel has the header of c10d's process group over it, but not Gloo's own headers, which
// that header includes. It needs no more of them than these names: everything of Gloo is behind pointers.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {
class Context {
public:
  void setTimeout(std::chrono::milliseconds);
};

namespace transport {
class Device;
class UnboundBuffer;
} // namespace transport

namespace rendezvous {
// The base of c10d's GlooStore, of which no object is made here.
class Store {
public:
  virtual ~Store();
  virtual void set(const std::string &, const std::vector<char> &) = 0;
  virtual std::vector<char> get(const std::string &) = 0;
  virtual void wait(const std::vector<std::string> &) = 0;
  virtual void wait(const std::vector<std::string> &, const std::chrono::milliseconds &) = 0;
};
} // namespace rendezvous
} // namespace gloo
