/*
 * Hostile datagrams to a relay's ports, a bounded number of them.
 *
 * usage: flood strangers PACKETS SEED FIRST_CALL STRANGER_PORT PORT...
 *   From 127.0.0.1 and 127.0.0.2, neither of them the call's peer: each datagram looks like a packet of the very call whose
 *   port it goes to (its SSRC, sequence numbers close by). Prints a line of JSON: sent, and the packets that returned to the strangers.
 *
 * usage: flood fuzz SEED CALLS FIRST_PORT ECHO_PORT PORT...
 *   From the call's own peer and from the echo's address: RTP of that call with bits flipped, cut short, made longer, or
 *   chance altogether. Prints "ready", then sends the number in each line and prints "sent N". Ends with its input.
 */
#define _GNU_SOURCE
#include "wire.h"

#define MOST_CALLS 1024
#define PAUSE_EVERY 64
#define PAUSE_NS 2000000LL
#define LARGEST_FUZZ 1500

static int targets[MOST_CALLS], calls;

static void pause_now(void) {
  struct timespec pause = {0, PAUSE_NS};
  nanosleep(&pause, NULL);
}

static int stranger_socket(const char *address, int port) {
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in mine = loopback(port);
  inet_pton(AF_INET, address, &mine.sin_addr);
  if (bind(descriptor, (struct sockaddr *)&mine, sizeof mine)) fail(address);
  return descriptor;
}

static uint64_t drain(int descriptor) {
  unsigned char packet[LARGEST_PACKET];
  uint64_t came = 0;
  while (recv(descriptor, packet, sizeof packet, 0) >= 0 || errno == ECONNREFUSED) came += errno != ECONNREFUSED, errno = 0;
  return came;
}

static int strangers(uint64_t packets, uint64_t seed, int first_call, int port) {
  int sockets[2] = {stranger_socket("127.0.0.1", port), stranger_socket("127.0.0.2", port)};
  uint64_t state = seed, sent = 0;
  for (uint64_t each = 0; each < packets; each++) {
    int call = (int)(each % (uint64_t)calls);
    struct stream stream = stream_of(seed, first_call + call);
    struct sockaddr_in target = loopback(targets[call]);
    unsigned char packet[RTP_BYTES];
    rtp_packet(packet, &stream, 1 + (uint32_t)(chance(&state) % 1000));
    sent += sendto(sockets[each & 1], packet, sizeof packet, 0, (struct sockaddr *)&target, sizeof target) > 0;
  }
  pause_now();
  printf("{\"sent\": %llu, \"cameBack\": %llu}\n", (unsigned long long)sent, (unsigned long long)(drain(sockets[0]) + drain(sockets[1])));
  return 0;
}

static size_t fuzzed(unsigned char *packet, const struct stream *stream, uint32_t n, uint64_t *state) {
  size_t size = RTP_BYTES;
  rtp_packet(packet, stream, n);
  switch (chance(state) % 6) {
  case 0: /* one to eight bits of the header */
    for (uint64_t flips = 1 + chance(state) % 8; flips; flips--) packet[chance(state) % 12] ^= (unsigned char)(1u << chance(state) % 8);
    break;
  case 1: /* cut short, down to nothing */
    size = chance(state) % RTP_BYTES;
    break;
  case 2: /* too long */
    size = RTP_BYTES + chance(state) % (LARGEST_FUZZ - RTP_BYTES);
    break;
  case 3: /* lists, padding and extensions that lie about their lengths */
    packet[0] = (unsigned char)(0x80 | chance(state) % 64);
    for (size_t at = 12; at < 32; at++) packet[at] = (unsigned char)chance(state);
    break;
  case 4: /* chance altogether */
    size = chance(state) % LARGEST_FUZZ;
    for (size_t at = 0; at < size; at++) packet[at] = (unsigned char)chance(state);
    break;
  default: /* any sequence number and timestamp, and RTCP's payload types */
    for (size_t at = 1; at < 8; at++) packet[at] = (unsigned char)chance(state);
  }
  return size;
}

static int fuzz(uint64_t seed, int first_port, int echo_port) {
  static int peers[MOST_CALLS];
  static uint32_t numbers[MOST_CALLS];
  uint64_t state = seed, wanted;
  int echo = bound_socket(echo_port);
  for (int call = 0; call < calls; call++) {
    struct sockaddr_in target = loopback(targets[call]);
    peers[call] = bound_socket(first_port + call);
    if (connect(peers[call], (struct sockaddr *)&target, sizeof target)) fail("connect");
  }
  say("ready");
  int call = 0;
  while (scanf("%llu", (unsigned long long *)&wanted) == 1) {
    for (uint64_t sent = 0; sent < wanted; sent++, call = (call + 1) % calls) {
      struct stream stream = stream_of(seed, call);
      unsigned char packet[LARGEST_PACKET] = {0};
      size_t size = fuzzed(packet, &stream, numbers[call]++, &state);
      struct sockaddr_in target = loopback(targets[call]);
      if (chance(&state) & 1)
        send(peers[call], packet, size, 0);
      else
        sendto(echo, packet, size, 0, (struct sockaddr *)&target, sizeof target);
      if (sent % PAUSE_EVERY == 0) {
        drain(peers[call]);
        drain(echo);
        pause_now();
      }
    }
    printf("sent %llu\n", (unsigned long long)wanted);
    fflush(stdout);
  }
  return 0;
}

int main(int count, char **arguments) {
  int fixed = 6;
  if (count <= fixed || count - fixed > MOST_CALLS) {
    fprintf(stderr, "usage: flood strangers PACKETS SEED FIRST_CALL STRANGER_PORT PORT...\n"
                    "       flood fuzz SEED CALLS FIRST_PORT ECHO_PORT PORT...\n");
    return 2;
  }
  calls = count - fixed;
  for (int call = 0; call < calls; call++) targets[call] = atoi(arguments[fixed + call]);
  if (!strcmp(arguments[1], "strangers"))
    return strangers(strtoull(arguments[2], NULL, 10), strtoull(arguments[3], NULL, 10), atoi(arguments[4]), atoi(arguments[5]));
  return fuzz(strtoull(arguments[2], NULL, 10), atoi(arguments[4]), atoi(arguments[5]));
}
