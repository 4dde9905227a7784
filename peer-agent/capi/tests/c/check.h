/* What the C tests share: a check that says where it failed and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer_agent.h"

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);       \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

#define CHECK_STATUS(wanted, call)                                                        \
    do {                                                                                  \
        unsigned found_ = (unsigned)(call);                                               \
        if (found_ != (unsigned)(wanted)) {                                               \
            fprintf(stderr, "%s:%d: %s, not %s: %s\n", __FILE__, __LINE__,                \
                    peer_agent_status_name(found_), peer_agent_status_name(wanted), #call); \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

#define OK(call) CHECK_STATUS(PEER_AGENT_STATUS_OK, call)

/* An error that must be there with these words in it; it is freed, twice. */
static inline void expect_error(peer_agent_error **error, peer_agent_status status, const char *words) {
    CHECK(*error != NULL);
    CHECK_STATUS(status, peer_agent_error_status(*error));
    if (strstr(peer_agent_error_message(*error), words) == NULL) {
        fprintf(stderr, "no \"%s\" in \"%s\"\n", words, peer_agent_error_message(*error));
        exit(1);
    }
    peer_agent_error_free(error);
    CHECK(*error == NULL);
    peer_agent_error_free(error);
}

/* Settings that work, for an attester at `endpoint`, with the identity in the file `identity`. */
static inline peer_agent_config *settings(const char *endpoint, const char *root, const char *identity) {
    static const unsigned char pin[32] = {7};
    peer_agent_config *config = NULL;
    OK(peer_agent_config_new(&config, NULL));
    OK(peer_agent_config_add_attester(config, endpoint, NULL));
    OK(peer_agent_config_set_root_key(config, root, NULL));
    OK(peer_agent_config_set_identity_file(config, identity, NULL));
    OK(peer_agent_config_set_address(config, "127.0.0.1:443", NULL));
    OK(peer_agent_config_set_certificate_pin(config, pin, sizeof pin, NULL));
    return config;
}

#endif
