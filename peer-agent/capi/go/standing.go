package agent

// #include "peer_agent.h"
import "C"

import "time"

// State is where a peer stands, in one word.
type State string

// What a State can be. Later versions may know more.
const (
	// Connecting: no session, looking for an attester.
	Connecting State = "connecting"
	// Registering: an attester was reached and is asked to register the peer.
	Registering State = "registering"
	// Registered: probes are to come.
	Registered State = "registered"
	// Named: the peer's own name is published, probes are to come.
	Named State = "named"
	// Probing: probes are under way; not yet verified.
	Probing State = "probing"
	// Verified: clients are sent to it.
	Verified State = "verified"
	// Suspended: was verified, and probes fail now.
	Suspended State = "suspended"
	// Refused: probes failed, and it never was verified.
	Refused State = "refused"
	// Retired: not followed by the attester any more.
	Retired State = "retired"
	// Rejected: the attester did not accept the registration.
	Rejected State = "rejected"
	// Paused by the host.
	Paused State = "paused"
	// Stopped: the agent has ended.
	Stopped State = "stopped"
)

// Standing is where a peer stands. Its texts are bounded and have no control characters.
type Standing struct {
	// Sequence grows with each change.
	Sequence uint64
	// State in one word.
	State State
	// Sentence says what is so and what to do about it, for the peer's owner.
	Sentence string
	// PeerID is the peer's id.
	PeerID string
	// OwnName is its own DNS name, since an attester gave it one.
	OwnName string
	// Attester is that of the session, or of the last attempt.
	Attester string
	// Reason is a code of what is wrong, for programs; empty when nothing is known to be.
	Reason string
	// Remedy is what the peer's owner can do.
	Remedy string
	// LastVerdict is when the last verdict was signed, on the attester's clock; zero before the first.
	LastVerdict time.Time
	// ValidUntil is until when it stands: the end of the lease of a verified peer.
	ValidUntil time.Time
}

// String is the sentence.
func (s Standing) String() string { return s.Sentence }

// take copies a standing and frees it.
func take(found **C.peer_agent_standing) Standing {
	defer C.peer_agent_standing_free(found)
	s := *found
	return Standing{
		Sequence:    uint64(s.sequence),
		State:       State(C.GoString(s.state_name)),
		Sentence:    C.GoString(s.sentence),
		PeerID:      C.GoString(s.peer_id),
		OwnName:     C.GoString(s.own_name),
		Attester:    C.GoString(s.attester),
		Reason:      C.GoString(s.reason),
		Remedy:      C.GoString(s.remedy),
		LastVerdict: instant(s.last_verdict),
		ValidUntil:  instant(s.valid_until),
	}
}

func instant(seconds C.int64_t) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}
