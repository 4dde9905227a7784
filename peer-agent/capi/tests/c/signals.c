/* A host that keeps the system's default for SIGPIPE, has a handler of its own for another signal, and meets somebody at the attester's
 * address who takes connections and hangs up in the worst moments.
 *
 *   signals FOLDER ROOT ENDPOINT COUNT */
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

static pthread_t host;
static volatile sig_atomic_t handled, elsewhere;

static void handle(int signal) {
    (void)signal;
    handled++;
    if (!pthread_equal(pthread_self(), host)) elsewhere++;
}

int main(int argc, char **argv) {
    CHECK(argc == 5);
    host = pthread_self();
    struct sigaction action = {0};
    action.sa_handler = handle;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    long count = strtol(argv[4], NULL, 10);
    CHECK(count > 0);
    char identity[4096];
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    peer_agent_config *config = settings(argv[3], argv[2], identity);
    for (long round = 0; round < count; round++) {
        peer_agent *agent = NULL;
        peer_agent_standing *standing = NULL;
        OK(peer_agent_start(config, &agent, NULL));
        /* To the process, while this thread does not take it: another that did would run the handler. */
        sigset_t one, pending;
        sigemptyset(&one);
        sigaddset(&one, SIGUSR1);
        CHECK(pthread_sigmask(SIG_BLOCK, &one, NULL) == 0);
        CHECK(kill(getpid(), SIGUSR1) == 0);
        CHECK(sigpending(&pending) == 0 && sigismember(&pending, SIGUSR1) == 1);
        CHECK(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0);
        uint64_t seen = 0;
        bool told = false;
        while (!told) {
            OK(peer_agent_wait(agent, seen, 20000, &standing, NULL));
            seen = standing->sequence;
            told = standing->reason != NULL;
            peer_agent_standing_free(&standing);
        }
        OK(peer_agent_stop(agent, 20000, NULL));
        peer_agent_free(&agent);
    }
    peer_agent_config_free(&config);
    CHECK(handled == count && elsewhere == 0);
    printf("signals: %ld agents were hung up on\n", count);
    return 0;
}
