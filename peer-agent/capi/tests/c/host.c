/* A CONNECT proxy with the agent inside. TLS ends before it. There is a thread for each way of each tunnel, and what the agent wants to see is
 * reported from both; beside each such flow others are opened, misreported, ended, closed twice, and one outlives the agent. Or there is one
 * thread for each tunnel, which does what the example does.
 *
 *   host FOLDER ROOT ENDPOINT ADDRESS CERTIFICATE BIND threads|relay
 *
 * Says "listening PORT" and each standing. Letters of its input are orders: p to pause, r to resume, t to ask for a probe, j to say the
 * standing as JSON. At the end of its input it stops, and says how many flows were watched, and how many
 * at once. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../../examples/relay.c"
#include "check.h"

static peer_agent *agent;
static peer_agent_flow *late;
static pthread_mutex_t of_late = PTHREAD_MUTEX_INITIALIZER;
static struct in_addr source;
static atomic_long watched, open_flows, most_open, tunnels;
static bool relaying;

typedef struct {
    int client, server;
    peer_agent_flow *flow;
    atomic_int users;
} tunnel;

/* Both of these are right, whatever the agent makes of the bytes. */
static void fine(peer_agent_status status) {
    CHECK(status == PEER_AGENT_STATUS_OK || status == PEER_AGENT_STATUS_FLOW_OVER);
}

static void count_watched(void) {
    long now = atomic_fetch_add(&open_flows, 1) + 1, most = atomic_load(&most_open);
    atomic_fetch_add(&watched, 1);
    while (now > most && !atomic_compare_exchange_weak(&most_open, &most, now)) continue;
}

static void leave(tunnel *tunnel) {
    if (atomic_fetch_sub(&tunnel->users, 1) > 1) return;
    if (tunnel->flow != NULL) atomic_fetch_sub(&open_flows, 1);
    peer_agent_flow_close(&tunnel->flow);
    CHECK(tunnel->flow == NULL);
    peer_agent_flow_close(&tunnel->flow);
    close(tunnel->client);
    close(tunnel->server);
    free(tunnel);
    atomic_fetch_sub(&tunnels, 1);
}

static void *up(void *argument) {
    tunnel *tunnel = argument;
    unsigned char bytes[4096];
    for (;;) {
        ssize_t length = recv(tunnel->client, bytes, sizeof bytes, 0);
        if (length <= 0) break;
        if (tunnel->flow != NULL) fine(peer_agent_flow_up(tunnel->flow, bytes, (size_t)length, NULL));
        if (sent(tunnel->server, bytes, (size_t)length)) continue;
        if (tunnel->flow != NULL) fine(peer_agent_flow_error(tunnel->flow, NULL));
        break;
    }
    shutdown(tunnel->server, SHUT_WR);
    leave(tunnel);
    return NULL;
}

static void down(tunnel *tunnel) {
    unsigned char bytes[16384];
    ssize_t length;
    while ((length = recv(tunnel->server, bytes, sizeof bytes, 0)) > 0) {
        if (tunnel->flow != NULL) fine(peer_agent_flow_down(tunnel->flow, bytes, (size_t)length, NULL));
        if (!sent(tunnel->client, bytes, (size_t)length)) break;
    }
    if (tunnel->flow != NULL) {
        if (length == 0) fine(peer_agent_flow_eof(tunnel->flow, NULL));
        if (length < 0) fine(peer_agent_flow_error(tunnel->flow, NULL));
    }
    shutdown(tunnel->client, SHUT_WR);
    leave(tunnel);
}

/* Flows of other clients to the same destination, while it is armed: none of them is the probe's. */
static void rehearse(const char *destination, size_t length) {
    static const unsigned char words[] = "GET / HTTP/1.1\r\n\r\n";
    bool armed = false;
    OK(peer_agent_is_armed(agent, destination, length, &armed, NULL));
    for (int turn = 0; turn < 4; turn++) {
        peer_agent_flow *flow = NULL;
        OK(peer_agent_flow_open(agent, destination, length, &flow, NULL));
        if (flow == NULL) return;
        OK(peer_agent_flow_up(flow, NULL, 0, NULL));
        peer_agent_error *error = NULL;
        CHECK_STATUS(PEER_AGENT_STATUS_NULL_ARGUMENT, peer_agent_flow_up(flow, NULL, 1, &error));
        expect_error(&error, PEER_AGENT_STATUS_NULL_ARGUMENT, "data is NULL");
        CHECK_STATUS(PEER_AGENT_STATUS_NULL_ARGUMENT, peer_agent_flow_down(flow, NULL, 1, &error));
        expect_error(&error, PEER_AGENT_STATUS_NULL_ARGUMENT, "data is NULL");
        if (turn == 0) CHECK_STATUS(PEER_AGENT_STATUS_FLOW_OVER, peer_agent_flow_up(flow, words, sizeof words - 1, NULL));
        if (turn == 1) fine(peer_agent_flow_eof(flow, NULL));
        if (turn == 2) fine(peer_agent_flow_error(flow, NULL));
        if (turn < 3) {
            CHECK_STATUS(PEER_AGENT_STATUS_FLOW_OVER, peer_agent_flow_eof(flow, NULL));
            CHECK_STATUS(PEER_AGENT_STATUS_FLOW_OVER, peer_agent_flow_error(flow, NULL));
            CHECK_STATUS(PEER_AGENT_STATUS_FLOW_OVER, peer_agent_flow_down(flow, words, 3, NULL));
        }
        pthread_mutex_lock(&of_late);
        if (turn == 3 && late == NULL) {
            late = flow;
            flow = NULL;
        }
        pthread_mutex_unlock(&of_late);
        peer_agent_flow_close(&flow);
        peer_agent_flow_close(&flow);
    }
}

/* Dials "ip:port" from the peer's own address. */
static int dial(const char *destination) {
    char ip[64];
    unsigned port = 0;
    struct sockaddr_in to = {0}, from = {0};
    if (sscanf(destination, "%63[0-9.]:%u", ip, &port) != 2 || inet_pton(AF_INET, ip, &to.sin_addr) != 1) return -1;
    to.sin_family = from.sin_family = AF_INET;
    to.sin_port = htons((unsigned short)port);
    from.sin_addr = source;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(server >= 0 && bind(server, (struct sockaddr *)&from, sizeof from) == 0);
    if (connect(server, (struct sockaddr *)&to, sizeof to) == 0) return server;
    close(server);
    return -1;
}

static void *serve(void *argument) {
    int client = (int)(intptr_t)argument;
    char head[4096], destination[256];
    size_t length = 0;
    while (length < sizeof head - 1 && recv(client, head + length, 1, 0) == 1) {
        head[++length] = '\0';
        if (length >= 4 && strcmp(head + length - 4, "\r\n\r\n") == 0) break;
    }
    head[length] = '\0';
    int server = sscanf(head, "CONNECT %255s HTTP/1.1", destination) == 1 ? dial(destination) : -1;
    if (server < 0) {
        static const unsigned char gone[] = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
        sent(client, gone, sizeof gone - 1);
        close(client);
        atomic_fetch_sub(&tunnels, 1);
        return NULL;
    }
    static const unsigned char there[] = "HTTP/1.1 200 OK\r\n\r\n";
    if (relaying) {
        bool armed = false;
        OK(peer_agent_is_armed(agent, destination, strlen(destination), &armed, NULL));
        if (armed) count_watched();
        if (sent(client, there, sizeof there - 1)) relay(agent, destination, client, server);
        if (armed) atomic_fetch_sub(&open_flows, 1);
        close(client);
        close(server);
        atomic_fetch_sub(&tunnels, 1);
        return NULL;
    }
    tunnel *carried = calloc(1, sizeof *carried);
    CHECK(carried != NULL);
    carried->client = client;
    carried->server = server;
    atomic_init(&carried->users, 2);
    OK(peer_agent_flow_open(agent, destination, strlen(destination), &carried->flow, NULL));
    if (carried->flow != NULL) {
        count_watched();
        rehearse(destination, strlen(destination));
    }
    pthread_t other;
    if (!sent(client, there, sizeof there - 1)) shutdown(client, SHUT_RDWR);
    CHECK(pthread_create(&other, NULL, up, carried) == 0 && pthread_detach(other) == 0);
    down(carried);
    return NULL;
}

static void *accept_all(void *argument) {
    int listener = *(const int *)argument, client;
    while ((client = accept(listener, NULL, NULL)) >= 0) {
        pthread_t thread;
        atomic_fetch_add(&tunnels, 1);
        CHECK(pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) == 0 && pthread_detach(thread) == 0);
    }
    return NULL;
}

static void *tell(void *argument) {
    (void)argument;
    peer_agent_standing *standing = NULL;
    for (uint64_t seen = 0; peer_agent_wait(agent, seen, 600000, &standing, NULL) == PEER_AGENT_STATUS_OK;) {
        seen = standing->sequence;
        printf("%s\n", standing->sentence);
        fflush(stdout);
        if (standing->state == PEER_AGENT_STATE_VERIFIED) CHECK(standing->own_name != NULL && standing->valid_until > standing->last_verdict);
        peer_agent_standing_free(&standing);
    }
    return NULL;
}

int main(int argc, char **argv) {
    CHECK(argc == 8);
    relaying = strcmp(argv[7], "relay") == 0;
    char identity[4096];
    unsigned char pem[1 << 14];
    snprintf(identity, sizeof identity, "%s/peer.key", argv[1]);
    FILE *file = fopen(argv[5], "rb");
    CHECK(file != NULL);
    size_t length = fread(pem, 1, sizeof pem, file);
    fclose(file);
    CHECK(inet_pton(AF_INET, argv[6], &source) == 1);

    struct sockaddr_in here = {0};
    socklen_t size = sizeof here;
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 128) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&here, &size) == 0);
    printf("listening %u\n", ntohs(here.sin_port));
    fflush(stdout);

    peer_agent_config *config = settings(argv[3], argv[2], identity);
    OK(peer_agent_config_set_address(config, argv[4], NULL));
    OK(peer_agent_config_set_certificate_pem(config, pem, length, NULL));
    OK(peer_agent_config_set_bind(config, argv[6], NULL));
    OK(peer_agent_config_set_protocols(config, PEER_AGENT_PROTOCOL_CONNECT, NULL));
    OK(peer_agent_start(config, &agent, NULL));
    peer_agent_config_free(&config);
    pthread_t accepting, telling;
    CHECK(pthread_create(&accepting, NULL, accept_all, &listener) == 0);
    CHECK(pthread_create(&telling, NULL, tell, NULL) == 0);

    for (int order; (order = getchar()) != EOF;) {
        char *json = NULL;
        if (order == 'p') OK(peer_agent_pause(agent, NULL));
        if (order == 'r') OK(peer_agent_resume(agent, NULL));
        if (order == 't') OK(peer_agent_retest(agent, NULL));
        if (order != 'j') continue;
        OK(peer_agent_standing_json(agent, &json, NULL));
        printf("%s\n", json);
        fflush(stdout);
        peer_agent_string_free(&json);
    }
    /* With tunnels open and flows watched: they are nobody's trouble. */
    OK(peer_agent_stop(agent, 20000, NULL));
    CHECK(pthread_join(telling, NULL) == 0);
    shutdown(listener, SHUT_RDWR);
    CHECK(pthread_join(accepting, NULL) == 0);
    close(listener);
    struct timespec moment = {0, 1000000};
    for (int look = 0; atomic_load(&tunnels) > 0 && look < 20000; look++) nanosleep(&moment, NULL);
    CHECK(atomic_load(&tunnels) == 0);
    peer_agent_free(&agent);
    CHECK(relaying || late != NULL);
    if (late != NULL) fine(peer_agent_flow_up(late, (const unsigned char *)"late", 4, NULL));
    peer_agent_flow_close(&late);
    printf("watched %ld, %ld at once\n", atomic_load(&watched), atomic_load(&most_open));
    return 0;
}
