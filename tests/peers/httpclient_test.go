package peers

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHTTPClient: whoever opens a gRPC server with an HTTP client, such as curl
// or a browser, reads what is wrong.
func TestHTTPClient(t *testing.T) {
	server := strataLib{}.serve(t, handlers{}, serverOptions{})
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for _, tc := range []struct {
		name, method, contentType string
		request                   io.Reader
		status                    int
		text                      string
	}{
		{"GET", "GET", "", nil, http.StatusUnsupportedMediaType, "content-type \"\" is not gRPC's, want \"application/grpc\"\n"},
		{"POST of JSON", "POST", "application/json", strings.NewReader("{}"), http.StatusUnsupportedMediaType,
			"content-type \"application/json\" is not gRPC's, want \"application/grpc\"\n"},
		{"POST of much", "POST", "text/plain", strings.NewReader(strings.Repeat("x", 4<<20)), http.StatusUnsupportedMediaType,
			"content-type \"text/plain\" is not gRPC's, want \"application/grpc\"\n"},
		{"GET of gRPC", "GET", "application/grpc", nil, http.StatusMethodNotAllowed, "method \"GET\" is not gRPC's, want \"POST\"\n"},
		{"HEAD", "HEAD", "", nil, http.StatusUnsupportedMediaType, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+server.addr+"/", tc.request)
			if err != nil {
				t.Fatal(err)
			}
			if tc.contentType != "" {
				req.Header.Set("content-type", tc.contentType)
			}
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status || string(body) != tc.text {
				t.Errorf("got %s, %q, %v; want %d, %q", resp.Status, body, err, tc.status, tc.text)
			}
			allow := resp.Header.Get("allow")
			if want := map[bool]string{true: "POST"}[tc.status == http.StatusMethodNotAllowed]; allow != want {
				t.Errorf("allow: %q, want %q", allow, want)
			}
		})
	}
}
