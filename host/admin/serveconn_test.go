package admin

import (
	"bufio"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestServeConn: a connection that is served by itself is answered however late it asks, the first time
// and after that.
func TestServeConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Host: newFake()})
		there, here := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.ServeConn(there)
		}()
		answers := bufio.NewReader(here)
		for range 2 {
			time.Sleep(24 * time.Hour)
			r, err := http.NewRequest(http.MethodGet, "http://predecessor/v1/connections", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("User-Agent", UserAgent)
			if err := r.Write(here); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(answers, r)
			if err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("found %+v, %v", answer, err)
			}
			_ = answer.Body.Close() // small
		}
		_ = here.Close() // it is served no more
		<-done
	})
}
