/*
 * The least that a relay can do: two connected sockets per port, epoll, recv and send. It measures nothing.
 * Reads lines "PORT PEER_PORT" from standard input up to end of file, all on 127.0.0.1; argument: the echo's port.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_DESCRIPTORS 65536
#define LARGEST_PACKET 2048
#define EVENTS 64

static int other[MOST_DESCRIPTORS];

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int open_socket(int port, int peer) {
  int one = 1, descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in mine = loopback(port), theirs = loopback(peer);
  setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  if (bind(descriptor, (struct sockaddr *)&mine, sizeof mine) || connect(descriptor, (struct sockaddr *)&theirs, sizeof theirs)) {
    fprintf(stderr, "port %d: %s\n", port, strerror(errno));
    exit(1);
  }
  return descriptor;
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: relay ECHO_PORT\n");
    return 2;
  }
  int echo = atoi(arguments[1]), poll = epoll_create1(0), port, peer;
  while (scanf("%d %d", &port, &peer) == 2) {
    int source = open_socket(port, peer), target = open_socket(port, echo);
    int pair[2] = {source, target};
    other[source] = target;
    other[target] = source;
    for (int each = 0; each < 2; each++) {
      struct epoll_event event = {.events = EPOLLIN, .data.fd = pair[each]};
      epoll_ctl(poll, EPOLL_CTL_ADD, pair[each], &event);
    }
  }
  puts("ready");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int found = epoll_wait(poll, events, EVENTS, -1);
    for (int each = 0; each < found; each++) {
      unsigned char packet[LARGEST_PACKET];
      int descriptor = events[each].data.fd;
      ssize_t size = recv(descriptor, packet, sizeof packet, 0);
      if (size >= 0) send(other[descriptor], packet, (size_t)size, 0);
    }
  }
}
