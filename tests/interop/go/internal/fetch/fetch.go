// Package fetch is what the fetching programs have in common: what to ask for, how often, and what is told of each answer.
package fetch

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// What is asked for.
type What struct {
	URL, Post        string
	Repeat, Parallel int
	Again            bool
	Timeout          time.Duration
}

// Flags for all of it.
func (w *What) Flags() {
	flag.StringVar(&w.URL, "url", "", "what to fetch")
	flag.StringVar(&w.Post, "post", "", "post this `file` there instead of getting")
	flag.IntVar(&w.Repeat, "repeat", 1, "fetch it `n` times")
	flag.IntVar(&w.Parallel, "parallel", 1, "keep `n` of these requests under way at a time")
	flag.BoolVar(&w.Again, "again", false, "fetch once more, through the same tunnel, for each line on standard input")
	flag.DurationVar(&w.Timeout, "timeout", 30*time.Second, "give up on a request after this `duration`")
}

// Whether the flags make sense.
func (w *What) Valid() bool { return w.URL != "" && w.Repeat >= 1 && w.Parallel >= 1 }

// What came of one request.
type Result struct {
	// The inner status; 0 when no answer came.
	Status int `json:"status"`
	// Length and digest of as much of the body as came.
	Length int64  `json:"length"`
	SHA256 string `json:"sha256"`
	// What an enproxy server called itself in its first answer.
	ProxyHost string `json:"proxy_host"`
	// From before the tunnel was opened until the answer was complete.
	Micros int64  `json:"micros"`
	Error  string `json:"error"`
}

// Whether a complete answer came, with a 2xx status.
func (r Result) OK() bool { return r.Error == "" && r.Status >= 200 && r.Status < 300 }

// Client makes a client whose connections are tunnels: one for each request or, to be used again, one for all.
func (w *What) Client(tunnel func(addr string) (net.Conn, error)) *http.Client {
	used := false
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives:  !w.Again,
			DisableCompression: true,
			Dial: func(_, addr string) (net.Conn, error) {
				if w.Again && used {
					return nil, errors.New("the tunnel did not live on")
				}
				used = true
				return tunnel(addr)
			},
		},
		// A redirection is an answer like any other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// All fetches as often as the flags say. open makes what fetches, with a client of its own.
func (w *What) All(open func() func() Result) <-chan Result {
	if !w.Again {
		return Times(w.Repeat, w.Parallel, func() Result { return open()() })
	}
	results := make(chan Result)
	go func() {
		defer close(results)
		once := open()
		results <- once()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			results <- once()
		}
	}()
	return results
}

// InTime fetches once with a client. Connections of enproxy have no deadlines, so the time limit has to be kept from outside.
func (w *What) InTime(client *http.Client) (r Result) {
	done := make(chan Result, 1)
	began := time.Now()
	go func() { done <- w.once(client) }()
	select {
	case r = <-done:
	case <-time.After(w.Timeout):
		r.Error = fmt.Sprintf("no complete answer within %v", w.Timeout)
	}
	r.Micros = time.Since(began).Microseconds()
	return r
}

func (w *What) once(client *http.Client) (r Result) {
	response, err := w.ask(client)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer response.Body.Close()
	digest := sha256.New()
	r.Status = response.StatusCode
	r.Length, err = io.Copy(digest, response.Body)
	r.SHA256 = hex.EncodeToString(digest.Sum(nil))
	if err != nil {
		r.Error = err.Error()
	}
	return r
}

func (w *What) ask(client *http.Client) (*http.Response, error) {
	if w.Post == "" {
		return client.Get(w.URL)
	}
	body, err := os.ReadFile(w.Post)
	if err != nil {
		return nil, err
	}
	return client.Post(w.URL, "application/octet-stream", bytes.NewReader(body))
}

// Times does something a number of times, so many at a time. Results come in the order in which they are there.
func Times[R any](repeat, parallel int, once func() R) <-chan R {
	turns, results := make(chan struct{}), make(chan R)
	var workers sync.WaitGroup
	for i := 0; i < parallel; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for range turns {
				results <- once()
			}
		}()
	}
	go func() {
		for i := 0; i < repeat; i++ {
			turns <- struct{}{}
		}
		close(turns)
		workers.Wait()
		close(results)
	}()
	return results
}

// Tell prints results, one JSON object a line, and ends the program: with 0 when all are well.
func Tell[R any](program string, results <-chan R, well func(R) bool) {
	out, status := json.NewEncoder(os.Stdout), 0
	for result := range results {
		if !well(result) {
			status = 1
		}
		if err := out.Encode(result); err != nil {
			fmt.Fprintln(os.Stderr, program+":", err)
			os.Exit(1)
		}
	}
	os.Exit(status)
}
