// Call sites of functions that use up descriptors or memory, and failures injected at one of them.
//
// Loaded with LD_PRELOAD into Python programs. A site is a role (the module after -m), a function of the C library, and
// the Python frames of the call: the innermost one, and the innermost one of the product. CALL_SITES names a file, mapped
// shared, through which the rig arms one site; new sites are appended to the file of this name with `.sites`.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 16384, SITE_BYTES = 512, ROLE_BYTES = 64, MAX_SEEN = 1024, MAX_TRIES = 1000 };

// The layout is that of `call_sites.py`. With `until_ns` 0 one call fails; otherwise all until then. With `error` 0
// EMFILE and ENOMEM take turns. `generation` asks each process to list its sites again.
struct control {
  uint64_t site, until_ns;
  uint32_t error, generation, hits, unused;
};

static struct control *control;
static char role[ROLE_BYTES], sites_path[4096];
static int stack_descriptor = -1;
static const char *python_begin, *python_end;
static void *(*this_thread)(void);
static void (*dump_stack)(int, void *);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seen[MAX_SEEN];
static uint32_t seen_count, seen_generation;
static __thread int busy;
static __thread void *last_caller;
static __thread uint64_t last_site;
static __thread uint32_t last_generation;

static void find_role(void) {
  char words[2048];
  int descriptor = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  long size = syscall(SYS_read, descriptor, words, sizeof words - 1);
  syscall(SYS_close, descriptor);
  if (size < 0) size = 0;
  words[size] = 0;
  for (char *word = words; word < words + size; word += strlen(word) + 1)
    if (!strcmp(word, "-m")) snprintf(role, sizeof role, "%s", word + 3);
  if (!role[0]) snprintf(role, sizeof role, "%.*s", ROLE_BYTES - 1, words);
}

// The addresses of the module that holds the interpreter: a call from elsewhere has no Python frame of its own.
static void find_python(void) {
  Dl_info python;
  if (!dladdr((void *)this_thread, &python)) return;
  char line[4096];
  FILE *maps = fopen("/proc/self/maps", "re");
  while (maps && fgets(line, sizeof line, maps)) {
    unsigned long begin, end;
    if (!strstr(line, python.dli_fname) || sscanf(line, "%lx-%lx", &begin, &end) != 2) continue;
    if (!python_begin) python_begin = (char *)begin;
    python_end = (char *)end;
  }
  if (maps) fclose(maps);
}

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("CALL_SITES");
  busy = 1;
  this_thread = (void *(*)(void))dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
  dump_stack = (void (*)(int, void *))dlsym(RTLD_DEFAULT, "_Py_DumpTraceback");
  if (path && this_thread && dump_stack) {
    find_role();
    find_python();
    snprintf(sites_path, sizeof sites_path, "%s.sites", path);
    stack_descriptor = syscall(SYS_memfd_create, "call-sites", MFD_CLOEXEC);
    int descriptor = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (mapped != MAP_FAILED) control = mapped;
  }
  busy = 0;
}

static const char *after_folder(const char *path, long length) {
  const char *found = path;
  for (const char *at = path; at < path + length; at++)
    if (*at == '/') found = at + 1;
  return found;
}

// Writes `file:line function` of one line of a dumped stack; product files keep their path from `rtppool_` on.
static void write_frame(const char *line, char *to, size_t room) {
  const char *path = strchr(line, '"'), *end = path ? strchr(path + 1, '"') : NULL;
  int number = 0;
  char function[128] = "";
  if (!end || sscanf(end, "\", line %d in %127s", &number, function) < 1) return;
  const char *product = strstr(path, "rtppool_");
  const char *begin = product && product < end ? product : after_folder(path + 1, end - path - 1);
  snprintf(to, room, "%.*s:%d %s", (int)(end - begin), begin, number, function);
}

static void describe(const char *function, void *caller, char *site) {
  char stack[STACK_BYTES], innermost[200] = "", product[200] = "";
  void *thread = (char *)caller < python_begin || (char *)caller >= python_end ? NULL : this_thread();
  Dl_info where;
  if (!thread && (!dladdr(caller, &where) || !strstr(where.dli_fname, ".cpython-"))) {
    snprintf(site, SITE_BYTES, "%s\t%s\tcompiled code", role, function);
    return;
  }
  if (!thread) thread = this_thread();
  if (!thread) {
    snprintf(site, SITE_BYTES, "%s\t%s\tno Python thread", role, function);
    return;
  }
  syscall(SYS_ftruncate, stack_descriptor, 0);
  syscall(SYS_lseek, stack_descriptor, 0, SEEK_SET);
  dump_stack(stack_descriptor, thread);
  long size = syscall(SYS_pread64, stack_descriptor, stack, sizeof stack - 1, 0);
  stack[size < 0 ? 0 : size] = 0;
  if (strstr(stack, "<frozen importlib._bootstrap>")) {
    snprintf(site, SITE_BYTES, "%s\t%s\timport", role, function);
    return;
  }
  char *rest = NULL;
  for (char *line = strtok_r(stack, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
    if (!strstr(line, "File \"")) continue;
    if (!innermost[0]) write_frame(line, innermost, sizeof innermost);
    if (!product[0] && strstr(line, "rtppool_")) write_frame(line, product, sizeof product);
  }
  int same = !strcmp(innermost, product);
  snprintf(site, SITE_BYTES, "%s\t%s\t%s%s%s", role, function, innermost, same || !product[0] ? "" : " < ", same ? "" : product);
}

static uint64_t key_of(const char *site) {
  uint64_t key = 14695981039346656037ull;  // FNV-1a
  for (; *site; site++) key = (key ^ (unsigned char)*site) * 1099511628211ull;
  return key;
}

static void list_once(uint64_t key, const char *site) {
  if (seen_generation != control->generation) seen_count = 0, seen_generation = control->generation;
  for (uint32_t at = 0; at < seen_count; at++)
    if (seen[at] == key) return;
  if (seen_count < MAX_SEEN) seen[seen_count++] = key;
  char line[SITE_BYTES + 32];
  int length = snprintf(line, sizeof line, "%016llx\t%s\n", (unsigned long long)key, site);
  int descriptor = syscall(SYS_openat, AT_FDCWD, sites_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  syscall(SYS_write, descriptor, line, length);
  syscall(SYS_close, descriptor);
}

static uint64_t site_of(const char *function, void *caller) {
  // The packet path receives from one place of compiled code, again and again.
  if (caller == last_caller && last_generation == control->generation) return last_site;
  // A process that was just forked may have inherited a held lock.
  for (int tries = 0; pthread_mutex_trylock(&lock); tries++) {
    if (tries > MAX_TRIES) return 0;
    sched_yield();
  }
  char site[SITE_BYTES];
  describe(function, caller, site);
  uint64_t key = key_of(site);
  list_once(key, site);
  if (strstr(site, "compiled code")) last_caller = caller, last_site = key, last_generation = control->generation;
  pthread_mutex_unlock(&lock);
  return key;
}

static int error_for(const char *function, void *caller) {
  if (!control || busy) return 0;
  int before = errno;
  busy = 1;
  uint64_t site = site_of(function, caller), armed = __atomic_load_n(&control->site, __ATOMIC_ACQUIRE);
  busy = 0;
  errno = before;
  if (!site || site != armed) return 0;
  if (control->until_ns) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    if ((uint64_t)now.tv_sec * 1000000000ull + now.tv_nsec >= control->until_ns) return 0;
  } else if (!__atomic_compare_exchange_n(&control->site, &armed, 0, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    return 0;
  }
  uint32_t hit = __atomic_fetch_add(&control->hits, 1, __ATOMIC_RELAXED);
  if (control->error) return control->error;
  return hit % 2 ? ENOMEM : EMFILE;
}

#define REFUSE(function)                                               \
  do {                                                                 \
    int error = error_for(function, __builtin_return_address(0));      \
    if (error) {                                                       \
      errno = error;                                                   \
      return -1;                                                       \
    }                                                                  \
  } while (0)

#define NEXT(name, result, ...)                                        \
  static result (*next)(__VA_ARGS__);                                  \
  if (!next) next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

int socket(int domain, int type, int protocol) {
  REFUSE("socket");
  return syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int pair[2]) {
  REFUSE("socketpair");
  return syscall(SYS_socketpair, domain, type, protocol, pair);
}

int accept(int listener, struct sockaddr *address, socklen_t *size) {
  REFUSE("accept");
  NEXT("accept", int, int, struct sockaddr *, socklen_t *);
  return next(listener, address, size);
}

int accept4(int listener, struct sockaddr *address, socklen_t *size, int flags) {
  REFUSE("accept");
  NEXT("accept4", int, int, struct sockaddr *, socklen_t *, int);
  return next(listener, address, size, flags);
}

#define OPEN(name, real)                                               \
  int name(const char *path, int flags, ...) {                         \
    REFUSE("open");                                                    \
    mode_t mode = 0;                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                               \
      va_list more;                                                    \
      va_start(more, flags);                                           \
      mode = va_arg(more, mode_t);                                     \
      va_end(more);                                                    \
    }                                                                  \
    NEXT(real, int, const char *, int, ...);                           \
    return next(path, flags, mode);                                    \
  }

OPEN(open, "open")
OPEN(open64, "open64")

int epoll_create(int size) {
  REFUSE("epoll_create");
  (void)size;
  return syscall(SYS_epoll_create1, 0);
}

int epoll_create1(int flags) {
  REFUSE("epoll_create");
  return syscall(SYS_epoll_create1, flags);
}

int memfd_create(const char *name, unsigned flags) {
  REFUSE("memfd_create");
  return syscall(SYS_memfd_create, name, flags);
}

int pipe(int ends[2]) {
  REFUSE("pipe");
  return syscall(SYS_pipe2, ends, 0);
}

int pipe2(int ends[2], int flags) {
  REFUSE("pipe");
  return syscall(SYS_pipe2, ends, flags);
}

pid_t fork(void) {
  REFUSE("fork");
  NEXT("fork", pid_t, void);
  return next();
}

// A wrapper cannot return twice on one stack. Python falls back to fork, where errors are injected.
pid_t vfork(void) {
  if (control) {
    errno = ENOSYS;
    return -1;
  }
  NEXT("fork", pid_t, void);
  return next();
}

ssize_t recvmsg(int descriptor, struct msghdr *message, int flags) {
  REFUSE("recvmsg");
  NEXT("recvmsg", ssize_t, int, struct msghdr *, int);
  return next(descriptor, message, flags);
}
