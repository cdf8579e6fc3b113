/* A kernel and a clock from a seed, loaded with LD_PRELOAD: the system calls of the packet path on scripted descriptors.
 * Other descriptors reach the real kernel. While a script runs, the clock is the script's. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { MAX_CALLS = 16, KEPT = 64, MAX_BYTES = 2300, STAMP = 37, EXTENSION = 28, FILLED = 17, FIRST_PORT = 8000 };
enum { EPOLL = 7999, COMMANDS = 7998, MAX_STAMPS = 8 };

struct packet { int bytes; unsigned char data[MAX_BYTES]; };
struct call {
    uint16_t sequence;
    uint32_t timestamp, ssrc;
    uint64_t sent, answered;
    struct packet kept[KEPT];
    unsigned char peer[28];
};
struct stamps { uint32_t next, waiting, number[MAX_STAMPS]; int64_t at[MAX_STAMPS]; };

static struct call calls[MAX_CALLS];
static struct stamps stamps[2 * MAX_CALLS];
static int count, active;
static uint64_t chance, budget, digest = 1469598103934665603ull;
static int64_t now_ns, raw_ns;

static uint64_t draw(void)
{
    chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
    return chance * 2685821657736338717ull >> 16;
}

static int one_in(int many) { return draw() % many == 0; }

static void add(const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes; at++)
        digest = (digest ^ ((const unsigned char *)data)[at]) * 1099511628211ull;
}

static int fail(int code) { errno = code; return -1; }

static int is_scripted(int descriptor) { return descriptor >= FIRST_PORT && descriptor < FIRST_PORT + 2 * count; }

void script_begin(uint64_t seed, int calls_count)
{
    chance = seed, count = calls_count;
    now_ns = 1700000000ll * 1000000000, raw_ns = 5000000000ll;
    for (int at = 0; at < count; at++)
        calls[at].sequence = draw(), calls[at].timestamp = draw(), calls[at].ssrc = 1 + draw() % 3;
}

void script_peer(int call, const unsigned char *address) { memcpy(calls[call].peer, address, 28); }

void script_packets(uint64_t packets) { budget = packets; }

void script_active(int on) { active = on; }

uint64_t script_digest(void) { return digest; }

static void make_packet(struct call *call, struct packet *packet)
{
    static const unsigned char odd_first[] = {0x90, 0x81, 0xa0, 0x00, 0x8f, 0xc0};
    uint16_t sequence = call->sequence;
    packet->bytes = one_in(20) ? (int)(draw() % 2100) : 172;
    for (int at = 0; at < packet->bytes; at += 8) {
        uint64_t bytes = draw();
        memcpy(packet->data + at, &bytes, 8);
    }
    if (one_in(100))
        return;
    if (one_in(60))
        sequence -= draw() % 130;
    else if (one_in(300))
        sequence = call->sequence += draw() % 65536;
    else if (one_in(50))
        call->sequence = sequence += 1 + draw() % 5;
    if (one_in(150))
        call->ssrc = 1 + draw() % 3;
    packet->data[0] = one_in(50) ? odd_first[draw() % sizeof odd_first] : 0x80;
    packet->data[1] = one_in(100) ? 0x80 : 0;
    uint32_t timestamp = call->timestamp + 160 * (uint32_t)sequence;
    for (int at = 0; at < 4; at++) {
        packet->data[4 + at] = timestamp >> 8 * (3 - at);
        packet->data[8 + at] = call->ssrc >> 8 * (3 - at);
    }
    packet->data[2] = sequence >> 8, packet->data[3] = sequence;
    if (sequence == call->sequence)
        call->sequence++;
}

static void make_answer(struct call *call, struct packet *packet)
{
    uint64_t which = one_in(10) || call->answered >= call->sent ? draw() % KEPT : call->answered++ % KEPT;
    *packet = call->kept[which];
    if (packet->bytes >= 12 + EXTENSION && packet->data[0] == 0x90 && !one_in(5)) {
        packet->data[FILLED] = 1;
        for (int at = FILLED + 1; at < 12 + EXTENSION; at++)
            packet->data[at] = draw();
    }
    if (one_in(200) && packet->bytes)
        packet->data[draw() % packet->bytes] = draw();
    if (one_in(200))
        packet->bytes = draw() % MAX_BYTES;
}

static size_t control_message(unsigned char *at, int level, int type, const void *data, size_t bytes)
{
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(bytes), .cmsg_level = level, .cmsg_type = type};
    memcpy(at, &header, sizeof header);
    memcpy(at + CMSG_LEN(0), data, bytes);
    return CMSG_SPACE(bytes);
}

static void add_control(struct msghdr *message)
{
    unsigned char *control = message->msg_control, tos = one_in(9) ? draw() : 184;
    size_t bytes = 0;
    int64_t stamp = now_ns - (int64_t)(one_in(500) ? draw() % 3000000000ull : draw() % 20000);
    struct timespec times[3] = {{stamp / 1000000000, stamp % 1000000000}};
    if (!one_in(30))
        bytes += control_message(control, SOL_SOCKET, STAMP, times, sizeof times);
    if (!one_in(30))
        bytes += one_in(2) ? control_message(control + bytes, IPPROTO_IP, IP_TOS, &tos, 1)
                           : control_message(control + bytes, IPPROTO_IPV6, IPV6_TCLASS, &(int){tos}, sizeof(int));
    message->msg_controllen = bytes;
}

static ssize_t receive_stamp(struct stamps *own, struct msghdr *message)
{
    if (!own->waiting)
        return fail(EAGAIN);
    uint32_t at = --own->waiting;
    uint32_t error[4] = {ENOMSG, one_in(20) ? 1 : 4, 0, own->number[at]};
    struct timespec times[3] = {{own->at[at] / 1000000000, own->at[at] % 1000000000}};
    size_t bytes = control_message(message->msg_control, SOL_SOCKET, STAMP, times, sizeof times);
    bytes += control_message((unsigned char *)message->msg_control + bytes, IPPROTO_IP, IP_RECVERR, error, sizeof error);
    message->msg_controllen = bytes;
    return 0;
}

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags)
{
    if (!is_scripted(descriptor))
        return ((ssize_t(*)(int, struct msghdr *, int))dlsym(RTLD_NEXT, "recvmsg"))(descriptor, message, flags);
    int place = descriptor - FIRST_PORT, is_echo = place % 2;
    struct call *call = &calls[place / 2];
    static struct packet packet;
    if (flags & MSG_ERRQUEUE)
        return receive_stamp(&stamps[place], message);
    if (one_in(50))
        return fail(one_in(4) ? ECONNREFUSED : EAGAIN);
    if (is_echo)
        make_answer(call, &packet);
    else
        make_packet(call, &packet);
    size_t room = message->msg_iov->iov_len;
    size_t bytes = packet.bytes < (int)room ? (size_t)packet.bytes : room;
    memcpy(message->msg_iov->iov_base, packet.data, bytes);
    message->msg_flags = bytes < (size_t)packet.bytes ? MSG_TRUNC : 0;
    if (message->msg_name) {
        memcpy(message->msg_name, call->peer, 28);
        if (one_in(10))
            ((unsigned char *)message->msg_name)[draw() % 28] ^= 1;
    }
    add_control(message);
    budget -= budget > 0;
    return bytes;
}

static ssize_t leave(int descriptor, const unsigned char *data, size_t bytes)
{
    int place = descriptor - FIRST_PORT;
    struct call *call = &calls[place / 2];
    if (one_in(100))
        return fail(ECONNREFUSED);
    add(&descriptor, sizeof descriptor);
    add(data, bytes);
    if (place % 2) {
        struct packet *kept = &call->kept[call->sent++ % KEPT];
        kept->bytes = bytes;
        memcpy(kept->data, data, bytes);
    }
    return bytes;
}

ssize_t send(int descriptor, const void *data, size_t bytes, int flags)
{
    if (!is_scripted(descriptor))
        return ((ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send"))(descriptor, data, bytes, flags);
    return leave(descriptor, data, bytes);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    if (!is_scripted(descriptor))
        return ((ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg"))(descriptor, message, flags);
    struct stamps *own = &stamps[descriptor - FIRST_PORT];
    ssize_t sent = leave(descriptor, message->msg_iov->iov_base, message->msg_iov->iov_len);
    if (sent >= 0) {
        add(message->msg_control, message->msg_controllen);
        if (!one_in(10) && own->waiting < MAX_STAMPS) {
            own->number[own->waiting] = own->next;
            own->at[own->waiting++] = now_ns + (int64_t)(draw() % 9000) - 200;
        }
        own->next++;
    }
    return sent;
}

int setsockopt(int descriptor, int level, int name, const void *value, socklen_t bytes)
{
    if (!is_scripted(descriptor))
        return ((int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt"))(descriptor, level, name,
                                                                                                 value, bytes);
    add(&(int[3]){descriptor, level, name}, sizeof(int[3]));
    add(value, bytes);
    memset(&stamps[descriptor - FIRST_PORT], 0, sizeof *stamps);
    return 0;
}

int getsockopt(int descriptor, int level, int name, void *value, socklen_t *bytes)
{
    if (!is_scripted(descriptor))
        return ((int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt"))(descriptor, level, name, value,
                                                                                             bytes);
    if (one_in(9))
        return fail(ENOPROTOOPT);
    *(int *)value = (int)(draw() % 400) - 1;
    return 0;
}

int epoll_wait(int descriptor, struct epoll_event *events, int room, int timeout_ms)
{
    if (descriptor != EPOLL)
        return ((int (*)(int, struct epoll_event *, int, int))dlsym(RTLD_NEXT, "epoll_wait"))(descriptor, events, room,
                                                                                              timeout_ms);
    active = budget > 0;
    if (!active) {
        events[0].data.fd = COMMANDS;
        return 1;
    }
    if (one_in(1000))
        return fail(EINTR);
    int readable = 1 + draw() % (2 * count);
    for (int at = 0; at < readable; at++)
        events[at].data.fd = FIRST_PORT + draw() % (2 * count);
    return readable;
}

int sched_getcpu(void) { return active ? (int)(draw() % 400) - 1 : 0; }

int clock_gettime(clockid_t clock, struct timespec *time)
{
    if (!active)
        return ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(clock, time);
    int64_t passed = one_in(5000) ? draw() % 3000000000ull : draw() % 400000;
    raw_ns += passed, now_ns += passed;
    if (one_in(100000))
        now_ns += (int64_t)(draw() % 4000000000ull) - 2000000000ll;
    int64_t read = clock == CLOCK_REALTIME ? now_ns : raw_ns;
    time->tv_sec = read / 1000000000, time->tv_nsec = read % 1000000000;
    return 0;
}
