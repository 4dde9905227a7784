// Package early is the client of August 2014 (flashlight 0.0.2): a stand-in, of what was seen of the real one
// (tests/captures/*-2014-08), whose module is not to be had.
//
// It opens both of its connections at once, one for writes and one for reads, has bodies of known length only, of 65536 bytes at
// most, sends what it has when that is full or its user was silent for 35 ms, and reads only once something was written.
package early

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/getlantern/enproxy"
	"github.com/pborman/uuid"
)

// Dial opens a tunnel. It takes of the package's settings what there was in August 2014.
func Dial(addr string, config *enproxy.Config) (net.Conn, error) {
	c := &conn{addr: addr, id: uuid.NewRandom().String(), config: config, first: make(chan *http.Response, 1)}
	for _, half := range []*half{&c.reads, &c.writes} {
		proxy, err := config.DialProxy(addr)
		if err != nil {
			c.Close()
			return nil, err
		}
		half.Conn, half.buffered = proxy, bufio.NewReader(proxy)
	}
	return c, nil
}

type conn struct {
	addr, id      string
	config        *enproxy.Config
	writes, reads half

	// Guards what is to be written.
	mutex   sync.Mutex
	pending []byte
	timer   *time.Timer
	failed  error
	begun   bool

	// The answer to the first write, whose body is the first to be read; closed when there will be none.
	first  chan *http.Response
	host   string
	answer *http.Response
}

// A connection to the proxy.
type half struct {
	net.Conn
	buffered *bufio.Reader
}

func (c *conn) Write(p []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	for taken := 0; c.failed == nil; {
		n := len(p) - taken
		if room := bodySize - len(c.pending); n > room {
			n = room
		}
		c.pending = append(c.pending, p[taken:taken+n]...)
		taken += n
		if len(c.pending) < bodySize {
			c.timer = time.AfterFunc(flushTimeout, c.flush)
			return taken, nil
		}
		c.send()
	}
	return 0, c.failed
}

func (c *conn) flush() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.failed == nil && len(c.pending) > 0 {
		c.send()
	}
}

// Sends what is pending. The answers to all writes but the first say nothing.
func (c *conn) send() {
	response, err := c.ask(&c.writes, enproxy.OP_WRITE, c.pending)
	c.pending = nil
	switch {
	case err != nil:
		c.failed = err
		if !c.begun {
			close(c.first)
		}
	case c.begun:
		io.Copy(io.Discard, response.Body)
	default:
		c.begun, c.host = true, response.Header.Get(enproxy.X_ENPROXY_PROXY_HOST)
		c.config.OnFirstResponse(response)
		// The next write's answer comes on the same connection.
		body, err := io.ReadAll(response.Body)
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
		c.first <- response
	}
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		if c.answer == nil {
			c.answer = <-c.first
		}
		if c.answer == nil {
			return 0, c.failed
		}
		n, err := c.answer.Body.Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		if c.answer.Header.Get(enproxy.X_ENPROXY_EOF) == "true" {
			return 0, io.EOF
		}
		if c.answer, err = c.ask(&c.reads, enproxy.OP_READ, nil); err != nil {
			return 0, err
		}
	}
}

func (c *conn) ask(half *half, op string, body []byte) (*http.Response, error) {
	request, err := c.config.NewRequest(c.host, c.id+"/"+c.addr+"/"+op, http.MethodPost, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/octet-stream")
	if err := request.Write(half); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(half.buffered, request)
	if err == nil && response.StatusCode/100 != 2 {
		text, _ := io.ReadAll(response.Body)
		err = fmt.Errorf("Bad response status: %s: %s", response.Status, text)
	}
	return response, err
}

func (c *conn) Close() error {
	for _, half := range []*half{&c.writes, &c.reads} {
		if half.Conn != nil {
			half.Conn.Close()
		}
	}
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.writes.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.writes.RemoteAddr() }

// There were none.
func (c *conn) SetDeadline(time.Time) error      { return errNoDeadlines }
func (c *conn) SetReadDeadline(time.Time) error  { return errNoDeadlines }
func (c *conn) SetWriteDeadline(time.Time) error { return errNoDeadlines }

var errNoDeadlines = errors.New("a tunnel has no deadlines")

// A body's last words, where they are not its end.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

const (
	bodySize     = 65536
	flushTimeout = 35 * time.Millisecond
)
