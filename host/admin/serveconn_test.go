package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wirehost/wirehost/host"
)

// TestPassedOn: another process of the program says who asks; nobody else does.
func TestPassedOn(t *testing.T) {
	f := newFake()
	s := New(Options{Host: f})
	want := host.By{Trigger: "api", User: "ann", UID: 7, PID: 8}
	r := httptest.NewRequest(http.MethodPost, "/v1/connections/close", strings.NewReader(`{"plugin":"echo"}`))
	r.Header.Set("Content-Type", "application/json")
	if err := PassOn(r, want); err != nil {
		t.Fatal(err)
	}
	s.http.Handler.ServeHTTP(httptest.NewRecorder(), r.WithContext(asOwn(r.Context(), nil)))
	if f.by != want {
		t.Errorf("found %+v, wanted %+v", f.by, want)
	}
	r.Body = io.NopCloser(strings.NewReader(`{"plugin":"echo"}`))
	r.Host = "wirehost"
	s.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
	if f.by != (host.By{Trigger: "api"}) {
		t.Errorf("found %+v, wanted that the header is not believed", f.by)
	}
}

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
