/* 64 threads that ask about flows, read the standing and wait for it, while another one pauses, resumes, asks for probes and stops.
 *
 *   threads FOLDER ROOT ROUNDS */
#include <pthread.h>

#include "check.h"

enum { THREADS = 64 };

static peer_agent *agent;
static long rounds;

static void *ask(void *argument) {
    long number = *(const long *)argument;
    char destination[64];
    int length = snprintf(destination, sizeof destination, "site-%ld.example:443", number);
    for (long round = 0; round < rounds; round++) {
        peer_agent_flow *flow = NULL;
        peer_agent_standing *standing = NULL;
        bool armed = true;
        OK(peer_agent_flow_open(agent, destination, (size_t)length, &flow, NULL));
        CHECK(flow == NULL);
        OK(peer_agent_is_armed(agent, destination, (size_t)length, &armed, NULL));
        CHECK(!armed);
        if (round % 16 == 0) {
            OK(peer_agent_standing_get(agent, &standing, NULL));
            uint64_t seen = standing->sequence;
            CHECK(strlen(standing->peer_id) == 26);
            peer_agent_standing_free(&standing);
            peer_agent_status status = peer_agent_wait(agent, seen, 1, &standing, NULL);
            CHECK((status == PEER_AGENT_STATUS_OK) == (standing != NULL));
            CHECK(status == PEER_AGENT_STATUS_OK || status == PEER_AGENT_STATUS_TIMED_OUT ||
                  status == PEER_AGENT_STATUS_STOPPED);
            peer_agent_standing_free(&standing);
        }
    }
    /* Whoever waits for a change that does not come is woken by the stop. */
    peer_agent_status status = PEER_AGENT_STATUS_OK;
    for (uint64_t seen = 0; status != PEER_AGENT_STATUS_STOPPED;) {
        peer_agent_standing *standing = NULL;
        status = peer_agent_wait(agent, seen, 60000, &standing, NULL);
        CHECK(status == PEER_AGENT_STATUS_OK || status == PEER_AGENT_STATUS_STOPPED);
        if (standing != NULL) seen = standing->sequence;
        peer_agent_standing_free(&standing);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    char identity[4096];
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    rounds = strtol(argv[3], NULL, 10);
    CHECK(rounds > 0);
    peer_agent_config *config = settings("127.0.0.1:1", argv[2], identity);
    OK(peer_agent_start(config, &agent, NULL));
    peer_agent_config_free(&config);

    pthread_t threads[THREADS];
    long numbers[THREADS];
    for (long number = 0; number < THREADS; number++) {
        numbers[number] = number;
        CHECK(pthread_create(&threads[number], NULL, ask, &numbers[number]) == 0);
    }
    for (int turn = 0; turn < 20; turn++) {
        OK(peer_agent_pause(agent, NULL));
        OK(peer_agent_resume(agent, NULL));
        OK(peer_agent_retest(agent, NULL));
    }
    OK(peer_agent_stop(agent, 60000, NULL));
    for (int number = 0; number < THREADS; number++) CHECK(pthread_join(threads[number], NULL) == 0);
    peer_agent_free(&agent);
    printf("threads: %d asked %ld times each\n", THREADS, rounds);
    return 0;
}
