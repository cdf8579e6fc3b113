/*
 * A relay with less capacity: loaded with LD_PRELOAD, each `send` of the packet process computes for SLOW_SEND_US first.
 * Other processes of the relay are as before. The time is the process's own, as that of any slower packet path.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <fcntl.h>
#include <sys/syscall.h>

#define PACKET_PROCESS "rtppool_relay.packets.process"

static int64_t slow_ns;

__attribute__((constructor)) static void start(void) {
  char words[4096];
  const char *wanted = getenv("SLOW_SEND_US");
  int descriptor = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t size = descriptor < 0 ? 0 : read(descriptor, words, sizeof words);
  if (descriptor >= 0) close(descriptor);
  if (wanted && size > 0 && memmem(words, (size_t)size, PACKET_PROCESS, strlen(PACKET_PROCESS))) slow_ns = atoll(wanted) * 1000;
}

ssize_t send(int descriptor, const void *packet, size_t bytes, int flags) {
  if (slow_ns) {
    int64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + slow_ns;
    while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
      ;
  }
  return syscall(SYS_sendto, descriptor, packet, bytes, flags, NULL, 0);
}
