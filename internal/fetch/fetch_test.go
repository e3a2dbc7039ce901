package fetch

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web is a web server with TLS, and how often it was asked for what.
type web struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string
	asked map[string]int
	down  atomic.Bool
}

func newWeb(t *testing.T) *web {
	w := &web{files: map[string]string{}, asked: map[string]int{}}
	w.Server = httptest.NewTLSServer(w)
	w.Config.ErrorLog = nil
	t.Cleanup(w.Close)
	return w
}

func (w *web) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	text, there := w.files[r.URL.Path]
	w.asked[r.URL.Path]++
	w.mu.Unlock()
	tag := `"` + sumOf(text) + `"`
	switch {
	case w.down.Load():
		rw.WriteHeader(http.StatusServiceUnavailable)
	case !there:
		http.NotFound(rw, r)
	case r.Header.Get("If-None-Match") == tag:
		rw.WriteHeader(http.StatusNotModified)
	case strings.HasPrefix(text, "->"):
		http.Redirect(rw, r, strings.TrimPrefix(text, "->"), http.StatusFound)
	case strings.HasPrefix(text, "stuck"):
		rw.WriteHeader(http.StatusOK)
		rw.(http.Flusher).Flush()
		<-r.Context().Done()
	case strings.HasPrefix(text, "endless"):
		for r.Context().Err() == nil {
			if _, err := rw.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	default:
		rw.Header().Set("ETag", tag)
		fmt.Fprint(rw, text)
	}
}

func (w *web) set(path, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[path] = text
}

func (w *web) roots() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(w.Certificate())
	return p
}

func textOf(t *testing.T, m *Module) string {
	t.Helper()
	r, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil || m.SHA256 != sumOf(string(b)) {
		t.Errorf("found sha256 %s of %q, %v", m.SHA256, b, err)
	}
	return string(b)
}

// What is kept is taken, or the server asked, as the policy says; what is kept nowhere
// is fetched each time.
func TestPolicies(t *testing.T) {
	w := newWeb(t)
	dir := filepath.Join(t.TempDir(), "modules")
	get := func(f *Fetcher, q Request) string {
		t.Helper()
		q.Source, q.Limit = w.URL+"/m.wasm", 100
		m, err := f.Get(context.Background(), q)
		if err != nil {
			return err.Error()
		}
		return textOf(t, m)
	}
	kept, none := New(Options{Dir: dir, Roots: w.roots()}), New(Options{Roots: w.roots()})
	w.set("/m.wasm", "one")
	for n, step := range []struct {
		f     *Fetcher
		q     Request
		serve string // from now on
		want  string
	}{
		{f: kept, q: Request{Never: true}, want: "found nothing of it in the cache, and pull: never"},
		{f: kept, want: "one"},
		{f: kept, serve: "two", want: "one"},
		{f: kept, q: Request{Never: true}, want: "one"},
		{f: kept, q: Request{SHA256: sumOf("one"), Always: true}, want: "one"}, // it can't be another
		{f: none, want: "two"},
		{f: kept, q: Request{Always: true}, want: "two"},
		{f: kept, q: Request{Always: true}, want: "two"}, // 304
		{f: New(Options{Dir: dir, Roots: w.roots()}), want: "two"},
		{f: kept, q: Request{SHA256: sumOf("one")}, want: "found sha256 " + sumOf("two") + ", wanted " + sumOf("one")},
		{f: kept, serve: "down", q: Request{Always: true},
			want: "the server answered 503 Service Unavailable, wanted 200 OK"},
		{f: kept, want: "two"},
	} {
		if step.serve != "" {
			w.set("/m.wasm", step.serve)
			w.down.Store(step.serve == "down")
		}
		if got := get(step.f, step.q); got != step.want {
			t.Errorf("step %d: found %q, wanted %q", n, got, step.want)
		}
	}
	if n := w.asked["/m.wasm"]; n != 6 {
		t.Errorf("the server was asked %d times, wanted 6", n)
	}
	// Somebody has changed the file: it is fetched again.
	w.down.Store(false)
	if err := os.WriteFile(filepath.Join(dir, sumOf("two")+moduleSuffix), []byte("bad"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("/m.wasm", "two")
	if got := get(kept, Request{}); got != "two" {
		t.Errorf("found %q, wanted what was changed fetched again", got)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, newPrefix+"*")); len(left) > 0 {
		t.Errorf("found %v, wanted nothing left behind", left)
	}
}

// Nothing is unencrypted, longer than the limit, or takes longer than it may.
func TestBounds(t *testing.T) {
	w := newWeb(t)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for path, text := range map[string]string{"/plain": "->" + other.URL, "/loop": "->/loop", "/ok": "->/m",
		"/m":    "short",
		"/long": strings.Repeat("x", 101), "/stuck": "stuck", "/endless": "endless", "/file": "->file:///etc/passwd"} {
		w.set(path, text)
	}
	f := New(Options{Dir: t.TempDir(), Roots: w.roots(), Time: time.Second})
	for path, want := range map[string]string{
		"/plain": "found a way to " + other.URL + ", wanted https", "/loop": "found more than 5 redirections",
		"/ok":      "",
		"/long":    "found more than 100 bytes, wanted at most that (limits.module)",
		"/endless": "found more than 100 bytes, wanted at most that (limits.module)",
		"/stuck":   "given up: found it unfinished after 1s, wanted all of it",
		"/none":    "the server answered 404 Not Found, wanted 200 OK",
		"/file":    "found a way to file://, wanted https",
	} {
		_, err := f.Get(context.Background(), Request{Source: w.URL + path, Limit: 100})
		if got := fmt.Sprint(err); want != "" && got != want || want == "" && err != nil {
			t.Errorf("%s: found %q, wanted %q", path, got, want)
		}
	}
	if _, err := New(Options{}).Get(context.Background(), Request{Source: w.URL + "/m", Limit: 100}); err == nil {
		t.Error("found no fault of a certificate that nobody trusts")
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	cancel(why)
	if _, err := f.Get(ctx, Request{Source: w.URL + "/stuck", Limit: 100}); !errors.Is(err, why) {
		t.Errorf("found %v, wanted %v", err, why)
	}
	// Not even to this machine, unless it is a registry.
	if _, err := f.Get(context.Background(), Request{Source: other.URL + "/m", Limit: 100}); err == nil {
		t.Error("found no fault of http://")
	}
}

// What comes to its end once the time is over may be a part alone, and is not taken.
func TestEndedLate(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	f, why := New(Options{Dir: t.TempDir()}), errors.New("enough")
	ends := func(b []byte) (int, error) {
		cancel(why)
		return copy(b, "half"), io.EOF
	}
	if _, err := f.take(ctx, readFunc(ends), 100); !errors.Is(err, why) {
		t.Errorf("found %v, wanted %v", err, why)
	}
}

type readFunc func(b []byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// The signature is fetched where it is wanted, also of what is kept.
func TestSignatures(t *testing.T) {
	w := newWeb(t)
	w.set("/m.wasm", "module")
	f := New(Options{Dir: t.TempDir(), Roots: w.roots()})
	get := func(signed, never bool) (string, error) {
		t.Helper()
		m, err := f.Get(context.Background(),
			Request{Source: w.URL + "/m.wasm?x=1", Limit: 100, Signed: signed, Never: never})
		if err != nil {
			return "", err
		}
		if textOf(t, m) != "module" {
			t.Error("found another module")
		}
		return string(m.Signature), nil
	}
	for n, step := range []struct {
		there         string // from now on
		signed, never bool
		want          string
		fails         bool
	}{
		{}, {signed: true, never: true, fails: true}, {signed: true}, {there: "sig", want: ""},
		{signed: true, want: "sig"},
		{signed: true, never: true, want: "sig"},
	} {
		if step.there != "" {
			w.set("/m.wasm.minisig", step.there)
		}
		if got, err := get(step.signed, step.never); got != step.want || (err != nil) != step.fails {
			t.Errorf("step %d: found %q, %v, wanted %q", n, got, err, step.want)
		}
	}
}

// What was used least recently leaves when the folder is full.
func TestTrim(t *testing.T) {
	w := newWeb(t)
	dir := t.TempDir()
	f := New(Options{Dir: dir, Roots: w.roots(), Size: 25})
	for n := range 4 {
		text := strings.Repeat(fmt.Sprint(n), 10)
		w.set(fmt.Sprint("/", n), text)
		if _, err := f.Get(context.Background(), Request{Source: fmt.Sprint(w.URL, "/", n), Limit: 100}); err != nil {
			t.Fatal(err)
		}
		old := time.Unix(int64(1000+n), 0)
		if err := os.Chtimes(filepath.Join(dir, sumOf(text)+moduleSuffix), old, old); err != nil {
			t.Fatal(err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"+moduleSuffix))
	if len(left) != 2 || f.store.whole(sumOf("0000000000")) || !f.store.whole(sumOf("3333333333")) {
		t.Errorf("found %v, wanted the last two", left)
	}
}

// A registry is asked by tag or by digest, with what Docker knows of it.
func TestRegistry(t *testing.T) {
	r := newRegistry(t)
	const wasm = "application/wasm"
	module := r.blob(wasm, []byte("module"))
	other := r.blob(wasm, []byte("another"))
	signed := module
	signed.Annotations = map[string]string{SignatureAnnotation: "layer's"}
	one := r.push("one", map[string]string{SignatureAnnotation: "sig"}, r.blob("text/plain", []byte("readme")), module)
	r.push("layer", map[string]string{SignatureAnnotation: "sig"}, signed)
	r.push("alone", nil, r.blob("application/octet-stream", []byte("module")))
	r.push("none", nil, r.blob("application/vnd.oci.image.layer.v1.tar+gzip", []byte("module")))
	r.push("long", nil, r.blob(wasm, bytes.Repeat([]byte("x"), 101)))
	bad := r.blob(wasm, []byte("good"))
	r.blobs[bad.Digest.String()] = []byte("evil")
	r.push("bad", nil, bad)
	big := r.blob(wasm, []byte("big"))
	big.Size = 2
	r.push("size", nil, big)
	onWasm := one
	onWasm.Platform = &ocispec.Platform{OS: "wasi", Architecture: "wasm"}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{one, onWasm}}
	index.SchemaVersion = 2
	r.manifest("index", index.MediaType, index)
	index.Manifests = index.Manifests[:1:1]
	index.Manifests = append(index.Manifests, one)
	r.manifest("unclear", index.MediaType, index)

	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	f := New(Options{Dir: t.TempDir()})
	name := ociPrefix + r.host() + "/team/guest"
	get := func(reference string, q Request) (*Module, error) {
		q.Source, q.Limit = name+reference, 100
		return f.Get(context.Background(), q)
	}
	for reference, want := range map[string]string{
		":one": "sig", "@" + one.Digest.String(): "sig", ":v1@" + one.Digest.String(): "sig", ":layer": "layer's",
		":alone": "",
		":index": "sig",
	} {
		m, err := get(reference, Request{Signed: true})
		if err != nil {
			t.Errorf("%s: %v", reference, err)
			continue
		}
		if textOf(t, m) != "module" || string(m.Signature) != want || !strings.Contains(m.Source, "@sha256:") {
			t.Errorf("%s: found %+v, wanted the signature %q", reference, m, want)
		}
	}
	for reference, want := range map[string]string{
		":none": "wanted one of application/wasm", ":long": "found more than 100 bytes", ":bad": "mismatch",
		":size":    "",
		":missing": "not found", ":unclear": "found an index of 2 manifests",
	} {
		if _, err := get(reference, Request{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: found %v, wanted %q", reference, err, want)
		}
	}
	// A tag that moves is followed where that is wanted, and asked for alone where it has not.
	r.push("one", nil, other)
	if m, err := get(":one", Request{}); err != nil || textOf(t, m) != "module" {
		t.Errorf("found %v, wanted what is kept", err)
	}
	if m, err := get(":one", Request{Always: true}); err != nil || textOf(t, m) != "another" {
		t.Errorf("found %v, wanted what the tag stands for now", err)
	}
	before := len(r.asked)
	if m, err := get(":one", Request{Always: true}); err != nil || textOf(t, m) != "another" ||
		len(r.asked) != before+1 {
		t.Errorf("found %v and %q, wanted one question", err, r.asked[before:])
	}
	if m, err := get("@"+one.Digest.String(), Request{Always: true}); err != nil || textOf(t, m) != "module" ||
		len(r.asked) != before+1 {
		t.Errorf("found %v and %q, wanted no question", err, r.asked[before:])
	}

	r.login = "ann:secret"
	r.push("two", nil, other)
	if _, err := get(":two", Request{}); err == nil {
		t.Error("found no fault without a login")
	}
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host(), base64.StdEncoding.EncodeToString([]byte(r.login)))
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	if m, err := get(":two", Request{}); err != nil || textOf(t, m) != "another" {
		t.Errorf("found %v, wanted the login of Docker's configuration used", err)
	}
}

// Only a loopback address is asked without TLS.
func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{"localhost:5000": true, "127.0.0.1:1": true, "[::1]:1": true,
		"localhost":     true,
		"10.0.0.1:5000": false, "registry.example": false, "localhost.example:1": false} {
		if got := isLoopback(host); got != want {
			t.Errorf("%s: found %t", host, got)
		}
	}
}
