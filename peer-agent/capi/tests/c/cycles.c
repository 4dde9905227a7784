/* Agents that are started and stopped, one after the other: no thread, no file and no memory stays.
 *
 *   cycles FOLDER ROOT COUNT */
#include <dirent.h>
#include <time.h>

#include "check.h"

static size_t entries(const char *path) {
    size_t count = 0;
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    while (readdir(folder) != NULL) count++;
    closedir(folder);
    return count;
}

/* Resident pages of this process. */
static long resident(void) {
    long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file != NULL && fscanf(file, "%ld %ld", &size, &pages) == 2);
    fclose(file);
    return pages;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    char identity[4096];
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    long count = strtol(argv[3], NULL, 10), half = 0;
    CHECK(count >= 10);
    size_t tasks = entries("/proc/self/task"), files = 0;
    peer_agent_config *config = settings("127.0.0.1:1", argv[2], identity);
    for (long cycle = 1; cycle <= count; cycle++) {
        peer_agent *agent = NULL;
        OK(peer_agent_start(config, &agent, NULL));
        if (cycle % 2 == 0) OK(peer_agent_stop(agent, 20000, NULL));
        peer_agent_free(&agent);
        /* The first agent of a process makes a pair of sockets that all share. */
        if (cycle == 1) files = entries("/proc/self/fd");
        if (cycle == count / 2) half = resident();
    }
    long grown = resident() - half;
    peer_agent_config_free(&config);
    /* A thread of the runtime ends by itself after the stop: it may still be on its way out. */
    for (int look = 0; entries("/proc/self/task") > tasks && look < 10000; look++) {
        struct timespec moment = {0, 1000000};
        nanosleep(&moment, NULL);
    }
    printf("cycles: %ld; tasks %zu and %zu, files %zu and %zu; %ld pages more than half way\n", count, tasks,
           entries("/proc/self/task"), files, entries("/proc/self/fd"), grown);
    CHECK(entries("/proc/self/task") == tasks);
    CHECK(entries("/proc/self/fd") == files);
#ifndef __SANITIZE_ADDRESS__
    /* 8 KB a cycle of a thousand: what the allocator (or valgrind) keeps varies, an agent that leaks is larger. The sanitizer keeps
     * all that was freed, and finds leaks itself. */
    CHECK(grown < count);
#endif
    return 0;
}
