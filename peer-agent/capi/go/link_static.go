//go:build !peer_agent_system

package agent

// The static library that build.sh puts here: programs need nothing at run time but the C library.

// #cgo CFLAGS: -I${SRCDIR}
// #cgo linux,amd64 LDFLAGS: ${SRCDIR}/lib/linux_amd64/libpeer_agent_c.a -lm -ldl -lpthread
// #cgo linux,arm64 LDFLAGS: ${SRCDIR}/lib/linux_arm64/libpeer_agent_c.a -lm -ldl -lpthread
// #cgo darwin,amd64 LDFLAGS: ${SRCDIR}/lib/darwin_amd64/libpeer_agent_c.a -lm
// #cgo darwin,arm64 LDFLAGS: ${SRCDIR}/lib/darwin_arm64/libpeer_agent_c.a -lm
// #cgo windows,amd64 LDFLAGS: ${SRCDIR}/lib/windows_amd64/libpeer_agent_c.a -lws2_32 -lbcrypt -luserenv -lntdll -lkernel32 -ladvapi32
import "C"
