package global

import (
	"errors"
	"net"
	"strings"
	"testing"
)

// The table of peer-agent/src/give/policy.rs, and more.
func TestOnlyPublicAddressesAreDialled(t *testing.T) {
	for address, public := range map[string]bool{
		"0.0.0.0":         false,
		"0.1.2.3":         false,
		"10.0.0.1":        false,
		"10.1.2.3":        false,
		"100.64.0.1":      false,
		"100.127.255.255": false,
		"127.0.0.1":       false,
		"127.77.1.1":      false,
		"169.254.169.254": false,
		"172.16.0.1":      false,
		"172.31.255.255":  false,
		"192.0.0.1":       false,
		"192.0.2.1":       false,
		"192.88.99.1":     false,
		"192.168.0.1":     false,
		"198.18.0.1":      false,
		"198.19.255.255":  false,
		"198.51.100.1":    false,
		"203.0.113.9":     false,
		"224.0.0.1":       false,
		"240.0.0.1":       false,
		"255.255.255.255": false,

		"::":                 false,
		"::1":                false,
		"::7f00:1":           false,
		"::a00:1":            false,
		"::ffff:127.0.0.1":   false,
		"::ffff:10.0.0.1":    false,
		"::ffff:192.168.1.1": false,
		"::ffff:0:7f00:1":    false,
		"64:ff9b::7f00:1":    false,
		"64:ff9b::a00:1":     false,
		"64:ff9b:1::1":       false,
		"100::1":             false,
		"1fff::1":            false,
		"2001::1":            false,
		"2001:0:1::1":        false,
		"2001:1ff::1":        false,
		"2001:db8::1":        false,
		"2002:7f00:1::1":     false,
		"3fff::1":            false,
		"3fff:fff::1":        false,
		"4000::1":            false,
		"5f00::1":            false,
		"fc00::1":            false,
		"fd12::1":            false,
		"fe80::1":            false,
		"fe80::1%lo":         false,
		"fec0::1":            false,
		"ff02::1":            false,

		"1.1.1.1":              true,
		"8.8.8.8":              true,
		"100.63.0.1":           true,
		"100.128.0.1":          true,
		"172.15.0.1":           true,
		"172.32.0.1":           true,
		"192.0.1.1":            true,
		"192.167.0.1":          true,
		"198.17.0.1":           true,
		"223.255.255.255":      true,
		"::ffff:8.8.8.8":       true,
		"64:ff9b::808:808":     true,
		"2001:200::1":          true,
		"2606:4700::1111":      true,
		"2001:4860:4860::8888": true,
		"2a00::1":              true,
		"3ffe::1":              true,
		"3fff:1000::1":         true,
	} {
		if err := Only("tcp", net.JoinHostPort(address, "80"), nil); (err == nil) != public {
			t.Errorf("%s: %v", address, err)
		}
	}
	if Only("tcp", "no address", nil) == nil {
		t.Error("no address at all was dialled")
	}
	// By name as well: what counts is where it led.
	dialer := net.Dialer{Control: Only}
	if conn, err := dialer.Dial("tcp", "localhost:1"); err == nil {
		conn.Close()
		t.Error("localhost was dialled")
	} else if !strings.Contains(err.Error(), "no public address") {
		t.Error(err)
	}
}

// A printer at home has a public IPv6 address, and this machine too.
func TestTheOwnNetworkIsNotDialled(t *testing.T) {
	defer func() { interfaceAddrs = net.InterfaceAddrs }()
	interfaceAddrs = func() ([]net.Addr, error) {
		var own []net.Addr
		for _, text := range []string{"127.0.0.1/8", "192.168.1.7/24", "2a00:1:2:3::7/64", "9.9.9.9/24", "2a00:9::1/1"} {
			ip, network, err := net.ParseCIDR(text)
			if err != nil {
				t.Fatal(err)
			}
			own = append(own, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		return own, nil
	}
	for address, dialled := range map[string]bool{
		"2a00:1:2:3::7":    false,
		"2a00:1:2:3::8":    false,
		"2a00:1:2:4::7":    true,
		"9.9.9.9":          false,
		"::ffff:9.9.9.9":   false,
		"9.9.9.10":         true,
		"64:ff9b::909:909": false,
		// An interface that calls half of the world its network does not close it.
		"2a00:9::1": false,
		"2a00:9::2": true,
		"8.8.8.8":   true,
	} {
		if err := Only("tcp", net.JoinHostPort(address, "80"), nil); (err == nil) != dialled {
			t.Errorf("%s: %v", address, err)
		}
	}
	interfaceAddrs = func() ([]net.Addr, error) { return nil, errors.New("permission denied") }
	if err := Only("tcp", "9.9.9.9:80", nil); err != nil {
		t.Error(err)
	}
}

// Where clients reach a peer at home is its router, which shows more to who comes from inside.
func TestThePublicAddressIsNotDialled(t *testing.T) {
	control := Except("9.9.9.9:443")
	for address, dialled := range map[string]bool{
		"9.9.9.9":          false,
		"::ffff:9.9.9.9":   false,
		"64:ff9b::909:909": false,
		"9.9.9.10":         true,
		"127.0.0.1":        false,
	} {
		if err := control("tcp", net.JoinHostPort(address, "80"), nil); (err == nil) != dialled {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := Except(":443")("tcp", "8.8.8.8:80", nil); err != nil {
		t.Error(err)
	}
}
