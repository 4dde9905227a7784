package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"peer-agent.example/agent/cmd/internal/running"
)

func TestMain(m *testing.M) { running.Main(m, main) }

// Neither what a client is told nor what the peer keeps or prints is more than it needs.
func TestAClientOfADestinationThatRefuses(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	destination := closed.Addr().String()
	closed.Close()
	peer := running.Start(t, "-allow-private")
	// enproxy by itself answers the second with a panic.
	for range [2]int{} {
		status, body := write(t, peer.Address, "client-0001", destination)
		if status != http.StatusInternalServerError || !strings.HasPrefix(body, "Unable to get outoing connection to destination server: ") {
			t.Fatal(status, body)
		}
	}
	if status, _ := write(t, peer.Address, strings.Repeat("i", 900<<10), destination); status != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(status)
	}
	// Nor is a volunteer told who came.
	if conn, err := net.Dial("tcp", peer.Address); err != nil {
		t.Error(err)
	} else {
		fmt.Fprint(conn, "no TLS at all")
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
	}
	if said := peer.Stop(t); said != "" {
		t.Errorf("%.2000s", said)
	}
}

// One address has a quarter of the connections.
func TestACrowdIsBounded(t *testing.T) {
	peer := running.Start(t, "-connections", "4")
	first := dial(t, peer.Address)
	if second, err := tls.Dial("tcp", peer.Address, insecure); err == nil {
		second.Close()
		t.Error("a second connection of one address was served")
	}
	first.Close()
	until := time.Now().Add(patience)
	for {
		third, err := tls.Dial("tcp", peer.Address, insecure)
		if err == nil {
			third.Close()
			break
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
}

func TestItServesOnWhenNobodyReadsWhatItPrints(t *testing.T) {
	peer := running.StartUnread(t)
	// More than a pipe holds: it has printed a line before it reads this.
	if err := peer.Type(strings.Repeat("\n", 1<<20)); err != nil {
		t.Fatal(err)
	}
	peer.Stop(t)
}

// write sends an empty write request of enproxy, and returns the status and the body of the answer.
func write(t *testing.T, peer, id, destination string) (int, string) {
	t.Helper()
	conn := dial(t, peer)
	defer conn.Close()
	request, _ := http.NewRequest(http.MethodPost, "https://peer/", nil)
	request.Header.Set("X-Enproxy-Id", id)
	request.Header.Set("X-Enproxy-Dest-Addr", destination)
	request.Header.Set("X-Enproxy-Op", "write")
	// The peer may not read all of it.
	_ = request.Write(conn)
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func dial(t *testing.T, peer string) *tls.Conn {
	t.Helper()
	conn, err := tls.Dial("tcp", peer, insecure)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

var insecure = &tls.Config{InsecureSkipVerify: true}

const patience = 30 * time.Second
