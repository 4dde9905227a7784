// Package global keeps a peer's clients out of the peer's own network.
package global

import (
	"fmt"
	"net"
	"syscall"
)

// Only is a net.Dialer.Control that lets connections go to public addresses alone, whatever name led there.
func Only(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip := net.ParseIP(host)
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || shared.Contains(ip) || here.Contains(ip) {
		return fmt.Errorf("%s is no public address, and this peer serves no others", host)
	}
	return nil
}

var (
	// Of carriers, RFC 6598.
	shared = net.IPNet{IP: net.IPv4(100, 64, 0, 0).To4(), Mask: net.CIDRMask(10, 32)}
	// RFC 1122, section 3.2.1.3.
	here = net.IPNet{IP: net.IPv4(0, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}
)
