/*
 * A beat and nothing else: it sleeps until a time of CLOCK_MONOTONIC, PERIOD_US after its last waking, on one processor.
 *
 * usage: beat PROCESSOR PERIOD_US
 * Says "ready" and beats until it is killed. With permission it has the real-time priority of a heartbeat.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#define HEARTBEAT_PRIORITY 2

int main(int count, char **words) {
  if (count != 3) {
    fprintf(stderr, "usage: beat PROCESSOR PERIOD_US\n");
    return 2;
  }
  prctl(PR_SET_PDEATHSIG, 9);
  cpu_set_t processors;
  CPU_ZERO(&processors);
  CPU_SET(atoi(words[1]), &processors);
  if (sched_setaffinity(0, sizeof processors, &processors)) {
    perror("beat: sched_setaffinity");
    return 1;
  }
  struct sched_param priority = {.sched_priority = HEARTBEAT_PRIORITY};
  sched_setscheduler(0, SCHED_RR, &priority); /* as our heartbeat, it beats without that as well */
  long period_ns = 1000 * atol(words[2]);
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct timespec due;
    clock_gettime(CLOCK_MONOTONIC, &due);
    due.tv_nsec += period_ns;
    if (due.tv_nsec >= 1000000000) {
      due.tv_nsec -= 1000000000;
      due.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
}
