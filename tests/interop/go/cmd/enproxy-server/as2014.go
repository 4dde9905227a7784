package main

import "net/http"

// What differed in the servers of 2014-08 (flashlight 0.0.2), 2014-12 (flashlight 0.0.3) and 2015-02, as far as a client can tell
// (tests/captures/tls-2014-server-statuses.txt): a request's path means nothing, every error is a bare 502 whose text goes to the
// log, and no answer tells of the client's country and address.
type as2014 struct{ today http.Handler }

func (s as2014) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// With a path as short as this one the server of today looks at the headers, too.
	r.URL.Path = "/"
	s.today.ServeHTTP(&answer{ResponseWriter: w}, r)
}

type answer struct {
	http.ResponseWriter
	refused bool
}

func (a *answer) WriteHeader(status int) {
	a.Header().Del("Lantern-Country")
	a.Header().Del("Lantern-Ip")
	if status/100 != 2 {
		a.refused, status = true, http.StatusBadGateway
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(text []byte) (int, error) {
	if a.refused {
		return len(text), nil
	}
	return a.ResponseWriter.Write(text)
}

func (a *answer) Flush() { a.ResponseWriter.(http.Flusher).Flush() }
