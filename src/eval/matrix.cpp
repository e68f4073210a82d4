// What matrix.rs asks of the kernel.

#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

extern "C" {

// Lets go of the whole pages of a shared mapping; their content stays in the file.
void ct_let_go(uint8_t *start, uint64_t bytes) {
#ifdef __linux__
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t from = (reinterpret_cast<uint64_t>(start) + page - 1) / page * page;
  const uint64_t to = (reinterpret_cast<uint64_t>(start) + bytes) / page * page;
  if (from < to) madvise(reinterpret_cast<void *>(from), to - from, MADV_DONTNEED);
#endif
}

}  // extern "C"
