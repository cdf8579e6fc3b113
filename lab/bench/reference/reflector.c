/*
 * An echo that knows the truth: it holds every packet for 0.2 to 50 ms, drawn from SEED (log-uniform), and keeps the kernel's
 * stamps of its arrival (SO_TIMESTAMPNS) and of its departure (SO_TIMESTAMPING at the driver, by OPT_ID from the error queue).
 *
 * usage: reflector PORT SEED RECORDS [HOLD_US SLOW_PPM SLOW_US]
 * With HOLD_US it holds every packet for this time, and a share of them for SLOW_US.
 * Says "ready"; at the end of standard input writes RECORDS (ssrc, sequence, arrived ns, departed ns) and a line of JSON.
 */
#define _GNU_SOURCE
#include "wire.h"
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <math.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#define SHORTEST_NS 200000.0
#define LONGEST_NS 50000000.0
#define MOST_RECORDS (1u << 22)
#define MOST_HELD 65536
#define RECORD_OF(id) ((id) & (MOST_RECORDS - 1))

struct record {
  uint32_t ssrc, sequence;
  int64_t arrived_ns, departed_ns;
};

struct held {
  int64_t due_ns; /* monotonic */
  int64_t arrived_ns;
  struct sockaddr_in sender;
  size_t size;
  unsigned char packet[LARGEST_PACKET];
};

static struct held *heap[MOST_HELD];
static size_t held, unstamped, refused;
static struct record *records;
static uint32_t sent;
static int64_t hold_ns = -1, slow_ns;
static double slow_share;

static int64_t hold_for(uint64_t *state) {
  double share = (double)(chance(state) >> 11) / (double)(1ULL << 53);
  if (hold_ns >= 0) return share < slow_share ? slow_ns : hold_ns;
  return (int64_t)(SHORTEST_NS * pow(LONGEST_NS / SHORTEST_NS, share));
}

static void push(struct held *one) {
  size_t at = held++;
  for (; at && heap[(at - 1) / 2]->due_ns > one->due_ns; at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
  heap[at] = one;
}

static struct held *pop(void) {
  struct held *first = heap[0], *last = heap[--held];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < held; at = child) {
    if (child + 1 < held && heap[child + 1]->due_ns < heap[child]->due_ns) child++;
    if (heap[child]->due_ns >= last->due_ns) break;
    heap[at] = heap[child];
  }
  heap[at] = last;
  return first;
}

static void take(int descriptor, uint64_t *state) {
  for (;;) {
    struct held *one = malloc(sizeof *one);
    if (!one) fail("malloc");
    struct received got = receive(descriptor, one->packet, sizeof one->packet);
    if (got.size < 12 || held == MOST_HELD) {
      free(one);
      if (got.size < 0) return;
      refused++;
      continue;
    }
    one->size = (size_t)got.size;
    one->sender = got.sender;
    one->arrived_ns = got.stamp_ns;
    one->due_ns = clock_ns(CLOCK_MONOTONIC) + hold_for(state);
    push(one);
  }
}

static void send_due(int descriptor) {
  while (held && heap[0]->due_ns <= clock_ns(CLOCK_MONOTONIC)) {
    struct held *one = pop();
    struct record *record = &records[RECORD_OF(sent)];
    uint16_t sequence;
    memcpy(&sequence, one->packet + 2, 2);
    memcpy(&record->ssrc, one->packet + 8, 4);
    record->ssrc = ntohl(record->ssrc);
    record->sequence = ntohs(sequence);
    record->arrived_ns = one->arrived_ns;
    record->departed_ns = 0;
    if (sendto(descriptor, one->packet, one->size, 0, (struct sockaddr *)&one->sender, sizeof one->sender) >= 0)
      sent++;
    else
      refused++;
    free(one);
  }
}

static void take_departures(int descriptor) {
  for (;;) {
    unsigned char beside[ANCILLARY_BYTES], nothing[1];
    struct iovec vector = {nothing, sizeof nothing};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = beside, .msg_controllen = sizeof beside};
    if (recvmsg(descriptor, &message, MSG_ERRQUEUE) < 0) return;
    int64_t stamp = 0, id = -1;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
      if (item->cmsg_level == SOL_SOCKET && item->cmsg_type == SCM_TIMESTAMPING) {
        struct scm_timestamping stamps;
        memcpy(&stamps, CMSG_DATA(item), sizeof stamps);
        stamp = stamps.ts[0].tv_sec * NS_PER_SECOND + stamps.ts[0].tv_nsec;
      } else if (item->cmsg_level == SOL_IP && item->cmsg_type == IP_RECVERR) {
        struct sock_extended_err error;
        memcpy(&error, CMSG_DATA(item), sizeof error);
        if (error.ee_errno == ENOMSG && error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING) id = error.ee_data;
      }
    }
    if (stamp && id >= 0) records[RECORD_OF((uint32_t)id)].departed_ns = stamp;
  }
}

int main(int count, char **arguments) {
  if (count != 4 && count != 7) {
    fprintf(stderr, "usage: reflector PORT SEED RECORDS [HOLD_US SLOW_PPM SLOW_US]\n");
    return 2;
  }
  if (count == 7) {
    hold_ns = atoll(arguments[4]) * 1000;
    slow_share = atof(arguments[5]) / 1e6;
    slow_ns = atoll(arguments[6]) * 1000;
  }
  uint64_t state = strtoull(arguments[2], NULL, 10);
  prctl(PR_SET_TIMERSLACK, 1);
  records = calloc(MOST_RECORDS, sizeof *records);
  if (!records) fail("records");
  int descriptor = bound_socket(atoi(arguments[1])), poll = epoll_create1(0);
  large_buffers(descriptor);
  mark_expedited(descriptor);
  set_option(descriptor, SO_TIMESTAMPNS, 1);
  set_option(descriptor, SO_TIMESTAMPING,
             SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptor}, input = {.events = EPOLLIN, .data.fd = STDIN_FILENO};
  epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
  epoll_ctl(poll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
  say("ready");
  for (int running = 1; running;) {
    int64_t left = held ? heap[0]->due_ns - clock_ns(CLOCK_MONOTONIC) : NS_PER_SECOND;
    if (left < 0) left = 0;
    struct timespec timeout = {left / NS_PER_SECOND, left % NS_PER_SECOND};
    struct epoll_event events[2];
    int found = epoll_pwait2(poll, events, 2, &timeout, NULL);
    for (int each = 0; each < found; each++) {
      if (events[each].data.fd == STDIN_FILENO) {
        running = 0;
      } else {
        take_departures(descriptor);
        take(descriptor, &state);
      }
    }
    send_due(descriptor);
  }
  take_departures(descriptor);
  uint32_t kept = sent < MOST_RECORDS ? sent : MOST_RECORDS;
  for (uint32_t each = 0; each < kept; each++) unstamped += !records[each].departed_ns;
  FILE *file = fopen(arguments[3], "wb");
  if (!file || fwrite(records, sizeof *records, kept, file) != kept || fclose(file)) fail(arguments[3]);
  printf("{\"sent\": %u, \"kept\": %u, \"unstamped\": %zu, \"refused\": %zu, \"held\": %zu}\n", sent, kept, unstamped, refused, held);
  return 0;
}
