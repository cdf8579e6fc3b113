/*
 * The load: CALLS calls of 50 packets a second each, one connected socket per call on FIRST_PORT and up, paced on an absolute
 * schedule that no answer can delay. Calls begin at phases drawn from SEED within 20 ms, the same in every run.
 *
 * usage: load CALLS FIRST_PORT SECONDS WARM_UP_SECONDS SEED RECORDS
 * Prints "ports FIRST LAST", reads a line with as many peers' ports, prints "began NS", "measuring" and "measured" (packets
 * sent in between count), waits 2.5 s for answers, writes RECORDS and prints a line of JSON. A line or the end of standard
 * input ends it early. RECORDS: for each packet (call by call) scheduled, sent, returned (kernel stamp), in ns of the wall
 * clock; 0 is never.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <sys/epoll.h>
#include <sys/prctl.h>

#define MOST_CALLS 8192
#define EVENTS 128
#define ANSWERS_WITHIN_NS (5 * NS_PER_SECOND / 2)
#define READ_AT_ONCE 8

struct record {
  int64_t scheduled_ns, sent_ns, returned_ns;
};

static int calls, sockets[MOST_CALLS], order[MOST_CALLS];
static int64_t phase_ns[MOST_CALLS];
static struct stream streams[MOST_CALLS];
static uint32_t overflow[MOST_CALLS];
static uint32_t packets_per_call;
static struct record *records;
static uint64_t duplicates, foreign, send_errors, receive_errors;

static int by_phase(const void *left, const void *right) {
  int64_t difference = phase_ns[*(const int *)left] - phase_ns[*(const int *)right];
  return difference < 0 ? -1 : difference > 0;
}

static void take_back(int call) {
  unsigned char packet[LARGEST_PACKET];
  for (int each = 0; each < READ_AT_ONCE; each++) {
    struct received got = receive(sockets[call], packet, sizeof packet);
    if (got.size < 0) {
      if (errno != EAGAIN) receive_errors++;
      return;
    }
    overflow[call] = got.overflow;
    uint32_t ssrc;
    uint16_t sequence;
    memcpy(&sequence, packet + 2, 2);
    memcpy(&ssrc, packet + 8, 4);
    if (got.size != RTP_BYTES || ntohl(ssrc) != streams[call].ssrc) {
      foreign++;
      continue;
    }
    /* A run is shorter than 65536 packets (checked), so the number identifies the packet. */
    uint16_t n = (uint16_t)(ntohs(sequence) - streams[call].sequence);
    struct record *record = &records[(size_t)call * packets_per_call + n];
    if (n >= packets_per_call || !record->sent_ns) {
      foreign++;
    } else if (record->returned_ns) {
      duplicates++;
    } else {
      record->returned_ns = got.stamp_ns;
    }
  }
}

static void read_peers(void) {
  for (int call = 0; call < calls; call++) {
    int port;
    if (scanf("%d", &port) != 1) {
      fprintf(stderr, "load: %d ports were expected, %d came\n", calls, call);
      exit(1);
    }
    struct sockaddr_in peer = loopback(port);
    if (connect(sockets[call], (struct sockaddr *)&peer, sizeof peer)) fail("connect");
  }
  while (getchar() != '\n')
    ;
}

static void wait_until(int poll, int64_t until_ns, int *asked_to_end) {
  struct epoll_event events[EVENTS];
  int64_t left = until_ns - clock_ns(CLOCK_MONOTONIC);
  struct timespec timeout = {0, 0};
  if (left > 0) {
    timeout.tv_sec = left / NS_PER_SECOND;
    timeout.tv_nsec = left % NS_PER_SECOND;
  }
  int found = epoll_pwait2(poll, events, EVENTS, &timeout, NULL);
  for (int each = 0; each < found; each++) {
    if (events[each].data.fd < 0) {
      *asked_to_end = 1;
      epoll_ctl(poll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    } else {
      take_back(events[each].data.fd);
    }
  }
}

int main(int count, char **arguments) {
  if (count != 7) {
    fprintf(stderr, "usage: load CALLS FIRST_PORT SECONDS WARM_UP_SECONDS SEED RECORDS\n");
    return 2;
  }
  calls = atoi(arguments[1]);
  int first_port = atoi(arguments[2]);
  double seconds = atof(arguments[3]), warm_up_seconds = atof(arguments[4]);
  uint64_t seed = strtoull(arguments[5], NULL, 10), state = seed;
  packets_per_call = (uint32_t)((seconds + warm_up_seconds) * NS_PER_SECOND / PACKET_NS);
  if (calls < 1 || calls > MOST_CALLS || packets_per_call < 1 || packets_per_call > 60000) {
    fprintf(stderr, "load: 1 to %d calls of at most 1200 s are possible\n", MOST_CALLS);
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1);
  records = calloc((size_t)calls * packets_per_call, sizeof *records);
  if (!records) fail("records");
  memset(records, 0, (size_t)calls * packets_per_call * sizeof *records);
  int poll = epoll_create1(0);
  for (int call = 0; call < calls; call++) {
    sockets[call] = bound_socket(first_port + call);
    large_buffers(sockets[call]);
    mark_expedited(sockets[call]);
    set_option(sockets[call], SO_TIMESTAMPNS, 1);
    set_option(sockets[call], SO_RXQ_OVFL, 1);
    streams[call] = stream_of(seed, call);
    phase_ns[call] = (int64_t)(chance(&state) % PACKET_NS);
    order[call] = call;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = call};
    if (epoll_ctl(poll, EPOLL_CTL_ADD, sockets[call], &event)) fail("epoll_ctl");
  }
  qsort(order, (size_t)calls, sizeof *order, by_phase);
  printf("ports %d %d\n", first_port, first_port + calls - 1);
  fflush(stdout);
  setvbuf(stdin, NULL, _IONBF, 0);
  read_peers();
  struct epoll_event standard_input = {.events = EPOLLIN, .data.fd = -1};
  epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &standard_input);

  int64_t began = clock_ns(CLOCK_MONOTONIC) + PACKET_NS, wall = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
  uint32_t warm_up = (uint32_t)(warm_up_seconds * NS_PER_SECOND / PACKET_NS);
  uint64_t sent = 0;
  int ending = 0;
  printf("began %lld\n", (long long)(began + wall));
  fflush(stdout);
  for (uint32_t n = 0; n < packets_per_call && !ending; n++) {
    if (n == warm_up) say("measuring");
    for (int at = 0; at < calls && !ending; at++) {
      int call = order[at];
      int64_t due = began + n * PACKET_NS + phase_ns[call];
      do wait_until(poll, due, &ending);
      while (!ending && clock_ns(CLOCK_MONOTONIC) < due);
      unsigned char packet[RTP_BYTES];
      rtp_packet(packet, &streams[call], n);
      struct record *record = &records[(size_t)call * packets_per_call + n];
      record->scheduled_ns = due + wall;
      record->sent_ns = clock_ns(CLOCK_REALTIME);
      /* An error may be an earlier packet's (ICMP). Reporting clears it, so this packet is sent once more. */
      if (send(sockets[call], packet, sizeof packet, 0) < 0 && send(sockets[call], packet, sizeof packet, 0) < 0) send_errors++;
      sent++;
    }
  }
  say("measured");
  int64_t until = clock_ns(CLOCK_MONOTONIC) + ANSWERS_WITHIN_NS;
  int ignored;
  while (clock_ns(CLOCK_MONOTONIC) < until) wait_until(poll, until, &ignored);

  FILE *file = fopen(arguments[6], "wb");
  if (!file || fwrite(records, sizeof *records, (size_t)calls * packets_per_call, file) != (size_t)calls * packets_per_call ||
      fclose(file))
    fail(arguments[6]);
  uint64_t overflows = 0;
  for (int call = 0; call < calls; call++) overflows += overflow[call];
  printf("{\"calls\": %d, \"packetsPerCall\": %u, \"warmUpPackets\": %u, \"sent\": %llu, \"duplicates\": %llu, \"foreign\": %llu, "
         "\"sendErrors\": %llu, \"receiveErrors\": %llu, \"overflows\": %llu}\n",
         calls, packets_per_call, warm_up, (unsigned long long)sent, (unsigned long long)duplicates, (unsigned long long)foreign,
         (unsigned long long)send_errors, (unsigned long long)receive_errors, (unsigned long long)overflows);
  return 0;
}
