package agent

// #include <stdlib.h>
// #include "peer_agent.h"
import "C"

import (
	"errors"
	"fmt"
	"strings"
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

const invalidSetting = "invalid-setting"
