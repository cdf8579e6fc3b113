/*
 * The relay of relay.c with the times of every packet: arrivals from the kernel's stamps, departures read just before the
 * send, written as services/ari/src/rtppool_relay/rows.py lays them out, so that our own statistics read both alike.
 *
 * usage: relay_rows ROWS_DESCRIPTOR SLOTS ECHO_PORT. Reads lines "open SLOT PORT PEER_PORT" and "close SLOT" from standard
 * input, all on 127.0.0.1, and says "opened SLOT" or "closed SLOT". Ends with its standard input.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <sched.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define ROWS_PER_SLOT 1024
#define HEADER_BYTES 4096
#define MOST_SLOTS 4096
#define MOST_DESCRIPTORS 16384
#define EVENTS 64
#define MAX_DROPOUT 3000
#define MAX_MISORDER 100
#define EXPEDITED (46 << 2)
#define LINE_BYTES 4096
#define RAW_UNIT_NS 256
#define UNKNOWN_CPU 255

struct __attribute__((packed)) row {
  uint32_t a_seconds, a_nanoseconds;
  int64_t x;
  uint32_t x_raw, ssrc, timestamp;
  uint16_t epoch;
  uint8_t second_byte, tos;
  uint16_t bytes, ordinal;
  uint64_t index;
  uint32_t r_seconds, r_nanoseconds, y_raw;
  int64_t y;
  uint32_t echo_count, echo_residence_ns;
  uint16_t echo_host;
  uint8_t x_cpu, y_cpu, r_cpu, echo_is_local;
  uint8_t unused[50];
};
_Static_assert(sizeof(struct row) == 128 && offsetof(struct row, x_raw) == 16 && offsetof(struct row, index) == 36 && offsetof(struct row, y) == 56 && offsetof(struct row, x_cpu) == 74, "rows.py");

enum { EPOCH, SSRC, FIRST_INDEX, TOS, DUPLICATE_SOURCE = 5, UNMATCHED = 8 };

struct slot {
  int64_t words[HEADER_BYTES / 8];
  struct row rows[ROWS_PER_SLOT];
};

struct call {
  int asterisk, echo;
  uint64_t highest;
  uint16_t epoch, ordinal;
  uint32_t ssrc;
};

static struct slot *slots;
static struct call calls[MOST_SLOTS];
static int slot_of[MOST_DESCRIPTORS], echo_port, poll_descriptor;

static int open_leg(int slot, int port, int peer) {
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in mine = loopback(port), theirs = loopback(peer);
  set_option(descriptor, SO_REUSEPORT, 1);
  if (bind(descriptor, (struct sockaddr *)&mine, sizeof mine) || connect(descriptor, (struct sockaddr *)&theirs, sizeof theirs)) {
    fprintf(stderr, "port %d: %s\n", port, strerror(errno));
    exit(1);
  }
  set_option(descriptor, SO_TIMESTAMPNS, 1);
  mark_expedited(descriptor);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor};
  if (descriptor >= MOST_DESCRIPTORS || epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, descriptor, &event)) fail("epoll_ctl");
  slot_of[descriptor] = slot;
  return descriptor;
}

static void begin_epoch(int slot, uint16_t sequence, uint32_t ssrc) {
  struct call *call = &calls[slot];
  int64_t *words = slots[slot].words;
  call->highest = ((call->highest >> 16) + 2) << 16 | sequence;
  call->ssrc = ssrc;
  call->epoch++;
  words[EPOCH] = call->epoch;
  words[FIRST_INDEX] = (int64_t)call->highest;
  words[SSRC] = ssrc;
}

static uint8_t processor(void) {
  int number = sched_getcpu();
  return number >= 0 && number < UNKNOWN_CPU ? (uint8_t)number : UNKNOWN_CPU;
}

static struct row *row_of(int slot, uint64_t index) {
  return &slots[slot].rows[index % ROWS_PER_SLOT];
}

static void to_echo(int slot, unsigned char *packet, const struct received *got, uint16_t sequence, uint32_t ssrc) {
  struct call *call = &calls[slot];
  uint64_t index;
  int16_t ahead = (int16_t)(sequence - (uint16_t)call->highest);
  if (!call->epoch || ssrc != call->ssrc || ahead >= MAX_DROPOUT || ahead < -MAX_MISORDER) {
    begin_epoch(slot, sequence, ssrc);
    index = call->highest;
  } else {
    index = call->highest + (uint64_t)(int64_t)ahead;
    if (row_of(slot, index)->index == index) {
      slots[slot].words[DUPLICATE_SOURCE]++;
      return;
    }
    if (ahead > 0) call->highest = index;
  }
  struct row *row = row_of(slot, index);
  uint32_t timestamp;
  memcpy(&timestamp, packet + 4, 4);
  memset(row, 0, offsetof(struct row, unused));
  row->x_cpu = processor();
  row->r_cpu = UNKNOWN_CPU;
  row->a_seconds = (uint32_t)(got->stamp_ns / NS_PER_SECOND);
  row->a_nanoseconds = (uint32_t)(got->stamp_ns % NS_PER_SECOND);
  row->ssrc = ssrc;
  row->timestamp = ntohl(timestamp);
  row->epoch = call->epoch;
  row->second_byte = packet[1];
  row->tos = EXPEDITED;
  row->bytes = (uint16_t)got->size;
  row->ordinal = ++call->ordinal;
  row->x = clock_ns(CLOCK_REALTIME);
  row->x_raw = (uint32_t)(clock_ns(CLOCK_MONOTONIC_RAW) / RAW_UNIT_NS);
  __atomic_store_n(&slots[slot].words[SSRC], (int64_t)ssrc, __ATOMIC_RELEASE);
  row->index = index;
  send(call->echo, packet, (size_t)got->size, 0);
}

static void to_asterisk(int slot, unsigned char *packet, const struct received *got, uint16_t sequence, uint32_t ssrc) {
  struct call *call = &calls[slot];
  uint64_t index = call->highest + (uint64_t)(int64_t)(int16_t)(sequence - (uint16_t)call->highest);
  struct row *row = row_of(slot, index);
  if (row->index != index || row->ssrc != ssrc || row->y) {
    slots[slot].words[UNMATCHED]++;
    return;
  }
  row->r_seconds = (uint32_t)(got->stamp_ns / NS_PER_SECOND);
  row->r_nanoseconds = (uint32_t)(got->stamp_ns % NS_PER_SECOND);
  int64_t y = clock_ns(CLOCK_REALTIME);
  row->y_raw = (uint32_t)(clock_ns(CLOCK_MONOTONIC_RAW) / RAW_UNIT_NS);
  row->y_cpu = processor();
  send(call->asterisk, packet, (size_t)got->size, 0);
  row->y = y;
}

static void take(int descriptor) {
  unsigned char packet[LARGEST_PACKET];
  int slot = slot_of[descriptor];
  struct received got = receive(descriptor, packet, sizeof packet);
  if (got.size < 12 || (packet[0] & 0xC0) != 0x80) return;
  uint16_t sequence;
  uint32_t ssrc;
  memcpy(&sequence, packet + 2, 2);
  memcpy(&ssrc, packet + 8, 4);
  if (descriptor == calls[slot].asterisk) {
    to_echo(slot, packet, &got, ntohs(sequence), ntohl(ssrc));
  } else {
    to_asterisk(slot, packet, &got, ntohs(sequence), ntohl(ssrc));
  }
}

static void obey(const char *line) {
  int slot, port, peer;
  if (sscanf(line, "open %d %d %d", &slot, &port, &peer) == 3 && slot >= 0 && slot < MOST_SLOTS) {
    memset(&slots[slot], 0, sizeof slots[slot]);
    memset(&calls[slot], 0, sizeof calls[slot]);
    slots[slot].words[TOS] = EXPEDITED;
    calls[slot].asterisk = open_leg(slot, port, peer);
    calls[slot].echo = open_leg(slot, port, echo_port);
    printf("opened %d\n", slot);
  } else if (sscanf(line, "close %d", &slot) == 1 && slot >= 0 && slot < MOST_SLOTS) {
    close(calls[slot].asterisk);
    close(calls[slot].echo);
    printf("closed %d\n", slot);
  } else {
    fprintf(stderr, "not understood: %s\n", line);
    exit(2);
  }
  fflush(stdout);
}

static void take_lines(void) {
  static char text[LINE_BYTES];
  static size_t held;
  ssize_t size = read(STDIN_FILENO, text + held, sizeof text - held - 1);
  if (size <= 0) exit(0);
  held += (size_t)size;
  text[held] = 0;
  char *line = text;
  for (char *end; (end = strchr(line, '\n')); line = end + 1) {
    *end = 0;
    obey(line);
  }
  held = strlen(line);
  memmove(text, line, held);
}

int main(int count, char **arguments) {
  if (count != 4) {
    fprintf(stderr, "usage: relay_rows ROWS_DESCRIPTOR SLOTS ECHO_PORT\n");
    return 2;
  }
  size_t bytes = (size_t)atoi(arguments[2]) * sizeof(struct slot);
  slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, atoi(arguments[1]), 0);
  if (slots == MAP_FAILED) fail("mmap");
  echo_port = atoi(arguments[3]);
  poll_descriptor = epoll_create1(0);
  struct epoll_event told = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
  if (epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, STDIN_FILENO, &told)) fail("epoll_ctl");
  say("ready");
  for (;;) {
    struct epoll_event events[EVENTS];
    int found = epoll_wait(poll_descriptor, events, EVENTS, -1);
    for (int each = 0; each < found; each++) {
      if (events[each].data.fd == STDIN_FILENO) {
        take_lines();
      } else {
        take(events[each].data.fd);
      }
    }
  }
}
