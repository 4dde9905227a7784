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

// #include <stdlib.h>
// #include "peer_agent.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Protocols is a set of what a proxy speaks.
type Protocols uint32

const (
	// Enproxy is enproxy with X-Enproxy-* headers, as in 2014.
	Enproxy Protocols = C.PEER_AGENT_PROTOCOL_ENPROXY
	// EnproxyPath is enproxy with id, address and operation in the path, as later.
	EnproxyPath Protocols = C.PEER_AGENT_PROTOCOL_ENPROXY_PATH
	// Connect is HTTP CONNECT over TLS.
	Connect Protocols = C.PEER_AGENT_PROTOCOL_CONNECT
)

// Config is what an agent needs to know.
type Config struct {
	// Attesters are the attester's endpoints, "host:port", tried in turn. At least one is needed.
	Attesters []string
	// RootKey is the attester's root key, "ed25519:…", as its operator published it. Everything else is believed because
	// of it. Needed.
	RootKey string
	// IdentityFile holds the peer's own key. It is made at the first start, for its owner alone to read. This or IdentityKey
	// is needed.
	IdentityFile string
	// IdentityKey is the peer's own key for a host that keeps it itself: Ed25519 as PKCS #8 PEM.
	IdentityKey []byte
	// KeysetFile keeps the attester's newest keyset, so that no older one is believed after a restart. Beside IdentityFile
	// by default.
	KeysetFile string
	// Address is the public address and port that clients reach the proxy at, "203.0.113.7:443". Needed.
	Address string
	// ListeningPort is the port that the proxy listens on, where a router maps the public one to another: what to mend is
	// then said with both.
	ListeningPort uint16
	// Protocols is what the proxy speaks; all three when it is 0. Each is proven before the peer is verified.
	Protocols Protocols
	// CertificatePEM is the proxy's TLS certificate, of whose key the pin is taken. This or CertificatePin is needed.
	CertificatePEM []byte
	// CertificatePin is the SHA-256 of the certificate's DER SubjectPublicKeyInfo, 32 bytes.
	CertificatePin []byte
	// ConnectToken is what CONNECT clients must present to the proxy, if anything. It is sent to the attester only.
	ConnectToken string
	// BindAddress is the local address that sessions leave from, without a port; the system's choice by default. On a machine with
	// several it must be the one that the proxy serves at.
	BindAddress string
	// Software is name and version of the host, at most 64 printable bytes.
	Software string
}

// Agent is a running agent. Its methods may be called by any number of goroutines at once. A nil *Agent (or a zero Agent) is one that
// does nothing: it wraps nothing and has no standing, so that a host without an attester needs no special case.
type Agent struct {
	// Held for reading by calls that use the handle, for writing by the one that frees it.
	mu     sync.RWMutex
	handle *C.peer_agent
	// The last standing, once the handle is gone.
	last Standing

	changesOnce sync.Once
	changes     chan Standing
	closed      chan struct{}
	closeOnce   sync.Once
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
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.standing()
}

// standing is called with the lock held.
func (a *Agent) standing() Standing {
	if a.handle == nil {
		return a.last
	}
	var found *C.peer_agent_standing
	err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_standing_get(a.handle, &found, failed)
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

// Changes tells each change of the standing, beginning with the one at the first call. Changes in quick succession may be told as one:
// whoever reads late finds the newest. It is the same channel at every call; the last standing in it is Stopped, and then Close closes
// it. From the first call on an agent that is forgotten is not collected: close it.
func (a *Agent) Changes() <-chan Standing {
	if a.isNone() {
		return nil
	}
	a.changesOnce.Do(func() {
		a.mu.RLock()
		defer a.mu.RUnlock()
		if a.handle == nil {
			close(a.changes)
			return
		}
		go a.watch()
	})
	return a.changes
}

// watch keeps the newest standing in the channel until the agent has stopped.
func (a *Agent) watch() {
	defer close(a.changes)
	var seen uint64
	for {
		standing, err := a.next(seen, wholeWait)
		switch {
		case err == nil:
			seen = standing.Sequence
			a.tell(standing)
		case errors.Is(err, errTimedOut):
		default:
			// It may have stopped, and been freed, between two looks.
			if last := a.Standing(); last.Sequence > seen {
				a.tell(last)
			}
			return
		}
	}
}

// tell puts a standing in the place of an older one that nobody has read.
func (a *Agent) tell(standing Standing) {
	select {
	case <-a.changes:
	default:
	}
	a.changes <- standing
}

// Wait waits for a standing that fits, and returns it: the present one, if that does. The error is the context's, or ErrStopped.
func (a *Agent) Wait(ctx context.Context, fits func(Standing) bool) (Standing, error) {
	var seen uint64
	for {
		if err := ctx.Err(); err != nil {
			return Standing{}, err
		}
		standing, err := a.next(seen, slice)
		switch {
		case err == nil && fits(standing):
			return standing, nil
		case err == nil:
			seen = standing.Sequence
		case !errors.Is(err, errTimedOut):
			return Standing{}, err
		}
	}
}

// next waits for a standing after number seen.
func (a *Agent) next(seen uint64, limit time.Duration) (Standing, error) {
	var standing Standing
	err := a.with(func(handle *C.peer_agent) error {
		var found *C.peer_agent_standing
		err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_wait(handle, C.uint64_t(seen), milliseconds(limit), &found, failed)
		})
		if err == nil {
			standing = take(&found)
		}
		return err
	})
	return standing, err
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
		return nil
	})
	a.mu.Lock()
	a.last = a.standing()
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
	if a == nil {
		return ErrStopped
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.handle == nil {
		return ErrStopped
	}
	return call(a.handle)
}

// Version is the library's version, such as "0.1.0".
func Version() string { return C.GoString(C.peer_agent_version()) }

// settings makes the library's settings, which the caller frees.
func (c Config) settings() (*C.peer_agent_config, error) {
	if found := C.peer_agent_abi_version(); found != C.PEER_AGENT_ABI_VERSION {
		return nil, fmt.Errorf("agent: the library has interface %d, and this package is for %d: build the one that belongs to it", found, C.PEER_AGENT_ABI_VERSION)
	}
	if err := c.whole(); err != nil {
		return nil, err
	}
	var settings *C.peer_agent_config
	err := try(func(failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_new(&settings, failed)
	})
	if err != nil {
		return nil, err
	}
	if err := c.apply(settings); err != nil {
		C.peer_agent_config_free(&settings)
		return nil, err
	}
	return settings, nil
}

// whole looks for what is missing, which the library would tell by the names of its functions.
func (c Config) whole() error {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"Attesters", len(c.Attesters) == 0},
		{"RootKey", c.RootKey == ""},
		{"IdentityFile (or IdentityKey)", c.IdentityFile == "" && len(c.IdentityKey) == 0},
		{"Address", c.Address == ""},
		{"CertificatePEM (or CertificatePin)", len(c.CertificatePEM) == 0 && len(c.CertificatePin) == 0},
	} {
		if field.missing {
			return &Error{Status: invalidSetting, Message: "Config." + field.name + " is not set"}
		}
	}
	if c.Protocols & ^(Enproxy|EnproxyPath|Connect) != 0 {
		return &Error{Status: invalidSetting, Message: fmt.Sprintf("Config.Protocols: %d is no set of Enproxy, EnproxyPath and Connect", c.Protocols)}
	}
	return nil
}

// apply sets what is not empty, in order, until something is wrong.
func (c Config) apply(settings *C.peer_agent_config) error {
	type textSetter func(*C.char, **C.peer_agent_error) C.peer_agent_status
	type bytesSetter func(*C.uint8_t, C.size_t, **C.peer_agent_error) C.peer_agent_status
	var err error
	set := func(field string, call func(**C.peer_agent_error) C.peer_agent_status) {
		err = try(call)
		var wrong *Error
		if errors.As(err, &wrong) {
			wrong.Message = "Config." + field + ": " + wrong.Message
		}
	}
	text := func(field, value string, setter textSetter) {
		if err != nil || value == "" {
			return
		}
		if strings.IndexByte(value, 0) >= 0 {
			err = &Error{Status: invalidSetting, Message: fmt.Sprintf("Config.%s: a NUL character in %.100q", field, value)}
			return
		}
		copied := C.CString(value)
		defer C.free(unsafe.Pointer(copied))
		set(field, func(failed **C.peer_agent_error) C.peer_agent_status { return setter(copied, failed) })
	}
	bytes := func(field string, value []byte, setter bytesSetter) {
		if err == nil && len(value) > 0 {
			set(field, func(failed **C.peer_agent_error) C.peer_agent_status {
				return setter((*C.uint8_t)(&value[0]), C.size_t(len(value)), failed)
			})
		}
	}
	for _, endpoint := range c.Attesters {
		text("Attesters", endpoint, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_config_add_attester(settings, value, failed)
		})
	}
	text("RootKey", c.RootKey, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_root_key(settings, value, failed)
	})
	text("IdentityFile", c.IdentityFile, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_identity_file(settings, value, failed)
	})
	bytes("IdentityKey", c.IdentityKey, func(value *C.uint8_t, length C.size_t, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_identity_key(settings, value, length, failed)
	})
	text("KeysetFile", c.KeysetFile, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_keyset_file(settings, value, failed)
	})
	text("Address", c.Address, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_address(settings, value, failed)
	})
	bytes("CertificatePEM", c.CertificatePEM, func(value *C.uint8_t, length C.size_t, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_certificate_pem(settings, value, length, failed)
	})
	bytes("CertificatePin", c.CertificatePin, func(value *C.uint8_t, length C.size_t, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_certificate_pin(settings, value, length, failed)
	})
	text("ConnectToken", c.ConnectToken, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_connect_token(settings, value, failed)
	})
	text("BindAddress", c.BindAddress, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_bind(settings, value, failed)
	})
	text("Software", c.Software, func(value *C.char, failed **C.peer_agent_error) C.peer_agent_status {
		return C.peer_agent_config_set_software(settings, value, failed)
	})
	if err == nil {
		set("ListeningPort", func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_config_set_listening_port(settings, C.uint16_t(c.ListeningPort), failed)
		})
	}
	if err == nil && c.Protocols != 0 {
		set("Protocols", func(failed **C.peer_agent_error) C.peer_agent_status {
			return C.peer_agent_config_set_protocols(settings, C.uint32_t(c.Protocols), failed)
		})
	}
	return err
}

func milliseconds(duration time.Duration) C.uint32_t {
	if duration/time.Millisecond > math.MaxUint32 {
		return math.MaxUint32
	}
	return C.uint32_t(duration / time.Millisecond)
}

const (
	invalidSetting = "invalid-setting"
	// How long a goroutine that nobody can hurry waits in one call; a stop ends it at once.
	wholeWait = time.Hour
	// The same where a context may end.
	slice = 50 * time.Millisecond
	// An agent says its goodbye within 2 s.
	stopLimit = 2500 * time.Millisecond
)
