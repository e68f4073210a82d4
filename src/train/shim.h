// What the C++ files of the trainer share: functions return null, or a message that the caller frees with ct_free.
#pragma once

#include <cstring>
#include <exception>

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
