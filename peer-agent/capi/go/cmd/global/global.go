// Package global keeps a peer's clients out of the peer's own network.
package global

import (
	"fmt"
	"net"
	"syscall"
)

// Only is a net.Dialer.Control that lets connections go to public addresses alone, whatever name led there, and to none of this machine
// or of an IPv6 network that it is in: at home everything has a public IPv6 address.
func Only(network, address string, conn syscall.RawConn) error {
	return Except("")(network, address, conn)
}

// Except is Only, and refuses the address too that clients reach this peer at, "ip:port" or nothing: it may be the router's, which shows
// more to who comes from inside.
func Except(public string) func(network, address string, conn syscall.RawConn) error {
	var own net.IP
	if host, _, err := net.SplitHostPort(public); err == nil {
		own = net.ParseIP(host)
	}
	return func(_, address string, _ syscall.RawConn) error { return judge(address, own) }
}

func judge(address string, public net.IP) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip := net.ParseIP(host)
	if within(ip, nat64) {
		ip = ip[12:]
	}
	if !isPublic(ip) {
		return fmt.Errorf("%s is no public address, and this peer serves no others", host)
	}
	if ip.Equal(public) {
		return fmt.Errorf("%s is where clients reach this peer, which it does not serve", host)
	}
	// Asked at each connection, since a machine moves. Where the system does not tell (Android) there is nothing to compare with.
	if own, err := interfaceAddrs(); err == nil && isNear(ip, own) {
		return fmt.Errorf("%s is in this peer's own network, which it does not serve", host)
	}
	return nil
}

// A test has others.
var interfaceAddrs = net.InterfaceAddrs

// isPublic tells globally reachable unicast, as the Rust peer does (peer-agent/src/give/policy.rs).
func isPublic(ip net.IP) bool {
	if v4 := ip.To4(); v4 != nil {
		return !within(v4, specialV4)
	}
	if len(ip) != net.IPv6len {
		return false
	}
	return within(ip, unicastV6) && !within(ip, specialV6)
}

// isNear tells addresses of this machine, and of the IPv6 networks that it is in. (IPv4 networks with public addresses are shared by
// strangers in a data centre, and a home has none.)
func isNear(ip net.IP, own []net.Addr) bool {
	for _, address := range own {
		network, ok := address.(*net.IPNet)
		if !ok {
			continue
		}
		// What is shorter is a provider's, or a tunnel to everywhere.
		length, bits := network.Mask.Size()
		household := bits == 8*net.IPv6len && length >= 48
		if network.IP.Equal(ip) || household && network.Contains(ip) {
			return true
		}
	}
	return false
}

func within(ip net.IP, networks []*net.IPNet) bool {
	for _, network := range networks {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// Networks that are not reachable from everywhere, or lead to others that are not (the registries of RFC 6890).
var (
	specialV4 = networks(
		"0.0.0.0/8",       // this host, RFC 1122
		"10.0.0.0/8",      // private, RFC 1918
		"100.64.0.0/10",   // of carriers, RFC 6598
		"127.0.0.0/8",     // loopback, RFC 1122
		"169.254.0.0/16",  // of a link, RFC 3927
		"172.16.0.0/12",   // private, RFC 1918
		"192.0.0.0/24",    // IETF protocols, RFC 6890
		"192.0.2.0/24",    // documentation, RFC 5737
		"192.88.99.0/24",  // 6to4 relays, RFC 7526
		"192.168.0.0/16",  // private, RFC 1918
		"198.18.0.0/15",   // benchmarks, RFC 2544
		"198.51.100.0/24", // documentation, RFC 5737
		"203.0.113.0/24",  // documentation, RFC 5737
		"224.0.0.0/3",     // multicast, RFC 1112, and reserved
	)
	// All of IPv6 that is global unicast, RFC 4291.
	unicastV6 = networks("2000::/3")
	specialV6 = networks(
		"2001::/23",     // IETF protocols, Teredo among them, RFC 2928
		"2001:db8::/32", // documentation, RFC 3849
		"2002::/16",     // IPv4 inside, RFC 3056
		"3fff::/20",     // documentation, RFC 9637
	)
	// Leads to the IPv4 address inside, which is judged instead, RFC 6052.
	nat64 = networks("64:ff9b::/96")
)

func networks(texts ...string) []*net.IPNet {
	var all []*net.IPNet
	for _, text := range texts {
		_, network, err := net.ParseCIDR(text)
		if err != nil {
			panic(err)
		}
		all = append(all, network)
	}
	return all
}
