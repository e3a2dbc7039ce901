// Command http is net/http's server, unchanged, as a plugin.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	wirehost "github.com/wirehost/wirehost/sdk/go"
	"github.com/wirehost/wirehost/sdk/go/wirenet"
)

// settings are the plugin's config section.
type settings struct {
	HeaderTimeout int `json:"header_timeout"` // ms, for the first byte to the end of the header
	IdleTimeout   int `json:"idle_timeout"`   // ms, between two requests
}

func init() {
	debug.SetMemoryLimit(40 << 20) // of the 64 MiB that a guest gets
	server := &http.Server{Handler: routes()}
	wirehost.Register(wirenet.Serve(server.Serve, wirenet.Options{
		Name: "http",
		Start: func(r *wirehost.Reactor) error {
			c := settings{HeaderTimeout: 10_000, IdleTimeout: 60_000}
			err := r.Config(&c)
			server.ReadHeaderTimeout = time.Duration(c.HeaderTimeout) * time.Millisecond
			server.IdleTimeout = time.Duration(c.IdleTimeout) * time.Millisecond
			return err
		},
	}))
}

func main() {}

// routes are what the server answers.
func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", hello)
	mux.HandleFunc("POST /hash", hash)
	mux.HandleFunc("GET /bytes/{n}", count)
	mux.HandleFunc("GET /ticks/{n}", ticks)
	mux.HandleFunc("GET /state", state)
	return mux
}

// hello says who asks.
func hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s\n", r.RemoteAddr)
}

// hash reads a body of any length and answers its SHA-256.
func hash(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%d %x\n", n, h.Sum(nil))
}

// count sends n bytes.
func count(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "how many bytes?", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		return
	}
	piece := make([]byte, 32<<10)
	for i := range piece {
		piece[i] = byte(i)
	}
	for ; n > 0; n -= int64(len(piece)) {
		if _, err := w.Write(piece[:min(n, int64(len(piece)))]); err != nil {
			return // the client has gone
		}
	}
}

// ticks sends n lines, one every 50 ms: a goroutine may sleep.
func ticks(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("n"))
	if err != nil {
		http.Error(w, "how many lines?", http.StatusBadRequest)
		return
	}
	begin := time.Now()
	for i := range n {
		fmt.Fprintf(w, "tick %d\n", i)
		if err := http.NewResponseController(w).Flush(); err != nil {
			return // the client has gone
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
	fmt.Fprintf(w, "%v\n", time.Since(begin).Round(time.Millisecond))
}

// state tells what the instance holds.
func state(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "goroutines %d\nheap %d\nsys %d\n", runtime.NumGoroutine(), m.HeapAlloc, m.Sys)
}
