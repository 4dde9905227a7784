/* A host that may have no more threads: the start says so, and nothing is left behind. Not for root, whom no limit of processes holds.
 *
 *   no_threads FOLDER ROOT */
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 3);
    char identity[4096];
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    peer_agent_config *config = settings("127.0.0.1:1", argv[2], identity);
    peer_agent *agent = NULL;
    peer_agent_error *error = NULL;
    /* Made while it is allowed: the file that the identity is in. */
    OK(peer_agent_start(config, &agent, NULL));
    peer_agent_free(&agent);
    if (geteuid() == 0) {
        CHECK(setgid(65534) == 0);
        CHECK(setuid(65534) == 0);
    }
    struct rlimit none = {0, 0};
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
    CHECK_STATUS(PEER_AGENT_STATUS_SYSTEM, peer_agent_start(config, &agent, &error));
    CHECK(agent == NULL);
    expect_error(&error, PEER_AGENT_STATUS_SYSTEM, "no thread");
    peer_agent_config_free(&config);
    puts("no_threads: told as it is");
    return 0;
}
