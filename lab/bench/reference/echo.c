/* The least that an echo can do: recvfrom and sendto on one blocking socket, and nothing else. Argument: its port. */
#include "wire.h"

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "usage: echo PORT\n");
    return 2;
  }
  int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in mine = loopback(atoi(arguments[1]));
  if (bind(descriptor, (struct sockaddr *)&mine, sizeof mine)) fail("bind");
  large_buffers(descriptor);
  mark_expedited(descriptor);
  say("ready");
  for (;;) {
    unsigned char packet[LARGEST_PACKET];
    struct sockaddr_in sender;
    socklen_t length = sizeof sender;
    ssize_t size = recvfrom(descriptor, packet, sizeof packet, 0, (struct sockaddr *)&sender, &length);
    if (size >= 0) sendto(descriptor, packet, (size_t)size, 0, (struct sockaddr *)&sender, length);
  }
}
