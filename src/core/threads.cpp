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

#include "float_environment.h"

namespace sigmax {
namespace {

// How long an idle worker looks for the next call, and a caller for the last worker, before it sleeps: about as
// long as waking up takes, so that neither choice ever costs more than twice the better one.
constexpr std::chrono::microseconds kSpinTime(100);

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#else
  std::this_thread::yield();
#endif
}

// Whether `done()` became true within the spin time.
template <class Condition>
bool spin_until(Condition done) {
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (done()) return true;
      pause();
    }
    std::this_thread::yield();  // on a busy machine the thread waited for may need this very CPU
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
    int to_wake;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = job;
      next_task_.store(0, std::memory_order_relaxed);
      places_ = helpers;
      opened_.fetch_add(1, std::memory_order_release);
      const int awake = workers_ - sleeping_;
      to_wake = std::min(sleeping_, helpers - awake);
    }
    for (; to_wake > 0; --to_wake) job_opened_.notify_one();
  }

  // Waits for the workers that joined; those that have not woken up yet find no place left.
  void close() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      places_ = 0;
    }
    if (spin_until([this] { return working_.load(std::memory_order_acquire) == 0; })) return;
    std::unique_lock<std::mutex> lock(mutex_);
    job_done_.wait(lock, [this] { return working_.load(std::memory_order_acquire) == 0; });
  }

  void work(const Job& job) {
    std::ptrdiff_t task;
    while ((task = next_task_.fetch_add(1, std::memory_order_relaxed)) < job.tasks) job.body(job.context, task);
  }

  bool join(Job* job) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (places_ == 0) return false;
    --places_;
    working_.fetch_add(1, std::memory_order_relaxed);
    *job = job_;
    return true;
  }

  void leave() {
    // Under the lock, or the caller could miss the notification between its check and its sleep.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (working_.fetch_sub(1, std::memory_order_release) == 1) job_done_.notify_one();
  }

  void wait_for_job(unsigned seen) {
    const auto opened = [this, seen] { return opened_.load(std::memory_order_acquire) != seen; };
    if (spin_until(opened)) return;
    std::unique_lock<std::mutex> lock(mutex_);
    ++sleeping_;
    job_opened_.wait(lock, opened);
    --sleeping_;
  }

  void worker() {
    const FloatEnvironment environment;
    unsigned seen = 0;
    for (;;) {
      wait_for_job(seen);
      seen = opened_.load(std::memory_order_acquire);
      Job job;
      if (!join(&job)) continue;
      work(job);
      leave();
    }
  }

  std::atomic<bool> busy_{false};
  // Only the caller that made the pool busy touches these.
  int workers_ = 0;
  std::atomic<bool> refused_{false};

  std::mutex mutex_;
  std::condition_variable job_opened_, job_done_;
  Job job_{};         // guarded by mutex_
  int places_ = 0;    // guarded by mutex_: workers the job still takes
  int sleeping_ = 0;  // guarded by mutex_
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
