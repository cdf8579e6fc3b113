/* Shared by the reference programs: loopback addresses, the two clocks, kernel receive stamps, and RTP as Asterisk sends it. */
#ifndef WIRE_H
#define WIRE_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_TIMESTAMPNS
#define SO_TIMESTAMPNS 35
#endif
#ifndef SCM_TIMESTAMPNS
#define SCM_TIMESTAMPNS SO_TIMESTAMPNS
#endif
#ifndef SO_RXQ_OVFL
#define SO_RXQ_OVFL 40
#endif

#define NS_PER_SECOND 1000000000LL
#define LARGEST_PACKET 2048
#define RTP_BYTES 172 /* 12 of header, 160 of µ-law: 20 ms */
#define SAMPLES 160
#define PACKET_NS 20000000LL
#define ANCILLARY_BYTES 512

static inline void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static inline struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static inline int bound_socket(int port) {
  int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in mine = loopback(port);
  if (descriptor < 0 || bind(descriptor, (struct sockaddr *)&mine, sizeof mine)) {
    fprintf(stderr, "port %d: %s\n", port, strerror(errno));
    exit(1);
  }
  return descriptor;
}

static inline void set_option(int descriptor, int option, int value) {
  if (setsockopt(descriptor, SOL_SOCKET, option, &value, sizeof value)) fail("setsockopt");
}

/* The limit for ordinary users caps it; root goes above, so that a pause of ours is not the relay's loss. */
static inline void large_buffers(int descriptor) {
  int bytes = 8 << 20;
  if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)) set_option(descriptor, SO_RCVBUF, bytes);
}

/* Asterisk marks audio EF (RFC 3246), and so does the relay. */
static inline void mark_expedited(int descriptor) {
  int traffic_class = 46 << 2;
  if (setsockopt(descriptor, IPPROTO_IP, IP_TOS, &traffic_class, sizeof traffic_class)) fail("IP_TOS");
}

static inline int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

/* splitmix64: the same seed gives the same run. */
static inline uint64_t chance(uint64_t *state) {
  uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

/* Call `number` of a run: its SSRC, first sequence number and first timestamp are chance, but known. */
struct stream {
  uint32_t ssrc, timestamp;
  uint16_t sequence;
};

static inline struct stream stream_of(uint64_t seed, int number) {
  uint64_t state = seed * 1000003ULL + (uint64_t)number;
  struct stream stream;
  stream.ssrc = (uint32_t)chance(&state) | 1;
  stream.timestamp = (uint32_t)chance(&state);
  stream.sequence = (uint16_t)chance(&state);
  return stream;
}

/* Packet `n` of a stream. The first has the marker (RFC 3551 section 4.1). */
static inline void rtp_packet(unsigned char *packet, const struct stream *stream, uint32_t n) {
  uint16_t sequence = htons((uint16_t)(stream->sequence + n));
  uint32_t timestamp = htonl(stream->timestamp + n * SAMPLES), ssrc = htonl(stream->ssrc);
  packet[0] = 0x80;
  packet[1] = n ? 0 : 0x80;
  memcpy(packet + 2, &sequence, 2);
  memcpy(packet + 4, &timestamp, 4);
  memcpy(packet + 8, &ssrc, 4);
  memset(packet + 12, 0x9e, SAMPLES);
}

/* One datagram with its kernel stamp (CLOCK_REALTIME, ns) and the count of datagrams that this socket has dropped. */
struct received {
  ssize_t size;
  int64_t stamp_ns;
  uint32_t overflow;
  struct sockaddr_in sender;
};

static inline struct received receive(int descriptor, unsigned char *packet, size_t space) {
  struct received got = {0};
  unsigned char beside[ANCILLARY_BYTES];
  struct iovec vector = {packet, space};
  struct msghdr message = {.msg_name = &got.sender, .msg_namelen = sizeof got.sender, .msg_iov = &vector,
                           .msg_iovlen = 1, .msg_control = beside, .msg_controllen = sizeof beside};
  got.size = recvmsg(descriptor, &message, 0);
  if (got.size < 0) return got;
  for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET) continue;
    if (item->cmsg_type == SCM_TIMESTAMPNS) {
      struct timespec stamp;
      memcpy(&stamp, CMSG_DATA(item), sizeof stamp);
      got.stamp_ns = stamp.tv_sec * NS_PER_SECOND + stamp.tv_nsec;
    } else if (item->cmsg_type == SO_RXQ_OVFL) {
      memcpy(&got.overflow, CMSG_DATA(item), sizeof got.overflow);
    }
  }
  if (!got.stamp_ns) got.stamp_ns = clock_ns(CLOCK_REALTIME);
  return got;
}

static inline void say(const char *line) {
  puts(line);
  fflush(stdout);
}

#endif
