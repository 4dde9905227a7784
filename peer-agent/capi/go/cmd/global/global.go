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
	if ip := net.ParseIP(host); !isPublic(ip) {
		return fmt.Errorf("%s is no public address, and this peer serves no others", host)
	}
	return nil
}

func isPublic(ip net.IP) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, network := range special {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}

// special are networks that are not reachable from everywhere, or lead to others that are not (the registries of RFC 6890).
var special = networks(
	"0.0.0.0/8",       // this host, RFC 1122
	"100.64.0.0/10",   // of carriers, RFC 6598
	"192.0.0.0/24",    // IETF protocols, RFC 6890
	"192.0.2.0/24",    // documentation, RFC 5737
	"192.88.99.0/24",  // 6to4 relays, RFC 7526
	"198.18.0.0/15",   // benchmarks, RFC 2544
	"198.51.100.0/24", // documentation, RFC 5737
	"203.0.113.0/24",  // documentation, RFC 5737
	"240.0.0.0/4",     // reserved, RFC 1112
	"64:ff9b::/96",    // IPv4 inside, RFC 6052
	"64:ff9b:1::/48",  // IPv4 inside, RFC 8215
	"100::/64",        // discard, RFC 6666
	"2001::/23",       // IETF protocols, Teredo among them, RFC 2928
	"2001:db8::/32",   // documentation, RFC 3849
	"2002::/16",       // IPv4 inside, RFC 3056
	"fec0::/10",       // of a site, RFC 3879
)

func networks(texts ...string) []*net.IPNet {
	var all []*net.IPNet
	for _, text := range texts {
		if _, network, err := net.ParseCIDR(text); err == nil {
			all = append(all, network)
		}
	}
	return all
}
