/* How a proxy reports: carries what goes both ways between a client and the destination that it asked for, "host:port" exactly as it sent
 * it, on one thread, until the destination has ended or either failed. With a thread for each way each of them does its half, and the last closes the flow. */
#include <peer_agent.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

static bool sent(int to, const unsigned char *bytes, size_t length) {
    while (length > 0) {
        ssize_t some = send(to, bytes, length, MSG_NOSIGNAL);
        if (some <= 0) return false;
        bytes += some;
        length -= (size_t)some;
    }
    return true;
}

void relay(const peer_agent *agent, const char *destination, int client, int server) {
    /* Before the first byte is sent. Nearly always there is no flow afterwards, and nothing to report. */
    peer_agent_flow *flow = NULL;
    peer_agent_flow_open(agent, destination, strlen(destination), &flow, NULL);

    struct pollfd ends[] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
    unsigned char bytes[16384];
    while (poll(ends, 2, -1) > 0) {
        if (ends[0].revents != 0) {
            ssize_t length = recv(client, bytes, sizeof bytes, 0);
            if (length < 0) break;
            if (length == 0) {
                /* It has said all. That is not reported, and the answer is still to come; poll passes over negative numbers. */
                shutdown(server, SHUT_WR);
                ends[0].fd = -1;
                continue;
            }
            /* Before it is sent. */
            if (flow != NULL) peer_agent_flow_up(flow, bytes, (size_t)length, NULL);
            if (!sent(server, bytes, (size_t)length)) {
                if (flow != NULL) peer_agent_flow_error(flow, NULL);
                break;
            }
        }
        if (ends[1].revents != 0) {
            ssize_t length = recv(server, bytes, sizeof bytes, 0);
            if (length == 0 && flow != NULL) peer_agent_flow_eof(flow, NULL);
            if (length < 0 && flow != NULL) peer_agent_flow_error(flow, NULL);
            if (length <= 0) break;
            /* Before it is passed on. */
            if (flow != NULL) peer_agent_flow_down(flow, bytes, (size_t)length, NULL);
            if (!sent(client, bytes, (size_t)length)) break;
        }
    }
    peer_agent_flow_close(&flow);
}
