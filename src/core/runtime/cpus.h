// On which CPUs threads run. Outside Linux that is left to the system.
#pragma once

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sigmax {

// -1 stands for no CPU; no set has it.
#ifdef __linux__
inline int this_cpu() { return sched_getcpu(); }
inline int this_thread() { return static_cast<int>(syscall(SYS_gettid)); }

class Cpus {
 public:
  void add(int cpu) { CPU_SET(cpu, &set_); }
  void remove(int cpu) { CPU_CLR(cpu, &set_); }
  bool has(int cpu) const { return CPU_ISSET(cpu, &set_); }

  // A thread's affinity mask. These return whether it worked; a sandbox may refuse.
  bool get_from(int thread) { return sched_getaffinity(thread, sizeof set_, &set_) == 0; }
  bool set_for(int thread) const { return sched_setaffinity(thread, sizeof set_, &set_) == 0; }

 private:
  cpu_set_t set_{};
};

// The first CPU from `start` on that the thread may use and that is not taken.
inline int free_cpu(int thread, int start, const Cpus& taken) {
  Cpus allowed;
  if (!allowed.get_from(thread)) return -1;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    const int cpu = (start < 0 ? i : start + i) % CPU_SETSIZE;
    if (allowed.has(cpu) && !taken.has(cpu)) return cpu;
  }
  return -1;
}

// Keeps a thread to one CPU, if any, just while it is woken or moves there: with its old mask back it tends to stay.
class Confinement {
 public:
  Confinement(int thread, int cpu) : thread_(thread) {
    if (cpu < 0 || !allowed_.get_from(thread)) return;
    Cpus only;
    only.add(cpu);
    confined_ = only.set_for(thread);
  }
  ~Confinement() {
    if (confined_) allowed_.set_for(thread_);
  }
  Confinement(const Confinement&) = delete;
  Confinement& operator=(const Confinement&) = delete;

 private:
  int thread_;
  Cpus allowed_;
  bool confined_ = false;
};
#else
inline int this_cpu() { return -1; }
inline int this_thread() { return 0; }

struct Cpus {
  void add(int) {}
  void remove(int) {}
  bool has(int) const { return false; }
};

inline int free_cpu(int, int, const Cpus&) { return -1; }

struct Confinement {
  Confinement(int, int) {}
};
#endif

}  // namespace sigmax
