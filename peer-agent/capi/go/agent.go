// Package agent bundles the self-test module of peer verification into a give mode peer that is written in Go.
//
// A peer is verified by probes that an attester sends through it, as a client would. The module, called agent, keeps a
// session with the attester, is told of a probe before it comes, looks at that one connection, and signs what it saw. A peer that is
// verified enters the DNS rotation; one that is not learns why.
//
// A host needs three lines: start the agent, lay it around the function that dials destinations, and stop it in the end.
//
//	a, err := agent.Start(agent.Config{…})
//	proxy := &enproxy.Proxy{Dial: a.WrapDial(dial)}
//	defer a.Close()
//
// While no probe is expected at a destination, which is nearly always, WrapDial returns the connection that was dialled, itself: a
// *net.TCPConn stays one, and no byte goes through this package. What the agent finds out is told by Standing and Changes.
//
// The package links a static library, which build.sh in this directory makes (Rust and a C compiler are needed for that);
// with the build tag peer_agent_system it takes the installed one instead. See README.md.
package agent

// #include "peer_agent.h"
import "C"

import (
	"context"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Agent is a running agent. Its methods may be called by any number of goroutines at once. A nil *Agent (or a zero Agent) is one that
// does nothing: it wraps nothing and has no standing, so that a host without an attester needs no special case.
type Agent struct {
	// Held for reading by calls that use the handle, for writing by the one that frees it: whoever does not get it at once comes too
	// late. So nothing of the host ever waits for an agent that hangs.
	mu     sync.RWMutex
	handle *C.peer_agent
	// The last standing, since the agent was stopped.
	last atomic.Pointer[Standing]

	watchOnce sync.Once
	watched   newest
	changes   chan Standing
	closed    chan struct{}
	closeOnce sync.Once
}

// Start starts an agent. It connects by itself, and again whenever a session ends: an attester that cannot be reached is no error,
// Standing tells. An error is a setting that cannot work, or an identity file that cannot be used; its text says what to do.
func Start(config Config) (*Agent, error) {
	settings, err := config.settings()
	if err != nil {
		return nil, err
	}
	defer C.peer_agent_config_free(&settings)
	agent := &Agent{changes: make(chan Standing, 1), closed: make(chan struct{})}
	agent.watched.changed = make(chan struct{})
	err = try(func(failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_start(settings, &agent.handle, failed)
	})
	if err != nil {
		return nil, err
	}
	// For a host that forgets to close it.
	runtime.SetFinalizer(agent, func(agent *Agent) { go agent.free() })
	return agent, nil
}

// Standing is where the peer stands now. After Close it is the last: Stopped.
func (a *Agent) Standing() Standing {
	if a == nil {
		return Standing{}
	}
	var standing Standing
	if a.with(func(handle *C.peer_agent) error {
		standing = standingOf(handle)
		return nil
	}) == nil {
		return standing
	}
	if last := a.last.Load(); last != nil {
		return *last
	}
	return Standing{}
}

func standingOf(handle *C.peer_agent) Standing {
	var found *C.peer_agent_standing
	err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_standing_get(handle, &found, failed)
	})
	if err != nil {
		return Standing{}
	}
	return take(&found)
}

// StandingJSON is the same as one JSON object, with the names that the program peer-agent uses.
func (a *Agent) StandingJSON() ([]byte, error) {
	var object []byte
	err := a.with(func(handle *C.peer_agent) error {
		var text *C.char
		err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_standing_json(handle, &text, failed)
		})
		if err == nil {
			object = []byte(C.GoString(text))
			C.peer_agent_string_free(&text)
		}
		return err
	})
	return object, err
}

// Pause says goodbye and rests: the peer leaves every rotation at once, without penalty.
func (a *Agent) Pause() error {
	return a.with(func(handle *C.peer_agent) error {
		return try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_pause(handle, failed)
		})
	})
}

// Resume ends a pause.
func (a *Agent) Resume() error {
	return a.with(func(handle *C.peer_agent) error {
		return try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_resume(handle, failed)
		})
	})
}

// Retest asks for a probe soon, for an owner who has mended something.
func (a *Agent) Retest() error {
	return a.with(func(handle *C.peer_agent) error {
		return try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_retest(handle, failed)
		})
	})
}

// Close says goodbye, so that the peer leaves every rotation at once, and ends; that takes up to 2.5 s. To close an agent again does no
// harm. Connections that it looks at may be used and closed later.
func (a *Agent) Close() error { return a.Stop(context.Background()) }

// Stop does what Close does, and waits until the context is done at most: what is left then goes on by itself, and Stop returns the
// context's error.
func (a *Agent) Stop(ctx context.Context) error {
	if a.isNone() {
		return nil
	}
	a.closeOnce.Do(func() {
		runtime.SetFinalizer(a, nil)
		go a.free()
	})
	select {
	case <-a.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// free stops the agent, which ends all waits, tells that it is closed when the last call has returned, and frees the handle.
func (a *Agent) free() {
	_ = a.with(func(handle *C.peer_agent) error {
		C.peer_agent_stop(handle, milliseconds(stopLimit), nil)
		last := standingOf(handle)
		if last.State != Stopped {
			// It hangs, and did not come to say so.
			last = Standing{Sequence: last.Sequence + 1, State: Stopped, Sentence: string(Stopped), PeerID: last.PeerID}
		}
		a.last.Store(&last)
		return nil
	})
	a.mu.Lock()
	handle := a.handle
	a.handle = nil
	a.mu.Unlock()
	close(a.closed)
	// Nobody has it any more; and nobody waits for this, which may take a while when the system is looking up a name.
	C.peer_agent_free(&handle)
}

// isNone tells an agent that Start did not make: nil, or the zero value.
func (a *Agent) isNone() bool { return a == nil || a.closed == nil }

// with calls something with the handle, which is not freed meanwhile.
func (a *Agent) with(call func(*C.peer_agent) error) error {
	if a == nil || !a.mu.TryRLock() {
		return ErrStopped
	}
	defer a.mu.RUnlock()
	if a.handle == nil {
		return ErrStopped
	}
	return call(a.handle)
}

// Version is the library's version, such as "0.1.0".
func Version() string { return C.GoString(C.peer_agent_version()) }

func milliseconds(duration time.Duration) C.uint32_t {
	if duration/time.Millisecond > math.MaxUint32 {
		return math.MaxUint32
	}
	return C.uint32_t(duration / time.Millisecond)
}

const (
	// How long one call waits at most. A stop ends it at once, unless the agent hangs.
	slice = time.Second
	// An agent says its goodbye within 2 s.
	stopLimit = 2500 * time.Millisecond
)
