package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const root = "ed25519:rkeohxlubhyzl7ks3mwtzos5olfgocn7dwkbeg7toseadnapn5oa"

// config is one that works, for an attester that nobody is.
func config(t *testing.T) Config {
	t.Helper()
	return Config{
		Attesters:      []string{"127.0.0.1:1"},
		RootKey:        root,
		IdentityFile:   filepath.Join(t.TempDir(), "peer.key"),
		Address:        "127.0.0.1:443",
		CertificatePin: make([]byte, 32),
	}
}

func start(t *testing.T, config Config) *Agent {
	t.Helper()
	agent, err := Start(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := agent.Close(); err != nil {
			t.Error(err)
		}
	})
	return agent
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	for words, change := range map[string]func(*Config){
		"Config.Attesters is not set":            func(c *Config) { c.Attesters = nil },
		"Config.Attesters: endpoint":             func(c *Config) { c.Attesters = []string{"nowhere"} },
		"Config.RootKey is not set":              func(c *Config) { c.RootKey = "" },
		"Config.RootKey: root_key":               func(c *Config) { c.RootKey = "ed25519:" },
		"Config.IdentityFile (or IdentityKey)":   func(c *Config) { c.IdentityFile = "" },
		"Config.Address is not set":              func(c *Config) { c.Address = "" },
		"no ip:port":                             func(c *Config) { c.Address = "peer.example" },
		"Config.CertificatePEM (or Certificate":  func(c *Config) { c.CertificatePin = nil },
		"Config.CertificatePin: pin: 31 bytes":   func(c *Config) { c.CertificatePin = make([]byte, 31) },
		"Config.CertificatePEM: pem holds no ce": func(c *Config) { c.CertificatePEM = []byte("none") },
		"Config.IdentityKey: ":                   func(c *Config) { c.IdentityKey = []byte("none") },
		"Config.Protocols: 8 is no set":          func(c *Config) { c.Protocols = 8 },
		"token":                                  func(c *Config) { c.ConnectToken = "not visible" },
		"Config.BindAddress: ":                   func(c *Config) { c.BindAddress = "127.0.0.1:80" },
		"software":                               func(c *Config) { c.Software = strings.Repeat("x", 65) },
		"Config.Software: a NUL character":       func(c *Config) { c.Software = "x\x00y" },
		"cannot be read":                         func(c *Config) { c.KeysetFile = os.DevNull + "/keyset" },
	} {
		config := config(t)
		change(&config)
		agent, err := Start(config)
		var failed *Error
		if agent != nil || !errors.As(err, &failed) || !strings.Contains(failed.Message, words) {
			t.Errorf("%q: %v", words, err)
			continue
		}
		if failed.Status != "invalid-setting" && failed.Status != "identity" {
			t.Errorf("%q: %s", words, failed.Status)
		}
	}
}

func TestAnAgentThatNobodyAnswersSaysSo(t *testing.T) {
	agent := start(t, config(t))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	standing, err := agent.Wait(ctx, func(s Standing) bool { return s.Reason != "" })
	if err != nil {
		t.Fatal(err)
	}
	if standing.State != Connecting || standing.Remedy == "" || !strings.Contains(standing.String(), standing.Remedy) {
		t.Errorf("%+v", standing)
	}
	if len(standing.PeerID) != 26 || !standing.LastVerdict.IsZero() || !standing.ValidUntil.IsZero() {
		t.Errorf("%+v", standing)
	}
	object, err := agent.StandingJSON()
	var fields map[string]interface{}
	if err != nil || json.Unmarshal(object, &fields) != nil || fields["peer_id"] != standing.PeerID {
		t.Errorf("%s, %v", object, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	agent := start(t, config(t))
	ctx, cancel := context.WithCancel(context.Background())
	never := make(chan error)
	go func() {
		_, err := agent.Wait(ctx, func(Standing) bool { return false })
		never <- err
	}()
	cancel()
	if err := <-never; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestChangesEndWithTheAgent(t *testing.T) {
	agent := start(t, config(t))
	changes := agent.Changes()
	if changes != agent.Changes() {
		t.Error("another channel")
	}
	if err := agent.Pause(); err != nil {
		t.Error(err)
	}
	for standing := range changes {
		if standing.State == Paused {
			break
		}
	}
	if err := agent.Resume(); err != nil {
		t.Error(err)
	}
	if err := agent.Retest(); err != nil {
		t.Error(err)
	}
	if err := agent.Close(); err != nil {
		t.Error(err)
	}
	last := Standing{}
	for standing := range changes {
		last = standing
	}
	if last.State != Stopped {
		t.Errorf("%+v", last)
	}
}

// However the close falls between two looks of the goroutine that watches.
func TestTheLastChangeIsThatItStopped(t *testing.T) {
	for i := 0; i < 200; i++ {
		agent, err := Start(config(t))
		if err != nil {
			t.Fatal(err)
		}
		changes := agent.Changes()
		go agent.Close()
		last := Standing{}
		for standing := range changes {
			last = standing
		}
		if last.State != Stopped {
			t.Fatalf("%+v", last)
		}
	}
}

func TestAfterCloseNothingHappens(t *testing.T) {
	agent := start(t, config(t))
	for i := 0; i < 2; i++ {
		if err := agent.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, call := range []func() error{agent.Pause, agent.Resume, agent.Retest} {
		if err := call(); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
	}
	if _, err := agent.StandingJSON(); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if _, err := agent.Wait(context.Background(), func(Standing) bool { return false }); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if standing := agent.Standing(); standing.State != Stopped || len(standing.PeerID) != 26 {
		t.Errorf("%+v", standing)
	}
	if _, open := <-agent.Changes(); open {
		t.Error("a change")
	}
	conn, peer := net.Pipe()
	defer peer.Close()
	defer conn.Close()
	if agent.WrapConn(conn, "origin.example:80") != conn {
		t.Error("wrapped")
	}
}

func TestAStopThatMayNotWaitGoesOnByItself(t *testing.T) {
	agent := start(t, config(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	// As a call that is under way: nothing is freed before it has returned.
	agent.mu.RLock()
	if err := agent.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	agent.mu.RUnlock()
	if err := agent.Close(); err != nil {
		t.Error(err)
	}
	if standing := agent.Standing(); standing.State != Stopped {
		t.Error(standing)
	}
}

// A call that hangs holds up the agent's end; dials and questions go on.
func TestAnAgentThatHangsHoldsUpNobody(t *testing.T) {
	agent := start(t, config(t))
	changes := agent.Changes()
	agent.mu.RLock()
	defer agent.mu.RUnlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = agent.Stop(ctx)
	// Until the end waits for the call.
	for i := 0; agent.mu.TryRLock(); i++ {
		agent.mu.RUnlock()
		if i > 60_000 {
			t.Fatal("it does not stop")
		}
		time.Sleep(time.Millisecond)
	}
	conn, peer := net.Pipe()
	defer conn.Close()
	defer peer.Close()
	done := make(chan Standing)
	go func() {
		if agent.WrapConn(conn, "origin.example:80") != conn {
			t.Error("it is wrapped")
		}
		if !errors.Is(agent.Pause(), ErrStopped) {
			t.Error("it is not stopped")
		}
		for range changes {
		}
		if _, err := agent.Wait(context.Background(), func(Standing) bool { return false }); !errors.Is(err, ErrStopped) {
			t.Error(err)
		}
		done <- agent.Standing()
	}()
	select {
	case standing := <-done:
		if standing.State != Stopped {
			t.Error(standing)
		}
	case <-time.After(time.Minute):
		t.Fatal("somebody waits for it")
	}
}

func TestManyWaitsTakeNoThreads(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("threads are counted in /proc")
	}
	agent := start(t, config(t))
	ctx, cancel := context.WithCancel(context.Background())
	var all, begun sync.WaitGroup
	for i := 0; i < 500; i++ {
		all.Add(1)
		begun.Add(1)
		go func() {
			defer all.Done()
			first := true
			_, err := agent.Wait(ctx, func(Standing) bool {
				if first {
					begun.Done()
				}
				first = false
				return false
			})
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
	}
	begun.Wait()
	count := 0
	for _, some := range threads(t) {
		count += some
	}
	if count > 100 {
		t.Errorf("%d threads", count)
	}
	cancel()
	all.Wait()
}

func TestANilAgentDoesNothing(t *testing.T) {
	doesNothing(t, nil)
	doesNothing(t, &Agent{})
}

func doesNothing(t *testing.T, agent *Agent) {
	t.Helper()
	if err := agent.Close(); err != nil {
		t.Error(err)
	}
	if agent.Changes() != nil || agent.Standing() != (Standing{}) || !errors.Is(agent.Retest(), ErrStopped) {
		t.Error("it does something")
	}
	conn, peer := net.Pipe()
	defer peer.Close()
	defer conn.Close()
	dial := agent.WrapDial(func(string) (net.Conn, error) { return conn, nil })
	if wrapped, err := dial("origin.example:80"); wrapped != conn || err != nil {
		t.Error(wrapped, err)
	}
}

// What was dialled comes back itself: *net.TCPConn stays one, and its bytes go their short way.
func TestWithoutAProbeTheConnectionIsTheOneDialled(t *testing.T) {
	agent := start(t, config(t))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address := listener.Addr().String()
	dials := map[string]func() (net.Conn, error){
		"address": func() (net.Conn, error) {
			return agent.WrapDial(func(address string) (net.Conn, error) { return net.Dial("tcp", address) })(address)
		},
		"network": func() (net.Conn, error) { return agent.WrapNetworkDial(net.Dial)("tcp", address) },
		"context": func() (net.Conn, error) {
			return agent.WrapDialContext((&net.Dialer{}).DialContext)(context.Background(), "tcp", address)
		},
	}
	for name, dial := range dials {
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := conn.(*net.TCPConn); !ok {
			t.Errorf("%s: %T", name, conn)
		}
		conn.Close()
	}
	listener.Close()
	for name, dial := range dials {
		if conn, err := dial(); err == nil || conn != nil {
			t.Errorf("%s: %v", name, conn)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := agent.WrapDialContext((&net.Dialer{}).DialContext)(ctx, "tcp", address); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWithoutAProbeNothingIsAllocated(t *testing.T) {
	agent := start(t, config(t))
	conn, peer := net.Pipe()
	defer peer.Close()
	defer conn.Close()
	if found := testing.AllocsPerRun(1000, func() { agent.WrapConn(conn, "origin.example:80") }); found != 0 {
		t.Errorf("%v allocations", found)
	}
}

func TestAgentsLeaveNoGoroutineAndNoThread(t *testing.T) {
	before := runtime.NumGoroutine()
	for i := 0; i < 50; i++ {
		agent, err := Start(config(t))
		if err != nil {
			t.Fatal(err)
		}
		agent.Changes()
		// A thread gives itself its name once it runs.
		named := runtime.GOOS != "linux"
		for j := 0; !named && j < 10000; j++ {
			named = threads(t)[library] > 0
			time.Sleep(time.Millisecond)
		}
		if !named {
			t.Error("its thread has another name")
		}
		if err := agent.Close(); err != nil {
			t.Error(err)
		}
	}
	// A goroutine that has said its last word may still be on its way out.
	for i := 0; runtime.NumGoroutine() > before && i < 10000; i++ {
		time.Sleep(time.Millisecond)
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines, %d before", now, before)
	}
	// Go keeps threads that have waited in calls for later; the library's own end with their agents.
	if now := threads(t); now[library] > 0 {
		t.Errorf("%v", now)
	}
}

// The name of the library's threads.
const library = "peer-agent"

// threads counts this process's threads by name; nothing where there is no /proc.
func threads(t *testing.T) map[string]int {
	t.Helper()
	found := map[string]int{}
	names, _ := filepath.Glob("/proc/self/task/*/comm")
	for _, file := range names {
		if name, err := os.ReadFile(file); err == nil {
			found[strings.TrimSpace(string(name))]++
		}
	}
	return found
}

// For the race detector: everything at once, and a close in the middle.
func TestManyGoroutinesAndAClose(t *testing.T) {
	agent := start(t, config(t))
	conn, peer := net.Pipe()
	defer peer.Close()
	defer conn.Close()
	var all sync.WaitGroup
	for i := 0; i < 64; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for j := 0; j < 100; j++ {
				if agent.WrapConn(conn, "origin.example:80") != conn {
					t.Error("wrapped")
				}
				agent.Standing()
				_ = agent.Retest()
				agent.Changes()
			}
		}()
	}
	if err := agent.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
}

func BenchmarkWrapConnWithoutAProbe(b *testing.B) {
	agent, err := Start(Config{
		Attesters:      []string{"127.0.0.1:1"},
		RootKey:        root,
		IdentityFile:   filepath.Join(b.TempDir(), "peer.key"),
		Address:        "127.0.0.1:443",
		CertificatePin: make([]byte, 32),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer agent.Close()
	conn, peer := net.Pipe()
	defer peer.Close()
	defer conn.Close()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		agent.WrapConn(conn, "origin.example:80")
	}
}
