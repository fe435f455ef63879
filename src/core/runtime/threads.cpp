#include "threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif
#ifndef _WIN32
#include <pthread.h>
#include <signal.h>
#endif

#include "cpus.h"
#include "float_environment.h"

namespace sigmax {
namespace {

// How long an idle worker looks for the next call, and a caller for the last worker, before it sleeps: about as
// long as waking up takes, so that neither choice ever costs more than twice the better one.
constexpr std::chrono::microseconds kSpinTime(100);

// Some kernels wake a worker on its caller's CPU, and let the two take turns there while another CPU idles. Once a
// worker has found itself so, the pool itself chooses the CPUs, the next so many times that it wakes workers.
constexpr int kDistrust = 250;

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#else
  std::this_thread::yield();
#endif
}

// Whether `done()` became true within the spin time. Yielding is for threads that share a CPU: to any other it brings
// only other programs, which may keep the CPU for milliseconds.
template <class Condition>
bool spin_until(Condition done, bool yielding) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
    if (yielding) std::this_thread::yield();  // the thread waited for may need this very CPU
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// Signal handlers stay with the threads the program knows of.
class BlockedSignals {
 public:
#ifdef _WIN32
  BlockedSignals() {}
#else
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

 private:
  sigset_t saved_;
#endif
};

struct Job {
  void (*body)(void* context, std::ptrdiff_t task);
  void* context;
  std::ptrdiff_t tasks;
};

struct Worker {
  const int thread = this_thread();
  Worker* next = nullptr;
  std::condition_variable job_opened;
  bool crowded = false;  // only the worker touches this: whether it has no CPU to itself

  // Guarded by the pool's mutex; but only the caller writes the last two, and reads them without.
  bool asleep = false;
  int cpu = -1;          // the one it has in this job, or had in its last; -1 for none
  bool called = false;   // whether this job wakes it
  int destination = -1;  // on which CPU; -1 leaves that to the kernel
};

class Pool {
 public:
  // Whether the job ran; false, at once, when the pool serves another caller.
  bool run(const Job& job, int helpers) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    grow(helpers);
    open(job, std::min(helpers, workers_));
    work(job);
    close();
    busy_.store(false, std::memory_order_release);
    return true;
  }

  void retry_growing() { refused_ = false; }

 private:
  void grow(int helpers) {
    if (workers_ >= helpers || refused_) return;
    const BlockedSignals blocked;
    try {
      for (; workers_ < helpers; ++workers_) std::thread(&Pool::worker, this).detach();
    } catch (const std::exception&) {
      refused_ = true;  // carry on with the threads there are
    }
  }

  void open(const Job& job, int helpers) {
    Worker* first;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = job;
      next_task_.store(0, std::memory_order_relaxed);
      places_ = helpers;
      opened_.fetch_add(1, std::memory_order_release);
      note_cpus();
      const int awake = workers_ - sleeping_;
      call(std::min(sleeping_, helpers - awake));
      first = first_;
    }
    for (Worker* worker = first; worker; worker = worker->next) {
      if (!worker->called) continue;
      const Confinement there(worker->thread, worker->destination);
      worker->job_opened.notify_one();
    }
  }

  // Those of the caller and of the workers that are awake.
  void note_cpus() {
    crowded_ = false;
    taken_ = Cpus();
    taken_.add(this_cpu());
    for (Worker* worker = first_; worker; worker = worker->next) {
      if (worker->asleep) continue;
      if (taken_.has(worker->cpu)) worker->cpu = -1;
      taken_.add(worker->cpu);
    }
  }

  // Chooses which workers to wake and, if need be, where.
  void call(int count) {
    const bool choose_cpus = count > 0 && distrust_ > 0;
    distrust_ -= choose_cpus;
    for (Worker* worker = first_; worker; worker = worker->next) {
      worker->called = worker->asleep && count-- > 0;
      worker->destination = -1;
      if (!worker->called) continue;
      if (choose_cpus) worker->destination = free_cpu(worker->thread, worker->cpu, taken_);
      worker->cpu = worker->destination;
      taken_.add(worker->cpu);
    }
  }

  // Waits for the workers that joined; those that have not woken up yet find no place left.
  void close() {
    bool crowded;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      places_ = 0;
      crowded = crowded_;
    }
    if (spin_until([this] { return working_.load(std::memory_order_acquire) == 0; }, crowded)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    job_done_.wait(lock, [this] { return working_.load(std::memory_order_acquire) == 0; });
  }

  void work(const Job& job) {
    std::ptrdiff_t task;
    while ((task = next_task_.fetch_add(1, std::memory_order_relaxed)) < job.tasks) job.body(job.context, task);
  }

  bool join(Worker* self, Job* job, int* destination) {
    const std::lock_guard<std::mutex> lock(mutex_);
    *destination = take_cpu(self);
    self->crowded = self->cpu < 0;
    crowded_ |= self->crowded;
    if (places_ == 0) return false;
    --places_;
    working_.fetch_add(1, std::memory_order_relaxed);
    *job = job_;
    return true;
  }

  // Where this worker has to move because the caller or another worker has this CPU; -1 if it stays.
  int take_cpu(Worker* self) {
    if (self->destination >= 0) return -1;  // there already; and the caller may not have restored its mask yet
    taken_.remove(self->cpu);
    self->cpu = this_cpu();
    int destination = -1;
    if (taken_.has(self->cpu)) {
      destination = free_cpu(self->thread, self->cpu, taken_);
      if (destination >= 0) distrust_ = kDistrust;
      self->cpu = destination;
    }
    taken_.add(self->cpu);
    return destination;
  }

  void leave() {
    // Under the lock, or the caller could miss the notification between its check and its sleep.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (working_.fetch_sub(1, std::memory_order_release) == 1) job_done_.notify_one();
  }

  void wait_for_job(Worker* self, unsigned seen) {
    const auto opened = [this, seen] { return opened_.load(std::memory_order_acquire) != seen; };
    if (spin_until(opened, self->crowded)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleeping_;
    self->asleep = true;
    self->job_opened.wait(lock, opened);
    self->asleep = false;
    --sleeping_;
  }

  void enlist(Worker* self) {
    const std::lock_guard<std::mutex> lock(mutex_);
    self->next = first_;
    first_ = self;
  }

  void worker() {
    const FloatEnvironment environment;
    Worker self;
    enlist(&self);
    unsigned seen = 0;
    for (;;) {
      wait_for_job(&self, seen);
      seen = opened_.load(std::memory_order_acquire);
      Job job;
      int destination;
      if (!join(&self, &job, &destination)) continue;
      { const Confinement there(self.thread, destination); }
      work(job);
      leave();
    }
  }

  std::atomic<bool> busy_{false};
  // Only the caller that made the pool busy touches these.
  int workers_ = 0;
  std::atomic<bool> refused_{false};

  std::mutex mutex_;
  std::condition_variable job_done_;
  Job job_{};                // guarded by mutex_
  int places_ = 0;           // guarded by mutex_: workers the job still takes
  int sleeping_ = 0;         // guarded by mutex_
  Worker* first_ = nullptr;  // guarded by mutex_: all workers, which never end
  Cpus taken_;               // guarded by mutex_: one for the caller and for each worker
  int distrust_ = 0;         // guarded by mutex_
  bool crowded_ = false;     // guarded by mutex_: whether a worker of this job has no CPU to itself
  std::atomic<unsigned> opened_{0};
  std::atomic<int> working_{0};
  std::atomic<std::ptrdiff_t> next_task_{0};
};

// Never destroyed: workers may outlive every destructor that runs at exit.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  Pool* current = the_pool.load(std::memory_order_acquire);
  if (current) return *current;
  Pool* created = new Pool;
  if (the_pool.compare_exchange_strong(current, created, std::memory_order_acq_rel)) return *created;
  delete created;
  return *current;
}

#ifndef _WIN32
// A forked child has none of the workers, and another thread may have held the pool's lock: start afresh.
[[maybe_unused]] const int fork_handler =
  pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr, std::memory_order_relaxed); });
#endif

int usable_cpus() {
#ifdef __linux__
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return CPU_COUNT(&cpus);
#endif
  return std::max(1u, std::thread::hardware_concurrency());
}

std::atomic<int> num_threads{usable_cpus()};

}  // namespace

int get_num_threads() { return num_threads.load(std::memory_order_relaxed); }

void set_num_threads(int count) {
  num_threads.store(count, std::memory_order_relaxed);
  pool().retry_growing();
}

void parallel_for(std::ptrdiff_t tasks, void (*body)(void* context, std::ptrdiff_t task), void* context) {
  const auto helpers = static_cast<int>(std::min<std::ptrdiff_t>(get_num_threads(), tasks) - 1);
  if (helpers > 0 && pool().run({body, context, tasks}, helpers)) return;
  for (std::ptrdiff_t task = 0; task < tasks; ++task) body(context, task);
}

}  // namespace sigmax
