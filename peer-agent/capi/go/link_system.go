//go:build peer_agent_system

package agent

// The library that install.sh installed, found by pkg-config.

// #cgo pkg-config: peer_agent
import "C"
