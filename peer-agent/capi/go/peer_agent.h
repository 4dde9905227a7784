// The C interface of the self-test module of a give mode peer.
//
// Made by cbindgen from the sources: see cbindgen.toml. This is the whole contract; what is said of a function below is what it adds.
//
// What it is for. A peer is verified by probes that an attester sends through it. The module, called agent, keeps a session with the
// attester, is told of a probe before it comes, looks at that one flow, and signs what it saw. The host
//   1. makes settings (peer_agent_config_*) and starts an agent (peer_agent_start);
//   2. asks at each outbound connection whether to report it (peer_agent_flow_open: nearly always not), and if so reports what goes
//      each way (peer_agent_flow_up, peer_agent_flow_down), how it ended (peer_agent_flow_eof, peer_agent_flow_error), and closes
//      the flow with the connection (peer_agent_flow_close);
//   3. shows its owner where the peer stands (peer_agent_standing_get, peer_agent_wait);
//   4. stops it (peer_agent_stop), which says goodbye, and frees it (peer_agent_free).
//
// Status. Every function that can fail answers a peer_agent_status; errno says nothing.
//
// Errors. The last argument, `error_out`, may be NULL. Otherwise it is set to NULL first, and to an error when the status is one that
// has an error object: it holds a sentence that says what is wrong and what to do. Free it with peer_agent_error_free.
//
// Answers go into `…_out` arguments, which must not be NULL and are set to NULL (or false) before anything else, so that they
// never hold what was there before.
//
// Ownership. What a function hands out through an `…_out` argument is the caller's, to be freed by the function that is named for it,
// and by nothing else. The freeing functions take the address of the caller's variable and set it to NULL: to free it twice does nothing. A copy
// of the pointer is as dead as the original. What the caller hands in stays the caller's, and is not looked at after the call.
// Texts that a function returns directly are static, or live as long as the object that they were asked of.
//
// NULL. A pointer that must not be NULL and is gives PEER_AGENT_STATUS_NULL_ARGUMENT, and nothing was done. Bytes are given by pointer and
// length; NULL with length 0 is no bytes.
//
// Texts are UTF-8 and end with NUL, unless they come with a length. What is not UTF-8 gives PEER_AGENT_STATUS_INVALID_UTF8; a destination that
// is not is one that no probe is expected at.
//
// Threads. Settings are used by one thread at a time. Agents and flows may be used by any number of threads at once, but not while
// they are freed or after. Nothing ever calls back into the host, and no thread of the library runs the host's code: the host asks, or
// waits with a limit (peer_agent_wait). An agent has one thread of its own, and up to two more while it looks up names; all signals but
// those of defects are blocked there, so that handlers run on the host's threads and no SIGPIPE ends the host.
// Flow calls never wait for the network, nor for another flow while its bytes are hashed; while nothing is announced, peer_agent_flow_open loads one word from memory.
// Only peer_agent_wait, peer_agent_stop and peer_agent_free wait, as long as they say; peer_agent_start reads and makes files. After
// fork() the child must not use what the parent made, and the library must not be unloaded.
//
// Flows. Open a flow before the first byte is sent to its destination, and close it when both ways are done. Report bytes up before they are
// sent, and bytes down or an end before anything of them is passed on to the client: destinations answer and clients close at once, and
// other threads go on meanwhile. What goes one way is reported in its order, by one thread at a time. That the client has ended is not
// reported; the close is.
//
// Order. Calls in a wrong order are told apart from defects: an agent that was stopped answers
// PEER_AGENT_STATUS_STOPPED to wishes (pause, resume, retest) and to waits beyond its last standing; that can still be read, and no flow of it
// is opened any more. Flows of an agent that was stopped or freed may still be reported and closed, and a flow that has ended takes what
// comes and answers PEER_AGENT_STATUS_FLOW_OVER.
//
// Defects. A panic inside does not unwind into the host: the call answers PEER_AGENT_STATUS_PANIC, and what Rust says of it is on standard
// error. One on the agent's own thread ends the agent: its standing is then "stopped" with the reason "defect", waits end, and calls
// answer PEER_AGENT_STATUS_STOPPED; start another.
//
// Languages. C99 and newer, C++.
//
// Versions. PEER_AGENT_ABI_VERSION grows with each change that breaks a program which was built before, and is the number in the shared
// library's name (libpeer_agent_c.so.1). Functions, fields at the end of structs and values of enums may be added without that:
// treat numbers that you do not know as such.


#ifndef PEER_AGENT_H
#define PEER_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Version of this interface. A library of another number is called otherwise and loaded by nobody who was built with this one
// (it is in the shared library's name).
#define PEER_AGENT_ABI_VERSION 1

// enproxy with X-Enproxy-* headers, as in 2014.
#define PEER_AGENT_PROTOCOL_ENPROXY 1

// enproxy with id, address and operation in the path, as later.
#define PEER_AGENT_PROTOCOL_ENPROXY_PATH 2

// HTTP CONNECT over TLS.
#define PEER_AGENT_PROTOCOL_CONNECT 4

// What a function answers.
typedef enum {
  // It is done.
  PEER_AGENT_STATUS_OK = 0,
  // The caller's mistake: a pointer that must not be NULL is, or a length and a pointer do not go together.
  PEER_AGENT_STATUS_NULL_ARGUMENT = 1,
  // The caller's mistake: a text is not UTF-8.
  PEER_AGENT_STATUS_INVALID_UTF8 = 2,
  // A setting cannot work; the message says which, and what would be right.
  PEER_AGENT_STATUS_INVALID_SETTING = 3,
  // The peer's identity, or a file that belongs to it, cannot be read or made; the message says what to do about the file.
  PEER_AGENT_STATUS_IDENTITY = 4,
  // The system gave no thread or other resource.
  PEER_AGENT_STATUS_SYSTEM = 5,
  // No error object: the agent has been stopped.
  PEER_AGENT_STATUS_STOPPED = 6,
  // No error object: it did not happen within the limit.
  PEER_AGENT_STATUS_TIMED_OUT = 7,
  // No error object: nothing more is wanted of this flow. To report more does no harm.
  PEER_AGENT_STATUS_FLOW_OVER = 8,
  // A defect of this library. The call did nothing or a part; other handles are not touched. Please report the message.
  PEER_AGENT_STATUS_PANIC = 9,
} peer_agent_status;

// Where a peer stands.
typedef enum {
  // No session: looking for an attester.
  PEER_AGENT_STATE_CONNECTING = 0,
  // An attester was reached and is asked to register the peer.
  PEER_AGENT_STATE_REGISTERING = 1,
  // Registered; probes are to come.
  PEER_AGENT_STATE_REGISTERED = 2,
  // Its own name is published; probes are to come.
  PEER_AGENT_STATE_NAMED = 3,
  // Probes are under way; not yet verified.
  PEER_AGENT_STATE_PROBING = 4,
  // Verified: clients are sent to it.
  PEER_AGENT_STATE_VERIFIED = 5,
  // Was verified; probes fail now.
  PEER_AGENT_STATE_SUSPENDED = 6,
  // Probes failed, and it never was verified.
  PEER_AGENT_STATE_REFUSED = 7,
  // Not followed by the attester any more.
  PEER_AGENT_STATE_RETIRED = 8,
  // The attester did not accept the registration.
  PEER_AGENT_STATE_REJECTED = 9,
  // The host paused.
  PEER_AGENT_STATE_PAUSED = 10,
  // The agent has stopped.
  PEER_AGENT_STATE_STOPPED = 11,
} peer_agent_state;

// A running agent. Any thread may use it; nobody may while it is freed, or after.
typedef struct peer_agent peer_agent;

// Settings of an agent. Used by one thread at a time.
typedef struct peer_agent_config peer_agent_config;

// Why a call failed. Its texts live as long as it does.
typedef struct peer_agent_error peer_agent_error;

// One outbound flow that the agent wants to see. Several threads may report at once; nobody may while it is closed, or after.
typedef struct peer_agent_flow peer_agent_flow;

// A snapshot of where a peer stands. All texts are UTF-8 without control characters, bounded, and live as long as the snapshot; NULL
// where there is nothing to say. It is the library's: not to be copied by value, changed or freed in parts. Later versions of
// the interface may add fields at the end.
typedef struct {
  // Grows with each change: what peer_agent_wait is told to wait beyond.
  uint64_t sequence;
  // In one word.
  peer_agent_state state;
  // The same as a text, such as "verified".
  const char *state_name;
  // What is so and what to do about it, in a sentence for the peer's owner. Never NULL.
  const char *sentence;
  // The peer's id. Never NULL.
  const char *peer_id;
  // Its own DNS name, since an attester gave it one.
  const char *own_name;
  // The attester of the session, or of the last attempt, "host:port".
  const char *attester;
  // Code of what is wrong, such as "port-refused"; for programs. The protocol's documentation (proto/README.md) has those of attesters.
  const char *reason;
  // What the peer's owner can do.
  const char *remedy;
  // When the last verdict was signed, on the attester's clock, in seconds of Unix time; 0 before the first.
  int64_t last_verdict;
  // Until when it stands: the end of the lease of a verified peer. 0 when there is none.
  int64_t valid_until;
} peer_agent_standing;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Version of the interface that the loaded library has: PEER_AGENT_ABI_VERSION as it was when the library was built.
uint32_t peer_agent_abi_version(void);

// Version of the library, such as "0.1.0". It is not to be freed.
const char *peer_agent_version(void);

// Starts an agent. It connects by itself, and again whenever a session ends; an attester that cannot be reached is no error,
// the standing tells. The settings stay the caller's, and those of a running agent do not change: for another address or certificate stop
// it and start another, which is the same peer as long as its identity is. Stop it with peer_agent_stop and free it with peer_agent_free.
peer_agent_status peer_agent_start(const peer_agent_config *config,
                                   peer_agent **agent_out,
                                   peer_agent_error **error_out);

// Says goodbye, so that the peer leaves every rotation at once, and ends. Waits for at most `limit_ms` milliseconds (2500 is
// enough unless the system is looking up a name that nobody answers): PEER_AGENT_STATUS_TIMED_OUT when it goes on by itself then.
// With PEER_AGENT_STATUS_OK all its threads have done their work. To stop an agent again does no harm.
peer_agent_status peer_agent_stop(const peer_agent *agent,
                                  uint32_t limit_ms,
                                  peer_agent_error **error_out);

// Frees an agent and sets the caller's variable to NULL; one that runs is stopped first, which takes up to 2.5 s. Does nothing for
// NULL, or for a variable that is NULL already. No other thread may be in a call with it, not in peer_agent_wait either: stop it
// first, which ends the waits. Its flows may be closed later.
void peer_agent_free(peer_agent **agent);

// Asks whether a probe is expected at `destination` now, "host:port" by pointer and length. To report the flow, open it: this
// alone arms and changes nothing.
peer_agent_status peer_agent_is_armed(const peer_agent *agent,
                                      const char *destination,
                                      size_t length,
                                      bool *armed_out,
                                      peer_agent_error **error_out);

// Gives a snapshot of where the peer stands. Also of an agent that was stopped.
peer_agent_status peer_agent_standing_get(const peer_agent *agent,
                                          peer_agent_standing **standing_out,
                                          peer_agent_error **error_out);

// Gives the same as one JSON object: "sequence", "state" (its name), "sentence", "peer_id", "own_name", "attester", "reason", "remedy",
// "last_verdict" and "valid_until", with null where the struct has NULL or 0. Free it with peer_agent_string_free.
peer_agent_status peer_agent_standing_json(const peer_agent *agent,
                                           char **json_out,
                                           peer_agent_error **error_out);

// Waits for at most `limit_ms` milliseconds until the standing has a greater number than `sequence` (0: any), and gives it. Changes
// in quick succession may be told as one. PEER_AGENT_STATUS_TIMED_OUT when there was none, PEER_AGENT_STATUS_STOPPED when there will
// be none any more; `*standing_out` is NULL then. With a limit of 0 it is a question that waits for nobody.
peer_agent_status peer_agent_wait(const peer_agent *agent,
                                  uint64_t sequence,
                                  uint32_t limit_ms,
                                  peer_agent_standing **standing_out,
                                  peer_agent_error **error_out);

// Says goodbye and rests: the peer leaves every rotation at once, without penalty. It is begun when this returns; the standing tells when it
// is done. PEER_AGENT_STATUS_STOPPED after a stop.
peer_agent_status peer_agent_pause(const peer_agent *agent,
                                   peer_agent_error **error_out);

// Ends a pause: the agent looks for its attester again. PEER_AGENT_STATUS_STOPPED after a stop.
peer_agent_status peer_agent_resume(const peer_agent *agent, peer_agent_error **error_out);

// Asks for a probe soon, for an owner who has mended something. An agent without a session tries again at once; with one the
// attester is asked, which then probes as soon as it would probe anybody. Several wishes within some seconds are one. It ends no pause.
// PEER_AGENT_STATUS_STOPPED after a stop.
peer_agent_status peer_agent_retest(const peer_agent *agent,
                                    peer_agent_error **error_out);

// Makes empty settings. Free them with peer_agent_config_free; an agent that was started keeps its own copy.
peer_agent_status peer_agent_config_new(peer_agent_config **config_out, peer_agent_error **error_out);

// Frees settings and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
void peer_agent_config_free(peer_agent_config **config);

// Adds an endpoint of the attester, "host:port"; they are tried in turn. At least one is needed.
peer_agent_status peer_agent_config_add_attester(peer_agent_config *config,
                                                 const char *endpoint,
                                                 peer_agent_error **error_out);

// Sets the attester's root key, "ed25519:…", as its operator published it. Everything else is believed because of it. Needed.
peer_agent_status peer_agent_config_set_root_key(peer_agent_config *config,
                                                 const char *root_key,
                                                 peer_agent_error **error_out);

// Sets the file of the peer's own key, which is made at the first start, for its owner alone to read. This or an identity key is
// needed; the last that is given counts.
peer_agent_status peer_agent_config_set_identity_file(peer_agent_config *config,
                                                      const char *path,
                                                      peer_agent_error **error_out);

// Sets the peer's own key for a host that keeps it itself: Ed25519 as PKCS#8 PEM, which is what an identity file holds. Such a
// host should also call peer_agent_config_set_keyset_file.
peer_agent_status peer_agent_config_set_identity_key(peer_agent_config *config,
                                                     const uint8_t *pem,
                                                     size_t length,
                                                     peer_agent_error **error_out);

// Sets the file in which the newest keyset of the attester is kept, so that no older one is believed after a restart. Beside the
// identity file by default.
peer_agent_status peer_agent_config_set_keyset_file(peer_agent_config *config,
                                                    const char *path,
                                                    peer_agent_error **error_out);

// Sets the public address and port that clients reach the proxy at, `203.0.113.7:443` or `[2001:db8::7]:443`. Needed.
peer_agent_status peer_agent_config_set_address(peer_agent_config *config,
                                                const char *address,
                                                peer_agent_error **error_out);

// Sets the port that the proxy listens on, where a router maps the public port to another one, so that the remedies can name both.
// 0 for the same port, which is the default.
peer_agent_status peer_agent_config_set_listening_port(peer_agent_config *config,
                                                       uint16_t port,
                                                       peer_agent_error **error_out);

// Sets what the proxy speaks: a sum of PEER_AGENT_PROTOCOL_*. All three by default. Each is proven before the peer is verified.
peer_agent_status peer_agent_config_set_protocols(peer_agent_config *config,
                                                  uint32_t protocols,
                                                  peer_agent_error **error_out);

// Sets the pin of the proxy's TLS key: the 32 bytes of SHA-256 over the DER SubjectPublicKeyInfo. This or a certificate is
// needed; the last that is given counts.
peer_agent_status peer_agent_config_set_certificate_pin(peer_agent_config *config,
                                                        const uint8_t *pin,
                                                        size_t length,
                                                        peer_agent_error **error_out);

// Sets the proxy's TLS certificate, PEM, of which the pin is taken. Of several the first counts, as in a TLS handshake.
peer_agent_status peer_agent_config_set_certificate_pem(peer_agent_config *config,
                                                        const uint8_t *pem,
                                                        size_t length,
                                                        peer_agent_error **error_out);

// Sets the token that CONNECT clients must present to the proxy, 1 to 256 visible ASCII characters; NULL for none, the default. It
// is sent to the attester only.
peer_agent_status peer_agent_config_set_connect_token(peer_agent_config *config,
                                                      const char *token,
                                                      peer_agent_error **error_out);

// Sets the local address that sessions leave from, without a port; NULL to let the system choose, the default. On a machine with
// several it must be the one that the proxy serves at: the attester dials the address that it sees a session come from.
peer_agent_status peer_agent_config_set_bind(peer_agent_config *config,
                                             const char *address,
                                             peer_agent_error **error_out);

// Sets name and version of the host's software, at most 64 printable bytes: the attester's operator can tell versions apart.
peer_agent_status peer_agent_config_set_software(peer_agent_config *config,
                                                 const char *software,
                                                 peer_agent_error **error_out);

// The status that came with the error. PEER_AGENT_STATUS_OK for NULL.
peer_agent_status peer_agent_error_status(const peer_agent_error *error);

// What went wrong and what to do about it, in a sentence. Valid until the error is freed; the empty string for NULL.
const char *peer_agent_error_message(const peer_agent_error *error);

// Frees an error and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
void peer_agent_error_free(peer_agent_error **error);

// A status in one word, such as "invalid-setting"; "unknown" for a number that is none. It is not to be freed.
const char *peer_agent_status_name(uint32_t status);

// Asks whether to report a flow that the host opens to `destination`, the "host:port" exactly as its client sent it, by pointer and
// length: it need not end with NUL. `*flow_out` is NULL, nearly always: no probe is expected there, and the host need not report
// the flow. Otherwise report each byte that goes each way, the end, and close it.
peer_agent_status peer_agent_flow_open(const peer_agent *agent,
                                       const char *destination,
                                       size_t length,
                                       peer_agent_flow **flow_out,
                                       peer_agent_error **error_out);

// Reports bytes that go to the destination, in order and before they are sent. When a send takes only a part of them, the rest was reported
// all the same: it is sent later, and not reported again. PEER_AGENT_STATUS_FLOW_OVER when nothing more is wanted.
peer_agent_status peer_agent_flow_up(const peer_agent_flow *flow,
                                     const uint8_t *data,
                                     size_t length,
                                     peer_agent_error **error_out);

// Reports bytes that came from the destination, in order and before they are passed on. PEER_AGENT_STATUS_FLOW_OVER when nothing more is wanted.
peer_agent_status peer_agent_flow_down(const peer_agent_flow *flow,
                                       const uint8_t *data,
                                       size_t length,
                                       peer_agent_error **error_out);

// Reports that the destination closed its side, before the client is told so. A read that timed out is no end.
peer_agent_status peer_agent_flow_eof(const peer_agent_flow *flow,
                                      peer_agent_error **error_out);

// Reports that the connection to the destination failed, in reading or in sending. What only timed out has not.
peer_agent_status peer_agent_flow_error(const peer_agent_flow *flow,
                                        peer_agent_error **error_out);

// Reports that the host closed its connection, unless an end was reported before, frees the flow and sets the caller's variable to
// NULL. Does nothing for NULL, or for a variable that is NULL already. A flow may outlive its agent.
void peer_agent_flow_close(peer_agent_flow **flow);

// Frees a snapshot and sets the caller's variable to NULL. Does nothing for NULL, or for a variable that is NULL already.
void peer_agent_standing_free(peer_agent_standing **standing);

// Frees a text that peer_agent_standing_json made, and sets the caller's variable to NULL. Does nothing for NULL, or for a
// variable that is NULL already.
void peer_agent_string_free(char **text);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PEER_AGENT_H */
