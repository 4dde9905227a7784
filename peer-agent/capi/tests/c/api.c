/* Every function, every NULL, calls in a wrong order, freeing twice, use after the stop.
 *
 *   api FOLDER ROOT CERTIFICATE   a folder to write in, a root key, a file with a PEM certificate */
#include "check.h"

static char identity[4096];
static const char *root, *certificate;

/* With an error object wanted and not wanted, a NULL answers the same. */
#define NULLS(name, call, call_without)                                                   \
    do {                                                                                  \
        peer_agent_error *error = (peer_agent_error *)&error;                             \
        CHECK_STATUS(PEER_AGENT_STATUS_NULL_ARGUMENT, call);                              \
        expect_error(&error, PEER_AGENT_STATUS_NULL_ARGUMENT, name " is NULL");           \
        CHECK_STATUS(PEER_AGENT_STATUS_NULL_ARGUMENT, call_without);                      \
    } while (0)
#define NULL_OF(name, function, ...) NULLS(name, function(__VA_ARGS__, &error), function(__VA_ARGS__, NULL))

/* The error of a setting that cannot work. */
#define WRONG(status, words, function, ...)                                               \
    do {                                                                                  \
        peer_agent_error *error = NULL;                                                   \
        CHECK_STATUS(status, function(__VA_ARGS__, &error));                              \
        expect_error(&error, status, words);                                              \
    } while (0)

static void words(void) {
    CHECK(peer_agent_abi_version() == PEER_AGENT_ABI_VERSION);
    CHECK(strchr(peer_agent_version(), '.') != NULL);
    CHECK(strcmp(peer_agent_status_name(PEER_AGENT_STATUS_OK), "ok") == 0);
    CHECK(strcmp(peer_agent_status_name(PEER_AGENT_STATUS_PANIC), "panic") == 0);
    CHECK(strcmp(peer_agent_status_name(PEER_AGENT_STATUS_PANIC + 1), "unknown") == 0);
    CHECK(strcmp(peer_agent_status_name(4294967295u), "unknown") == 0);
    OK(peer_agent_error_status(NULL));
    CHECK(strcmp(peer_agent_error_message(NULL), "") == 0);
}

static void freeing_nothing(void) {
    peer_agent_error *error = NULL;
    peer_agent_config *config = NULL;
    peer_agent *agent = NULL;
    peer_agent_flow *flow = NULL;
    peer_agent_standing *standing = NULL;
    char *text = NULL;
    peer_agent_error_free(&error);
    peer_agent_error_free(NULL);
    peer_agent_config_free(&config);
    peer_agent_config_free(NULL);
    peer_agent_free(&agent);
    peer_agent_free(NULL);
    peer_agent_flow_close(&flow);
    peer_agent_flow_close(NULL);
    peer_agent_standing_free(&standing);
    peer_agent_standing_free(NULL);
    peer_agent_string_free(&text);
    peer_agent_string_free(NULL);
}

static void nulls(void) {
    peer_agent_config *config = NULL;
    const unsigned char byte = 1;
    NULLS("config_out", peer_agent_config_new(NULL, &error), peer_agent_config_new(NULL, NULL));
    OK(peer_agent_config_new(&config, NULL));

    NULL_OF("config", peer_agent_config_add_attester, NULL, "a:1");
    NULL_OF("endpoint", peer_agent_config_add_attester, config, NULL);
    NULL_OF("config", peer_agent_config_set_root_key, NULL, root);
    NULL_OF("root_key", peer_agent_config_set_root_key, config, NULL);
    NULL_OF("config", peer_agent_config_set_identity_file, NULL, "x");
    NULL_OF("path", peer_agent_config_set_identity_file, config, NULL);
    NULL_OF("config", peer_agent_config_set_identity_key, NULL, &byte, 1);
    NULL_OF("pem", peer_agent_config_set_identity_key, config, NULL, 1);
    NULL_OF("config", peer_agent_config_set_keyset_file, NULL, "x");
    NULL_OF("path", peer_agent_config_set_keyset_file, config, NULL);
    NULL_OF("config", peer_agent_config_set_address, NULL, "127.0.0.1:443");
    NULL_OF("address", peer_agent_config_set_address, config, NULL);
    NULL_OF("config", peer_agent_config_set_listening_port, NULL, 1);
    NULL_OF("config", peer_agent_config_set_protocols, NULL, PEER_AGENT_PROTOCOL_CONNECT);
    NULL_OF("config", peer_agent_config_set_certificate_pin, NULL, &byte, 1);
    NULL_OF("pin", peer_agent_config_set_certificate_pin, config, NULL, 32);
    NULL_OF("config", peer_agent_config_set_certificate_pem, NULL, &byte, 1);
    NULL_OF("pem", peer_agent_config_set_certificate_pem, config, NULL, 1);
    NULL_OF("config", peer_agent_config_set_connect_token, NULL, "x");
    NULL_OF("config", peer_agent_config_set_bind, NULL, "127.0.0.1");
    NULL_OF("config", peer_agent_config_set_software, NULL, "x");
    NULL_OF("software", peer_agent_config_set_software, config, NULL);
    /* Where NULL means none. */
    OK(peer_agent_config_set_connect_token(config, NULL, NULL));
    OK(peer_agent_config_set_bind(config, NULL, NULL));

    /* An answer is nulled whatever else is wrong. */
    peer_agent *agent = (peer_agent *)&agent;
    NULL_OF("config", peer_agent_start, NULL, &agent);
    CHECK(agent == NULL);
    NULL_OF("agent_out", peer_agent_start, config, NULL);
    NULL_OF("agent", peer_agent_stop, NULL, 0);
    bool armed = true;
    NULL_OF("agent", peer_agent_is_armed, NULL, "a:1", 3, &armed);
    CHECK(!armed);
    peer_agent_standing *standing = (peer_agent_standing *)&standing;
    NULL_OF("agent", peer_agent_standing_get, NULL, &standing);
    CHECK(standing == NULL);
    standing = (peer_agent_standing *)&standing;
    NULL_OF("agent", peer_agent_wait, NULL, 0, 0, &standing);
    CHECK(standing == NULL);
    char *json = (char *)&json;
    NULL_OF("agent", peer_agent_standing_json, NULL, &json);
    CHECK(json == NULL);
    NULLS("agent", peer_agent_pause(NULL, &error), peer_agent_pause(NULL, NULL));
    NULLS("agent", peer_agent_resume(NULL, &error), peer_agent_resume(NULL, NULL));
    NULLS("agent", peer_agent_retest(NULL, &error), peer_agent_retest(NULL, NULL));
    peer_agent_flow *flow = (peer_agent_flow *)&flow;
    NULL_OF("agent", peer_agent_flow_open, NULL, "a:1", 3, &flow);
    CHECK(flow == NULL);
    NULL_OF("flow", peer_agent_flow_up, NULL, &byte, 1);
    NULL_OF("flow", peer_agent_flow_down, NULL, &byte, 1);
    NULLS("flow", peer_agent_flow_eof(NULL, &error), peer_agent_flow_eof(NULL, NULL));
    NULLS("flow", peer_agent_flow_error(NULL, &error), peer_agent_flow_error(NULL, NULL));
    peer_agent_config_free(&config);
    CHECK(config == NULL);
    peer_agent_config_free(&config);
}

static void settings_that_cannot_work(void) {
    peer_agent_config *config = NULL;
    const unsigned char pin[32] = {0};
    OK(peer_agent_config_new(&config, NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "host:port", peer_agent_config_add_attester, config, "nowhere");
    WRONG(PEER_AGENT_STATUS_INVALID_UTF8, "endpoint is not UTF-8", peer_agent_config_add_attester, config, "\xff:1");
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "root_key", peer_agent_config_set_root_key, config, "ed25519:abc");
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "path is empty", peer_agent_config_set_identity_file, config, "");
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "PEM", peer_agent_config_set_identity_key, config, pin, 32);
    WRONG(PEER_AGENT_STATUS_NULL_ARGUMENT, "length", peer_agent_config_set_certificate_pem, config, pin, (size_t)-1);
    WRONG(PEER_AGENT_STATUS_INVALID_UTF8, "pem", peer_agent_config_set_identity_key, config,
          (const unsigned char *)"\xff", 1);
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "path is empty", peer_agent_config_set_keyset_file, config, "");
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "203.0.113.7:443", peer_agent_config_set_address, config, "example.org");
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "PEER_AGENT_PROTOCOL_", peer_agent_config_set_protocols, config, 0);
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "PEER_AGENT_PROTOCOL_", peer_agent_config_set_protocols, config, 8);
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "31 bytes", peer_agent_config_set_certificate_pin, config, pin, 31);
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "no certificate", peer_agent_config_set_certificate_pem, config, NULL, 0);
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "no IP address", peer_agent_config_set_bind, config, "127.0.0.1:80");

    /* What is missing is named, with the function that sets it, one after the other. */
    peer_agent *agent = NULL;
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "peer_agent_config_set_root_key", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_root_key(config, root, NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "peer_agent_config_set_identity_file", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_identity_file(config, identity, NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "peer_agent_config_set_address", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_address(config, "127.0.0.1:443", NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "peer_agent_config_set_certificate_pem", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_certificate_pin(config, pin, sizeof pin, NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "peer_agent_config_add_attester", peer_agent_start, config, &agent);
    OK(peer_agent_config_add_attester(config, "127.0.0.1:1", NULL));

    /* What only shows together. */
    OK(peer_agent_config_set_bind(config, "::1", NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "both must be IPv4", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_bind(config, "127.0.0.1", NULL));
    OK(peer_agent_config_set_connect_token(config, "not visible", NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "token", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_connect_token(config, "sesame", NULL));
    OK(peer_agent_config_set_address(config, "0.0.0.0:443", NULL));
    WRONG(PEER_AGENT_STATUS_INVALID_SETTING, "public IP address", peer_agent_start, config, &agent);
    OK(peer_agent_config_set_address(config, "127.0.0.1:443", NULL));
    char *folder = strdup(identity);
    CHECK(folder != NULL);
    *strrchr(folder, '/') = '\0';
    OK(peer_agent_config_set_identity_file(config, folder, NULL));
    WRONG(PEER_AGENT_STATUS_IDENTITY, "identity", peer_agent_start, config, &agent);
    free(folder);
    CHECK(agent == NULL);
    peer_agent_config_free(&config);
}

static unsigned char *contents(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = malloc(1 << 16);
    CHECK(file != NULL && bytes != NULL);
    *length = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    return bytes;
}

/* A whole life, with nobody at the other end. */
static void a_life(void) {
    peer_agent_config *config = settings("127.0.0.1:1", root, identity);
    size_t length = 0;
    unsigned char *pem = contents(certificate, &length);
    OK(peer_agent_config_set_certificate_pem(config, pem, length, NULL));
    free(pem);
    OK(peer_agent_config_set_listening_port(config, 8443, NULL));
    OK(peer_agent_config_set_protocols(config, PEER_AGENT_PROTOCOL_ENPROXY | PEER_AGENT_PROTOCOL_ENPROXY_PATH, NULL));
    OK(peer_agent_config_set_software(config, "c-test 1.0", NULL));

    peer_agent *agent = NULL;
    OK(peer_agent_start(config, &agent, NULL));
    CHECK(agent != NULL);
    peer_agent_config_free(&config);

    peer_agent_standing *standing = NULL;
    OK(peer_agent_standing_get(agent, &standing, NULL));
    CHECK(standing->sequence >= 1 && standing->state == PEER_AGENT_STATE_CONNECTING);
    CHECK(strcmp(standing->state_name, "connecting") == 0);
    CHECK(strlen(standing->peer_id) == 26 && strlen(standing->sentence) > 0);
    CHECK(standing->own_name == NULL && standing->last_verdict == 0 && standing->valid_until == 0);
    peer_agent_standing_free(&standing);
    CHECK(standing == NULL);
    peer_agent_standing_free(&standing);

    /* Nobody listens there: it is told, and waited for. */
    uint64_t seen = 0;
    do {
        peer_agent_standing_free(&standing);
        OK(peer_agent_wait(agent, seen, 20000, &standing, NULL));
        CHECK(standing->sequence > seen);
        seen = standing->sequence;
    } while (standing->reason == NULL);
    CHECK(strlen(standing->remedy) > 0 && strstr(standing->sentence, standing->remedy) != NULL);
    peer_agent_standing_free(&standing);
    CHECK_STATUS(PEER_AGENT_STATUS_TIMED_OUT, peer_agent_wait(agent, UINT64_MAX, 0, &standing, NULL));
    CHECK(standing == NULL);
    NULL_OF("standing_out", peer_agent_wait, agent, 0, 0, NULL);
    NULL_OF("standing_out", peer_agent_standing_get, agent, NULL);

    char *json = NULL;
    OK(peer_agent_standing_json(agent, &json, NULL));
    CHECK(json[0] == '{' && strstr(json, "\"peer_id\":\"") != NULL && strstr(json, "\"own_name\":null") != NULL);
    peer_agent_string_free(&json);
    CHECK(json == NULL);
    peer_agent_string_free(&json);
    NULL_OF("json_out", peer_agent_standing_json, agent, NULL);

    /* Nothing is announced: no flow, whatever is asked. */
    bool armed = true;
    OK(peer_agent_is_armed(agent, "origin.example:80", 17, &armed, NULL));
    CHECK(!armed);
    OK(peer_agent_is_armed(agent, NULL, 0, &armed, NULL));
    OK(peer_agent_is_armed(agent, "\xff\xfe", 2, &armed, NULL));
    CHECK(!armed);
    NULL_OF("destination", peer_agent_is_armed, agent, NULL, 3, &armed);
    NULL_OF("armed_out", peer_agent_is_armed, agent, "a:1", 3, NULL);
    peer_agent_flow *flow = (peer_agent_flow *)&flow;
    OK(peer_agent_flow_open(agent, "origin.example:80", 17, &flow, NULL));
    CHECK(flow == NULL);
    OK(peer_agent_flow_open(agent, "\xff\xfe", 2, &flow, NULL));
    OK(peer_agent_flow_open(agent, NULL, 0, &flow, NULL));
    CHECK(flow == NULL);
    NULL_OF("destination", peer_agent_flow_open, agent, NULL, 3, &flow);
    NULL_OF("flow_out", peer_agent_flow_open, agent, "a:1", 3, NULL);

    OK(peer_agent_pause(agent, NULL));
    OK(peer_agent_pause(agent, NULL));
    for (;;) {
        OK(peer_agent_standing_get(agent, &standing, NULL));
        bool paused = standing->state == PEER_AGENT_STATE_PAUSED;
        seen = standing->sequence;
        peer_agent_standing_free(&standing);
        if (paused) break;
        OK(peer_agent_wait(agent, seen, 20000, &standing, NULL));
        peer_agent_standing_free(&standing);
    }
    OK(peer_agent_resume(agent, NULL));
    OK(peer_agent_resume(agent, NULL));
    OK(peer_agent_retest(agent, NULL));

    /* Stopped, it answers that it is; what was known stays known. */
    OK(peer_agent_stop(agent, 20000, NULL));
    OK(peer_agent_stop(agent, 0, NULL));
    CHECK_STATUS(PEER_AGENT_STATUS_STOPPED, peer_agent_pause(agent, NULL));
    CHECK_STATUS(PEER_AGENT_STATUS_STOPPED, peer_agent_resume(agent, NULL));
    CHECK_STATUS(PEER_AGENT_STATUS_STOPPED, peer_agent_retest(agent, NULL));
    OK(peer_agent_standing_get(agent, &standing, NULL));
    CHECK(standing->state == PEER_AGENT_STATE_STOPPED);
    seen = standing->sequence;
    peer_agent_standing_free(&standing);
    peer_agent_error *error = (peer_agent_error *)&error;
    CHECK_STATUS(PEER_AGENT_STATUS_STOPPED, peer_agent_wait(agent, seen, 20000, &standing, &error));
    CHECK(standing == NULL && error == NULL);
    OK(peer_agent_wait(agent, 0, 0, &standing, NULL));
    peer_agent_standing_free(&standing);
    OK(peer_agent_standing_json(agent, &json, NULL));
    CHECK(strstr(json, "\"state\":\"stopped\"") != NULL);
    peer_agent_string_free(&json);
    OK(peer_agent_flow_open(agent, "origin.example:80", 17, &flow, NULL));
    CHECK(flow == NULL);
    OK(peer_agent_is_armed(agent, "origin.example:80", 17, &armed, NULL));
    peer_agent_free(&agent);
    CHECK(agent == NULL);
    peer_agent_free(&agent);

    /* The identity that was made as a key in hand; and freed without a stop. */
    pem = contents(identity, &length);
    config = settings("127.0.0.1:1", root, identity);
    OK(peer_agent_config_set_identity_key(config, pem, length, NULL));
    char keyset[sizeof identity + 8];
    snprintf(keyset, sizeof keyset, "%s.keyset", identity);
    OK(peer_agent_config_set_keyset_file(config, keyset, NULL));
    OK(peer_agent_start(config, &agent, NULL));
    peer_agent_config_free(&config);
    free(pem);
    peer_agent_free(&agent);
    CHECK(agent == NULL);
    config = settings("127.0.0.1:1", root, identity);
    OK(peer_agent_start(config, &agent, NULL));
    peer_agent_config_free(&config);
    /* Without a moment for it a stop goes on by itself; and can be waited for. */
    peer_agent_status status = peer_agent_stop(agent, 0, NULL);
    CHECK(status == PEER_AGENT_STATUS_TIMED_OUT || status == PEER_AGENT_STATUS_OK);
    CHECK_STATUS(PEER_AGENT_STATUS_STOPPED, peer_agent_pause(agent, NULL));
    OK(peer_agent_stop(agent, 20000, NULL));
    peer_agent_free(&agent);
}

int main(int argc, char **argv) {
    CHECK(argc == 4);
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    root = argv[2];
    certificate = argv[3];
    words();
    freeing_nothing();
    nulls();
    settings_that_cannot_work();
    a_life();
    puts("api: all as it should be");
    return 0;
}
