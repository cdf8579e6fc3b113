/*
 * As much as an echo can take: IN_FLIGHT packets under way over SOURCES sockets on FIRST_PORT and up; each answer sends the next.
 *
 * usage: saturate PORT SOURCES IN_FLIGHT FIRST_PORT SECONDS WARM_UP_SECONDS
 * Says "measuring" and "measured", then a line of JSON: answers in between, and packets that were sent again because no
 * answer came within 100 ms.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <sys/epoll.h>

#define MOST_SOURCES 1024
#define EVENTS 64
#define SENT_AGAIN_AFTER_NS 100000000LL

static int sockets[MOST_SOURCES];
static struct stream streams[MOST_SOURCES];
static uint32_t sent[MOST_SOURCES], waiting[MOST_SOURCES];
static int64_t heard_ns[MOST_SOURCES];

static void send_next(int source) {
  unsigned char packet[RTP_BYTES];
  rtp_packet(packet, &streams[source], sent[source]++);
  if (send(sockets[source], packet, sizeof packet, 0) > 0) waiting[source]++;
}

int main(int count, char **arguments) {
  if (count != 7) {
    fprintf(stderr, "usage: saturate PORT SOURCES IN_FLIGHT FIRST_PORT SECONDS WARM_UP_SECONDS\n");
    return 2;
  }
  int port = atoi(arguments[1]), sources = atoi(arguments[2]), first_port = atoi(arguments[4]);
  uint32_t each_in_flight = (uint32_t)(atoi(arguments[3]) / sources);
  int64_t measured_ns = (int64_t)(atof(arguments[5]) * NS_PER_SECOND), warm_up_ns = (int64_t)(atof(arguments[6]) * NS_PER_SECOND);
  struct sockaddr_in peer = loopback(port);
  int poll = epoll_create1(0);
  if (sources < 1 || sources > MOST_SOURCES || each_in_flight < 1) {
    fprintf(stderr, "saturate: at least one packet in flight for each of up to %d sources\n", MOST_SOURCES);
    return 2;
  }
  for (int source = 0; source < sources; source++) {
    sockets[source] = bound_socket(first_port + source);
    if (connect(sockets[source], (struct sockaddr *)&peer, sizeof peer)) fail("connect");
    streams[source] = stream_of(1, source);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = source};
    epoll_ctl(poll, EPOLL_CTL_ADD, sockets[source], &event);
    heard_ns[source] = clock_ns(CLOCK_MONOTONIC);
  }
  int64_t began = clock_ns(CLOCK_MONOTONIC), looked = began;
  uint64_t answers = 0, before = 0, again = 0, again_before = 0;
  int measuring = 0;
  for (int source = 0; source < sources; source++)
    for (uint32_t each = 0; each < each_in_flight; each++) send_next(source);
  for (;;) {
    struct epoll_event events[EVENTS];
    int found = epoll_wait(poll, events, EVENTS, 20);
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    for (int each = 0; each < found; each++) {
      unsigned char packet[LARGEST_PACKET];
      int source = events[each].data.fd;
      if (recv(sockets[source], packet, sizeof packet, 0) < 0) continue;
      answers++;
      heard_ns[source] = now;
      if (waiting[source]) waiting[source]--;
      if (waiting[source] < each_in_flight) send_next(source);
    }
    if (now - looked > SENT_AGAIN_AFTER_NS) {
      looked = now;
      for (int source = 0; source < sources; source++) {
        if (now - heard_ns[source] < SENT_AGAIN_AFTER_NS) continue;
        waiting[source] = 0;
        heard_ns[source] = now;
        for (uint32_t each = 0; each < each_in_flight; each++, again++) send_next(source);
      }
    }
    if (!measuring && now - began >= warm_up_ns) {
      measuring = 1;
      before = answers;
      again_before = again;
      say("measuring");
    }
    if (measuring && now - began >= warm_up_ns + measured_ns) break;
  }
  say("measured");
  printf("{\"answers\": %llu, \"sentAgain\": %llu}\n", (unsigned long long)(answers - before), (unsigned long long)(again - again_before));
  return 0;
}
