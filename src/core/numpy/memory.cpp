#include "memory.h"

#define NO_IMPORT_ARRAY
#include <numpy/arrayobject.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sigmax {
namespace {

// Stands right before the data of every block, so that freeing depends on nothing the array says of itself.
struct alignas(16) Header {
  std::size_t capacity;
  bool mapped;  // of its own mapping, or else from malloc
};

Header* header_of(void* data) { return static_cast<Header*>(data) - 1; }

constexpr std::size_t kPage = std::size_t{64} << 10;  // none is larger

#ifdef __linux__

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t size, std::size_t step) { return (size + step - 1) / step * step; }

// Zeroed data that starts on a huge page; the header ends the page before. Null when there is no memory.
void* map_block(std::size_t size) {
  const std::size_t capacity = round_up(size, kPage);
  const std::size_t reserved = capacity + kHugePage + kPage;
  if (reserved < size) return nullptr;
  void* mapping = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(mapping);
  char* end = begin + reserved;
  const auto address = reinterpret_cast<std::size_t>(begin);
  char* data = begin + (round_up(address + kPage, kHugePage) - address);
  if (data - kPage > begin) munmap(begin, data - kPage - begin);
  if (data + capacity < end) munmap(data + capacity, end - (data + capacity));
  madvise(data, capacity, MADV_HUGEPAGE);
  *header_of(data) = {capacity, true};
  return data;
}

void unmap_block(void* data) {
  munmap(static_cast<char*>(data) - kPage, header_of(data)->capacity + kPage);
}

// Lets the kernel take the block when memory runs short. Whole huge pages only: to mark one and write to it again
// costs nothing measurable, while small pages would fault once each and take four times as long to write.
void mark_unused(void* data) { madvise(data, header_of(data)->capacity / kHugePage * kHugePage, MADV_FREE); }

#else

void* map_block(std::size_t) { return nullptr; }
void unmap_block(void*) {}
void mark_unused(void*) {}

#endif

// Without a lock, so that a fork at any moment leaves it usable: a block is taken out before it is looked at.
std::atomic<void*> kept[kKeptBlocks];
std::atomic<std::size_t> kept_size{0};
std::atomic<unsigned> next_victim{0};

// The block kept in this place, now the caller's; null when there is none.
void* take(std::atomic<void*>& place) {
  void* data = place.exchange(nullptr, std::memory_order_acq_rel);
  if (data) kept_size -= header_of(data)->capacity;
  return data;
}

// Unmaps the block kept in this place; returns its size.
std::size_t drop(std::atomic<void*>& place) {
  void* data = take(place);
  if (!data) return 0;
  const std::size_t size = header_of(data)->capacity;
  unmap_block(data);
  return size;
}

// Whether there was room for the block.
bool put(void* data) {
  const std::size_t size = header_of(data)->capacity;
  if ((kept_size += size) <= kKeptSize) {
    for (auto& place : kept) {
      void* empty = nullptr;
      if (place.compare_exchange_strong(empty, data, std::memory_order_acq_rel)) return true;
    }
  }
  kept_size -= size;
  return false;
}

// Keeps the block in place of older ones where there is no room.
void keep(void* data) {
  if (header_of(data)->capacity > kKeptSize) return unmap_block(data);
  for (int dropped = 0; dropped <= kKeptBlocks; ++dropped) {
    if (put(data)) return;
    drop(kept[next_victim++ % kKeptBlocks]);
  }
  unmap_block(data);  // other threads filled every place that was freed
}

// At most a quarter more than asked for, or arrays that live long would waste memory.
bool fits(void* data, std::size_t size) {
  const std::size_t capacity = header_of(data)->capacity;
  return capacity >= size && capacity - size <= std::max(size / 4, kPage);
}

void* reuse(std::size_t size) {
  for (auto& place : kept) {
    void* data = take(place);
    if (!data) continue;
    if (fits(data, size)) return data;
    keep(data);
  }
  return nullptr;
}

void* small_block(void* memory, std::size_t size) {
  if (!memory) return nullptr;
  *static_cast<Header*>(memory) = {size, false};
  return static_cast<Header*>(memory) + 1;
}

void* allocate(void*, std::size_t size) {
  if (size >= kSmallestPooled) {
    if (void* data = reuse(size)) return data;
    if (void* data = map_block(size)) return data;
  }
  if (size > SIZE_MAX - sizeof(Header)) return nullptr;
  return small_block(std::malloc(sizeof(Header) + size), size);
}

void* allocate_zeroed(void*, std::size_t count, std::size_t item_size) {
  if (item_size && count > (SIZE_MAX - sizeof(Header)) / item_size) return nullptr;
  const std::size_t size = count * item_size;
  if (size >= kSmallestPooled) {
    if (void* data = map_block(size)) return data;  // a kept block is not zero
  }
  return small_block(std::calloc(1, sizeof(Header) + size), size);
}

void release(void*, void* data, std::size_t) {
  if (!data) return;
  if (!header_of(data)->mapped) return std::free(header_of(data));
  mark_unused(data);
  keep(data);
}

void* reallocate(void* context, void* data, std::size_t size) {
  if (!data) return allocate(context, size);
  if (header_of(data)->mapped && fits(data, size)) return data;
  void* moved = allocate(context, size);
  if (!moved) return nullptr;
  std::memcpy(moved, data, std::min(size, header_of(data)->capacity));
  release(context, data, 0);
  return moved;
}

PyDataMem_Handler handler = {"sigmax_pool", 1, {nullptr, allocate, allocate_zeroed, reallocate, release}};
PyObject* handler_capsule = nullptr;

// Keeps an exception on its way out of the interpreter's sight while NumPy's handler is switched.
PyObject* switch_handler(PyObject* to) {
  PyObject *type, *value, *traceback;
  PyErr_Fetch(&type, &value, &traceback);
  PyObject* previous = PyDataMem_SetHandler(to);
  if (!previous) PyErr_Clear();
  PyErr_Restore(type, value, traceback);
  return previous;
}

}  // namespace

bool memory_init() {
  handler_capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
  return handler_capsule != nullptr;
}

PyObject* memory_handler() { return handler_capsule; }

std::size_t memory_release() {
  std::size_t released = 0;
  for (auto& place : kept) released += drop(place);
  return released;
}

PooledAllocation::PooledAllocation() : previous_(switch_handler(handler_capsule)) {}

PooledAllocation::~PooledAllocation() {
  if (!previous_) return;
  Py_XDECREF(switch_handler(previous_));
  Py_DECREF(previous_);
}

}  // namespace sigmax
