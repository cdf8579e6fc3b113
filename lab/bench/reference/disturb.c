/*
 * Known stalls: each begins at its planned time, and its real begin and end are logged.
 *
 * usage: disturb LOG. Reads the plan from standard input, one stall a line, times in ns after the start:
 *   stop BEGIN LENGTH PID...  the processes are stopped (SIGSTOP) and continued
 *   spin BEGIN LENGTH         a thread at SCHED_FIFO 99 takes each processor
 *   burn BEGIN LENGTH         a SCHED_IDLE thread on each processor uses up the quota of its cgroup, until all were
 *                             throttled or LENGTH has passed; the log has the gaps in which a second thread did not
 *                             run that wakes each 0.2 ms, before all others of the group
 * A line "go" starts it. Prints "ready", "began NS" and "done". LOG: kind (0 stop, 1 spin, 2 gap), process or processor,
 * begin and end in ns of the wall clock.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define MAX_STALLS 65536
#define MAX_PIDS 8
#define MAX_RECORDS (1 << 20)
#define MAX_PROCESSORS 64
#define LINE_BYTES 512
#define WATCH_NS 200000
#define GAP_NS 600000
#define NICENESS -20
#define SHORT_SLICE_NS 100000
#define THROTTLED_NS 4000000

enum kind { STOP, SPIN, GAP };

struct stall {
  int64_t begin_ns, length_ns;
  int pids[MAX_PIDS], pid_count;
};

struct plan {
  struct stall stalls[MAX_STALLS];
  int count;
};

struct record {
  int32_t kind, target;
  int64_t begin_ns, end_ns;
};

static struct plan stops, spins, burns;
static struct record *records;
static uint32_t record_count;
static int processors[MAX_PROCESSORS], processor_count;
static int64_t start_ns;
static int throttled[MAX_STALLS];

static void keep(int kind, int target, int64_t begin_ns, int64_t end_ns) {
  uint32_t at = __atomic_fetch_add(&record_count, 1, __ATOMIC_RELAXED);
  if (at < MAX_RECORDS) records[at] = (struct record){kind, target, begin_ns, end_ns};
}

static void sleep_until(int64_t monotonic_ns) {
  struct timespec until = {monotonic_ns / NS_PER_SECOND, monotonic_ns % NS_PER_SECOND};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
    ;
}

static int schedule(int policy, int priority) {
  struct sched_param parameter = {.sched_priority = priority};
  return pthread_setschedparam(pthread_self(), policy, &parameter);
}

static void pin(int processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  errno = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  if (errno) fail("pthread_setaffinity_np");
}

static void signal_all(const struct stall *stall, int number) {
  for (int each = 0; each < stall->pid_count; each++) kill(stall->pids[each], number);
}

static void *stop(void *unused) {
  schedule(SCHED_FIFO, 99); /* refused, the stops are less punctual, and the log says so */
  for (struct stall *stall = stops.stalls; stall < stops.stalls + stops.count; stall++) {
    sleep_until(start_ns + stall->begin_ns);
    int64_t began = clock_ns(CLOCK_REALTIME);
    signal_all(stall, SIGSTOP);
    sleep_until(start_ns + stall->begin_ns + stall->length_ns);
    signal_all(stall, SIGCONT);
    int64_t ended = clock_ns(CLOCK_REALTIME);
    for (int each = 0; each < stall->pid_count; each++) keep(STOP, stall->pids[each], began, ended);
  }
  return unused;
}

static void *spin(void *at) {
  int processor = *(int *)at;
  pin(processor);
  if ((errno = schedule(SCHED_FIFO, 99))) fail("SCHED_FIFO");
  for (struct stall *stall = spins.stalls; stall < spins.stalls + spins.count; stall++) {
    int64_t until = start_ns + stall->begin_ns + stall->length_ns;
    sleep_until(start_ns + stall->begin_ns);
    int64_t began = clock_ns(CLOCK_REALTIME);
    while (clock_ns(CLOCK_MONOTONIC) < until)
      ;
    keep(SPIN, processor, began, clock_ns(CLOCK_REALTIME));
  }
  return at;
}

static int is_over(int number, int64_t until_ns) {
  return clock_ns(CLOCK_MONOTONIC) >= until_ns || __atomic_load_n(&throttled[number], __ATOMIC_RELAXED) == processor_count;
}

static void *burn(void *at) {
  pin(*(int *)at);
  if ((errno = schedule(SCHED_IDLE, 0))) fail("SCHED_IDLE");
  for (int number = 0; number < burns.count; number++) {
    struct stall *stall = &burns.stalls[number];
    sleep_until(start_ns + stall->begin_ns);
    while (!is_over(number, start_ns + stall->begin_ns + stall->length_ns))
      ;
  }
  return at;
}

/* The first thread of the group that runs when its processor comes back. Older kernels ignore the slice. */
static void run_first(void) {
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns, deadline_ns, period_ns;
  } attributes = {.size = sizeof attributes, .nice = NICENESS, .slice_ns = SHORT_SLICE_NS};
  if (syscall(SYS_sched_setattr, 0, &attributes, 0)) fail("sched_setattr");
}

static void *watch(void *at) {
  int processor = *(int *)at;
  pin(processor);
  run_first();
  for (int number = 0; number < burns.count; number++) {
    struct stall *stall = &burns.stalls[number];
    sleep_until(start_ns + stall->begin_ns);
    int counted = 0;
    int64_t before = clock_ns(CLOCK_REALTIME);
    while (!is_over(number, start_ns + stall->begin_ns + stall->length_ns)) {
      sleep_until(clock_ns(CLOCK_MONOTONIC) + WATCH_NS);
      int64_t now = clock_ns(CLOCK_REALTIME);
      if (now - before > GAP_NS) keep(GAP, processor, before, now);
      if (now - before > THROTTLED_NS && !counted) {
        counted = 1;
        __atomic_fetch_add(&throttled[number], 1, __ATOMIC_RELAXED);
      }
      before = now;
    }
  }
  return at;
}

static void read_stall(struct plan *plan, char *fields) {
  char *end;
  if (plan->count == MAX_STALLS) {
    fprintf(stderr, "disturb: at most %d stalls of a kind\n", MAX_STALLS);
    exit(2);
  }
  struct stall *stall = &plan->stalls[plan->count++];
  stall->begin_ns = strtoll(fields, &end, 10);
  stall->length_ns = strtoll(end, &end, 10);
  while (stall->pid_count < MAX_PIDS && *end == ' ') stall->pids[stall->pid_count++] = (int)strtol(end, &end, 10);
}

static void read_plan(void) {
  char line[LINE_BYTES];
  while (fgets(line, sizeof line, stdin)) {
    if (!strcmp(line, "go\n")) return;
    if (!strncmp(line, "stop ", 5)) read_stall(&stops, line + 5);
    else if (!strncmp(line, "spin ", 5)) read_stall(&spins, line + 5);
    else if (!strncmp(line, "burn ", 5)) read_stall(&burns, line + 5);
    else {
      fprintf(stderr, "disturb: not understood: %s", line);
      exit(2);
    }
  }
  exit(0);
}

static void find_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set)) fail("sched_getaffinity");
  for (int each = 0; each < CPU_SETSIZE && processor_count < MAX_PROCESSORS; each++)
    if (CPU_ISSET(each, &set)) processors[processor_count++] = each;
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: disturb LOG\n");
    return 2;
  }
  records = calloc(MAX_RECORDS, sizeof *records);
  if (!records) fail("records");
  prctl(PR_SET_TIMERSLACK, 1);
  find_processors();
  say("ready");
  read_plan();
  start_ns = clock_ns(CLOCK_MONOTONIC);
  printf("began %lld\n", (long long)clock_ns(CLOCK_REALTIME));
  fflush(stdout);
  pthread_t threads[3 * MAX_PROCESSORS + 1];
  int started = 0;
  if (stops.count && (errno = pthread_create(&threads[started++], NULL, stop, NULL))) fail("pthread_create");
  for (int each = 0; each < processor_count; each++) {
    if (spins.count && (errno = pthread_create(&threads[started++], NULL, spin, &processors[each]))) fail("pthread_create");
    if (burns.count && (errno = pthread_create(&threads[started++], NULL, burn, &processors[each]))) fail("pthread_create");
    if (burns.count && (errno = pthread_create(&threads[started++], NULL, watch, &processors[each]))) fail("pthread_create");
  }
  while (started) pthread_join(threads[--started], NULL);
  uint32_t kept = record_count < MAX_RECORDS ? record_count : MAX_RECORDS;
  FILE *file = fopen(arguments[1], "wb");
  if (!file || fwrite(records, sizeof *records, kept, file) != kept || fclose(file)) fail(arguments[1]);
  say("done");
  return 0;
}
