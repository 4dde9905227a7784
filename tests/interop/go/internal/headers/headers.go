// Package headers writes the requests of 2014: tunnel, destination and operation in headers instead of in the path.
//
// The package enproxy leaves the making of requests to the program around it, and hands over what it would put into the path.
package headers

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/getlantern/enproxy"
)

// Request makes one. path is "<id>/<destination>/<operation>".
func Request(host, path, method string, body io.Reader) (*http.Request, error) {
	parts := strings.Split(path, "/")
	if len(parts) != 3 {
		return nil, errors.New("the package's paths have changed: " + path)
	}
	request, err := http.NewRequest(method, "http://"+host+"/", body)
	if err != nil {
		return nil, err
	}
	// As the Go of then named itself.
	request.Header.Set("User-Agent", "Go 1.1 package http")
	request.Header.Set(enproxy.X_ENPROXY_ID, parts[0])
	request.Header.Set(enproxy.X_ENPROXY_DEST_ADDR, parts[1])
	request.Header.Set(enproxy.X_ENPROXY_OP, parts[2])
	return request, nil
}
