/* The smallest host: starts an agent and tells where the peer stands, until nothing changes for a while.
 *
 *   standing ATTESTER ROOT_KEY ADDRESS CERTIFICATE
 *
 * A real host has a proxy beside it, and asks peer_agent_flow_open at each connection that it opens for a client. */
#include <peer_agent.h>
#include <stdio.h>
#include <stdlib.h>

static int failed(peer_agent_error *error) {
    fprintf(stderr, "standing: %s\n", peer_agent_error_message(error));
    peer_agent_error_free(&error);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: standing ATTESTER ROOT_KEY ADDRESS CERTIFICATE\n");
        return 2;
    }
    char pem[1 << 14];
    FILE *file = fopen(argv[4], "rb");
    if (file == NULL) {
        perror(argv[4]);
        return 1;
    }
    size_t length = fread(pem, 1, sizeof pem, file);
    fclose(file);

    peer_agent_error *error = NULL;
    peer_agent_config *config = NULL;
    peer_agent *agent = NULL;
    if (peer_agent_config_new(&config, &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_config_add_attester(config, argv[1], &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_config_set_root_key(config, argv[2], &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_config_set_address(config, argv[3], &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_config_set_certificate_pem(config, (const uint8_t *)pem, length, &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_config_set_identity_file(config, "peer.key", &error) != PEER_AGENT_STATUS_OK ||
        peer_agent_start(config, &agent, &error) != PEER_AGENT_STATUS_OK) {
        peer_agent_config_free(&config);
        return failed(error);
    }
    peer_agent_config_free(&config);

    uint64_t seen = 0;
    peer_agent_standing *standing = NULL;
    while (peer_agent_wait(agent, seen, 1500, &standing, NULL) == PEER_AGENT_STATUS_OK) {
        seen = standing->sequence;
        printf("%s\n", standing->sentence);
        peer_agent_standing_free(&standing);
    }
    peer_agent_stop(agent, 2500, NULL);
    peer_agent_free(&agent);
    return 0;
}
